#!/usr/bin/env python3
"""Subscriptions between overlays when a gateway dies: the notifier's next NOTIFY, the subscriber's refresh and the end of the
subscription reach the other end, in the gap and after it.
"""
import os
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent, Dialog, uri_of
import survive

OVERLAYS = [("east", "127.84.111", 4), ("west", "127.84.112", 4)]
PHONES = "127.84.113"
EVENT = ("Event", "presence")
PIDF = "application/pidf+xml"
PATIENCE_S = 20


class Subscription:
    """alice's, to bob; the dialogs of both ends."""

    def __init__(self, alice, bob, tag):
        self.alice, self.bob = alice, bob
        sent = alice.request("SUBSCRIBE", bob.uri, extra=[EVENT, ("Expires", "600")])
        request = bob.expect_new("SUBSCRIBE")
        bob.answer(request, 200, "OK", tag, extra=[("Expires", "600")])
        self.of_alice = alice.dialog_of_response(sent, alice.expect_status(200, "SUBSCRIBE"))
        self.of_bob = bob.dialog_of_request(request, tag)
        self.notify("active;expires=600")

    def answered(self, method, sender, hearer, check, extra=()):
        """The final response to what @sender has sent; @hearer answers it, and what a gateway sends once more."""
        heard, end = 0, time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            sender.poll(0.01)
            while hearer.poll(0):
                pass
            for request in [m for m in hearer.waiting if not m.is_response and m.method == method]:
                hearer.waiting.remove(request)
                check(request)
                hearer.answer(request, 200, "OK", extra=extra)
                heard += 1
            for response in [m for m in sender.waiting if m.is_response and m.method == method and m.status >= 200]:
                sender.waiting.remove(response)
                return response.status, heard
        raise LabError(f"{sender.user}: no response to {method}, which {hearer.user} heard {heard} times")

    def notify(self, state, status=200):
        def check(request):
            if request.get("subscription-state") != state or request.get("call-id") != self.of_alice.call_id or \
                    request.tag("from") != self.of_alice.remote.rpartition("tag=")[2]:
                raise LabError(f"a NOTIFY of another subscription: {request.headers}")

        self.bob.in_dialog(self.of_bob, "NOTIFY", body="<presence/>", content_type=PIDF,
                           extra=[EVENT, ("Subscription-State", state)])
        got, heard = self.answered("NOTIFY", self.bob, self.alice, check)
        if got != status or (heard > 0) != (status == 200):
            raise LabError(f"{got} to a NOTIFY {state}, heard {heard} times")

    def refresh(self, expires):
        def check(request):
            if request.get("call-id") != self.of_bob.call_id:
                raise LabError(f"a refresh of another subscription: {request.headers}")

        self.alice.in_dialog(self.of_alice, "SUBSCRIBE", extra=[EVENT, ("Expires", str(expires))])
        got, heard = self.answered("SUBSCRIBE", self.alice, self.bob, check, [("Expires", str(expires))])
        if got != 200 or not heard:
            raise LabError(f"{got} to a refresh, heard {heard} times")

    def end(self):
        self.refresh(0)
        self.notify("terminated;reason=timeout")
        self.notify("active", 481)


def is_copied(overlay):
    """One that has ended less than 32 s after its 200 is there, too: another phone may say yet that it has it."""
    replicas = survive.gateway_of(overlay).ctl("status")["replicas"]
    return replicas["calls"] > 0 and replicas["heirs"] and not any(heir["pending"] for heir in replicas["heirs"])


def gateway_dies(lab, which, alice, bob, first):
    """@first says which end speaks in the gap; a second gateway dies after that."""
    subscription = Subscription(alice, bob, f"b{which}{first}")
    for _ in range(2):
        wait_for("the subscription is copied", lambda: all(is_copied(island) for island in lab.islands), 20)
        gateway = survive.gateway_of(lab.islands[which])
        gateway.kill()
        try:
            if first == "NOTIFY":
                subscription.notify("active;expires=500")
                subscription.refresh(600)
            else:
                subscription.refresh(600)
                subscription.notify("active;expires=500")
        finally:
            survive.back_in_role(gateway)
    subscription.end()


def forked_of(alice, bobs):
    """alice's subscription to a user with several phones: a dialog with each, which its NOTIFY says."""
    sent = alice.request("SUBSCRIBE", bobs[0].uri, extra=[EVENT, ("Expires", "600")])
    forks = []
    for n, bob in enumerate(bobs):
        request = bob.expect_new("SUBSCRIBE")
        bob.answer(request, 200, "OK", f"f{n}", extra=[("Expires", "600")])
        fork = Subscription.__new__(Subscription)
        fork.alice, fork.bob, fork.of_bob = alice, bob, bob.dialog_of_request(request, f"f{n}")
        forks.append(fork)
    alice.expect_status(200, "SUBSCRIBE")
    for fork in forks:
        fork.bob.in_dialog(fork.of_bob, "NOTIFY", body="<presence/>", content_type=PIDF,
                           extra=[EVENT, ("Subscription-State", "active;expires=600")])
        fork.answered("NOTIFY", fork.bob, alice, lambda request, f=fork: learn(f, request))
        fork.of_alice.sequence = int(sent["CSeq"].split()[0])
    return forks


def learn(fork, request):
    routes = [r.strip() for line in request.all("record-route") for r in line.split(",")]
    fork.of_alice = Dialog(request.get("call-id"), request.get("to"), request.get("from"), uri_of(request.get("contact")), routes)


def forked(lab, alice, bob, other):
    """Each dialog outlives the notifier's gateway, and the subscriber's."""
    other.register()
    forks = forked_of(alice, [bob, other])
    for n, which in enumerate((1, 0)):
        wait_for("the subscription is copied", lambda: all(is_copied(island) for island in lab.islands), 20)
        gateway = survive.gateway_of(lab.islands[which])
        gateway.kill()
        try:
            for fork in forks:
                fork.refresh(600)
                fork.notify(f"active;expires={500 - n}")
        finally:
            survive.back_in_role(gateway)
    for fork in forks:
        fork.refresh(0)
        fork.notify("terminated;reason=timeout")


def main():
    tests = Tests()
    wanted = sys.argv[1:]
    with lab_of(tests, OVERLAYS, log_level=os.environ.get("LEVEL", "info")) as lab:
        alice, bob = survive.phones_at(lab, survive.spare_nodes(lab), PHONES)
        for name, which, first in (("the subscriber's gateway dies, then a NOTIFY", 0, "NOTIFY"),
                                   ("the subscriber's gateway dies, then a refresh", 0, "SUBSCRIBE"),
                                   ("the notifier's gateway dies, then a NOTIFY", 1, "NOTIFY"),
                                   ("the notifier's gateway dies, then a refresh", 1, "SUBSCRIBE")):
            if not wanted or name in wanted:
                tests.run(name, gateway_dies, lab, which, alice, bob, first)
        name = "a subscription to two phones"
        if not wanted or name in wanted:
            other = Agent(f"{PHONES}.9", "bob", bob.domain, bob.proxy)
            tests.run(name, forked, lab, alice, bob, other)
            other.close()
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
