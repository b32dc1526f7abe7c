#!/usr/bin/env python3
"""Calls that ring when a gateway between the phones stands still (SIGSTOP) and stays so: they go on, or end, by way of
the one in its place, while no connection breaks.  And calls that are up: a BYE at any time after it goes on ends both ends.
"""
import os
import signal
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from ringing import Ringing
import survive
from test_survive_hang import hang_up, is_whole

ISLANDS = [("east", "127.84.67", 3, "chord"), ("west", "127.84.68", 3, "pastry")]
PHONES = "127.84.69"
ANSWERED_S, STOPS_S = 8.0, 6.0  # on a busy machine, too
BYES_S = (0.0, 0.3, 0.8, 1.5, 2.4, 3.2)  # after the gateway goes on


def hung(test):
    """A gateway of the overlay @which hangs all through @test."""
    def run(lab, which, alice, bob):
        island = lab.islands[which]
        gateway = survive.gateway_of(island)
        wait_for("somebody can have its place", lambda: gateway.ctl("election")["candidates"], 20)
        wait_for("its overlay is whole", lambda: is_whole(island), 20)
        knows_other(island, lab.islands[1 - which])
        try:
            test(gateway, alice, bob)
        finally:
            gateway.process.send_signal(signal.SIGCONT)
        heard_before(alice, bob)
        survive.quiet(alice, bob)
        survive.no_calls(lab)
        wait_for("it has given its role away", lambda: gateway.role() == "candidate", 20)
    return run


def knows_other(island, other):
    """Who takes over has found the other overlay of late, and does not depend on a ring that changes just now."""
    for node in island.nodes:
        wait_for(f"{node.name} finds {other.name}", lambda n=node: n.ctl("resolve", other.domain), 20)


def heard_before(*phones):
    """That it rings may be said again by the gateway that goes on with it, until the end is told."""
    for phone in phones:
        phone.waiting = [m for m in phone.waiting if not m.is_response or m.status >= 200]


@hung
def answered(gateway, alice, bob):
    """b answers when another is gateway, and is heard though the former one never goes on."""
    call = Ringing(alice, bob)
    gateway.process.send_signal(signal.SIGSTOP)
    call.wait(1.0)
    call.answer()
    call.until("the call", lambda: call.final and call.is_acknowledged, ANSWERED_S)
    if call.final.status != 200 or call.cancelled or call.final.body != bob.sdp(2):
        raise LabError(f"the caller got {call.final.start}, cancelled: {bool(call.cancelled)}")
    call.answer_at = None
    call.wait(0.5)
    hang_up(call, "caller")


def cancelled_after(seconds):
    @hung
    def cancelled(gateway, alice, bob):
        call = Ringing(alice, bob)
        gateway.process.send_signal(signal.SIGSTOP)
        call.wait(seconds)
        alice.cancel(bob.uri, call.sent)
        call.until("b stops ringing", lambda: call.cancelled and call.final, STOPS_S)
        if call.final.status != 487:
            raise LabError(f"the caller got {call.final.start}")
    return cancelled


def hung_up_after(lab, which, alice, bob):
    """Calls through the gateway that goes on are ended at once, and a little later, and later still."""
    island = lab.islands[which]
    gateway = survive.gateway_of(island)
    wait_for("its overlay is whole", lambda: is_whole(island), 20)
    calls = survive.make_calls(alice, bob, len(BYES_S), survive.UPDATE, lab.islands)
    gateway.process.send_signal(signal.SIGSTOP)
    try:
        wait_for("another is gateway", lambda: survive.other_gateway(island, gateway), 5)
        answer_refreshes(3.0, alice, bob)
    finally:
        gateway.process.send_signal(signal.SIGCONT)
    begin = time.monotonic()
    for number, (call, at) in enumerate(zip(calls, BYES_S)):
        answer_refreshes(begin + at - time.monotonic(), alice, bob)
        survive.hang_up(call, (alice, bob)[number % 2])
    survive.no_calls(lab)


def answer_refreshes(seconds, *phones):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for phone in phones:
            phone.poll(0.01)
            for message in [m for m in phone.waiting if not m.is_response and m.method == "UPDATE"]:
                phone.waiting.remove(message)
                phone.answer(message, 200, "OK", extra=survive.UPDATE)


def main():
    tests = Tests()
    wanted = sys.argv[1:]
    kinds = ((0, "answered behind the caller's gateway, which hangs", answered),
             (0, "cancelled before the caller's gateway is replaced", cancelled_after(0.05)),
             (0, "cancelled after the caller's gateway is replaced", cancelled_after(1.0)),
             (1, "answered behind the callee's gateway, which hangs", answered),
             (1, "BYEs after a gateway goes on", hung_up_after))
    with lab_of(tests, ISLANDS, log_level=os.environ.get("LEVEL", "info")) as lab:
        alice, bob = survive.phones_at(lab, survive.spare_nodes(lab), PHONES)
        for which, name, test in kinds:
            if not wanted or name in wanted:
                tests.run(name, test, lab, which, alice, bob)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
