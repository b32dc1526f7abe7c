#!/usr/bin/env python3
"""Calls that are up survive their gateway: its death, its leave, its hand-over, and its sleep."""
import os
import signal
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent, establish, uri_of
import scenarios

ISLANDS = [("east", "127.57.0", 3), ("west", "127.58.0", 3)]
PHONES = "127.59.0"
UPDATE = [("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO")]
NO_UPDATE = [("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS")]


class Call:
    """One call, with the dialog of each end."""

    def __init__(self, caller, callee, allow, number):
        self.phones = (caller, callee)
        one, other, _ = establish(caller, callee, tag=f"b{number}", extra=allow)
        self.dialog = {caller: one, callee: other}

    @classmethod
    def routed(cls, a, b, count, tag):
        """One whose caller is behind @count proxies, all of them itself."""
        routes = [f"<sip:p{n}@{a.ip}:{a.port};transport=tcp;lr;x={'z' * 140}>" for n in range(count)]
        sent = a.request("INVITE", b.uri, body=a.sdp(1), extra=[*UPDATE, *(("Record-Route", r) for r in routes)])
        invite = b.expect_request("INVITE")
        b.answer(invite, 200, "OK", tag, body=b.sdp(2), extra=UPDATE)
        one = a.dialog_of_response(sent, a.expect_status(200))
        one.routes = one.routes[count:]
        a.in_dialog(one, "ACK")
        b.expect_request("ACK")
        call = cls.__new__(cls)
        call.phones, call.dialog = (a, b), {a: one, b: b.dialog_of_request(invite, tag)}
        return call

    def other(self, phone):
        return self.phones[1] if phone is self.phones[0] else self.phones[0]


def of_call(dialog, method):
    return lambda m: not m.is_response and m.method == method and m.get("call-id") == dialog.call_id


def take_update(phone, dialog):
    """The gateway's refresh: the phone's requests go to its Contact from now on."""
    update = phone.expect("a refresh", of_call(dialog, "UPDATE"), 20)
    if update.body:
        raise LabError(f"an offer in the refresh: {update.body}")
    phone.answer(update, 200, "OK", extra=UPDATE)
    dialog.target = uri_of(update.get("contact"))
    return update


def take_invite(phone, dialog, offer):
    """The same for a phone without UPDATE: it is offered again what the other end said last."""
    invite = phone.expect("a refresh", of_call(dialog, "INVITE"), 20)
    scenarios.same("the offer", invite.body, offer)
    phone.answer(invite, 200, "OK", body=phone.sdp(2), extra=NO_UPDATE)
    dialog.target = uri_of(invite.get("contact"))
    phone.expect("the ACK", of_call(dialog, "ACK"))
    return invite


def hang_up(call, phone):
    other = call.other(phone)
    phone.in_dialog(call.dialog[phone], "BYE")
    bye = other.expect("the BYE", of_call(call.dialog[other], "BYE"), 20)
    other.answer(bye, 200, "OK")
    phone.expect_status(200, "BYE", 20)


def hold(call, phone):
    """re-INVITE with an offer and an answer, end to end."""
    other, dialog = call.other(phone), call.dialog[phone]
    phone.in_dialog(dialog, "INVITE", body=phone.sdp(5))
    invite = other.expect("the re-INVITE", of_call(call.dialog[other], "INVITE"), 20)
    scenarios.same("the offer", invite.body, phone.sdp(5))
    other.answer(invite, 200, "OK", body=other.sdp(6))
    scenarios.same("the answer", phone.expect_status(200).body, other.sdp(6))
    phone.in_dialog(dialog, "ACK", sequence=dialog.sequence)
    other.expect("its ACK", of_call(call.dialog[other], "ACK"))


def copied(island, count):
    """The gateway's calls are all at its stand-bys."""
    gateway = gateway_of(island)
    status = gateway and gateway.ctl("status")
    replicas = status and status["replicas"]
    return replicas and replicas["calls"] == count and replicas["heirs"] and \
        not any(heir["pending"] for heir in replicas["heirs"])


def make_calls(a, b, count, allow, islands):
    calls = [Call(a, b, allow, n) for n in range(count)]
    for island in islands:
        wait_for(f"the calls are copied in {island.name}", lambda i=island: copied(i, count), 20)
    return calls


def other_gateway(island, old):
    """A node that has become gateway; those who have no calls may not have heard of it yet."""
    return next((n for n in island.nodes if n is not old and n.is_running() and n.role() == "active"), None)


def gateway_of(island):
    return wait_for(f"{island.name} has one gateway",
                    lambda: next((n for n in island.nodes if n.is_running() and n.role() == "active"), None))


def quiet(*phones):
    """Nothing is left that a phone was not meant to hear.  A copy is some milliseconds old: a gateway that
    takes over a call which has just ended is told so, as any phone tells it."""
    for phone in phones:
        while phone.poll(0.2):
            pass
        for message in [m for m in phone.waiting if not m.is_response and m.tag("to") and m.method != "ACK"]:
            phone.waiting.remove(message)
            phone.answer(message, 481, "Call/Transaction Does Not Exist")
        phone.waiting = [m for m in phone.waiting if m.method != "ACK" and (not m.is_response or m.status > 100)]
        if phone.waiting:
            raise LabError(f"{phone.user} heard {[m.start for m in phone.waiting]}")


def silent(old, *phones):
    """Nothing that the old gateway could have sent: the only thing to be heard is a refresh of the new one."""
    for phone in phones:
        while phone.poll(0.5):
            pass
        for message in phone.waiting:
            if not message.is_response and \
                    (message.method not in ("UPDATE", "ACK") or old.ip in message.get("contact")):
                raise LabError(f"{phone.user} heard {message.start} of the gateway that was asleep")


def no_calls(lab):
    for node in lab.nodes():
        if node.is_running():
            wait_for(f"{node.name}@{node.island.name} has no calls", lambda n=node: n.ctl("calls") == [], 20)


def back(node):
    """A node that was ended comes back."""
    node.start()
    wait_for(f"{node.name} is back", lambda: node.local_state() in ("joined", "alone"), 30)


def restored(test):
    """Afterwards every node runs, and each island has one gateway, whatever became of the test."""
    def run(lab, *arguments, **options):
        for phone in (one for one in arguments if isinstance(one, Agent)):
            phone.waiting.clear()
        try:
            test(lab, *arguments, **options)
        finally:
            for node in lab.nodes():
                if not node.is_running():
                    back(node)
            for island in lab.islands:
                gateway_of(island)
    return run


@restored
def killed(lab, a, b, island, allow, take):
    """SIGKILL: every call is refreshed, held, and ended by one or the other end."""
    calls = make_calls(a, b, 6, allow, lab.islands)
    old = gateway_of(island)
    near = a if a.domain == island.domain else b
    old.kill()
    for call in calls:
        take(near, call)
    for call, phone in zip(calls[:2], (a, b)):
        hold(call, phone)
    for number, call in enumerate(calls):
        hang_up(call, (a, b)[number % 2])
    quiet(a, b)
    no_calls(lab)


def by_update(phone, call):
    take_update(phone, call.dialog[phone])


def by_invite(phone, call):
    other = call.other(phone)
    take_invite(phone, call.dialog[phone], other.sdp(1 if other is call.phones[0] else 2))


@restored
def at_once(lab, a, b, island):
    """A phone that hangs up before it has heard of the new gateway, and one that answers nothing."""
    calls = make_calls(a, b, 2, UPDATE, lab.islands)
    old = gateway_of(island)
    old.kill()
    wait_for("another gateway", lambda: other_gateway(island, old), 20)
    near, far = (a, b) if a.domain == island.domain else (b, a)
    # the dead gateway's Contact, outside the dialog: to whoever has its calls
    near.request("MESSAGE", calls[0].dialog[near].target, body="still there?", content_type="text/plain")
    far.answer(far.expect_request("MESSAGE"), 200, "OK", "m1")
    near.expect_status(200, "MESSAGE")
    for call, phone in zip(calls, (a, b)):
        hang_up(call, phone)
    quiet(a, b)  # a refresh may have crossed the BYE
    no_calls(lab)


@restored
def planned(lab, a, b, island, change):
    """The calls move to the next gateway; a new one is set up meanwhile."""
    calls = make_calls(a, b, 4, UPDATE, lab.islands)
    old = gateway_of(island)
    near = a if a.domain == island.domain else b
    change(old)
    for call in calls:
        take_update(near, call.dialog[near])
    wait_for("another gateway", lambda: other_gateway(island, old), 20)
    fresh = Call(a, b, UPDATE, 99)
    for number, call in enumerate([*calls, fresh]):
        hang_up(call, (a, b)[number % 2])
    quiet(a, b)
    no_calls(lab)


def leave(old):
    if old.stop() != 0:
        raise LabError(f"{old.name} left with {old.exit_codes[-1]}")


def with_long_contacts(test):
    """Both phones have a Contact of 1.9 kB meanwhile."""
    def run(lab, a, b, *arguments):
        was = {phone: phone.contact for phone in (a, b)}
        try:
            for phone in (a, b):
                phone.contact += ";x=" + "y" * (1900 - len(phone.contact) - 3)
            test(lab, a, b, *arguments)
        finally:
            for phone, contact in was.items():
                phone.contact = contact
    return run


@restored
@with_long_contacts
def large(lab, a, b, island):
    """Contacts of 1.9 kB and a route set of 7 kB: such a call is copied, and outlives its gateway."""
    calls = [Call.routed(a, b, 35, f"r{number}") for number in range(2)]
    for one in lab.islands:
        wait_for(f"the calls are copied in {one.name}", lambda i=one: copied(i, 2), 20)
        for line in gateway_of(one).ctl("calls"):
            scenarios.same("is_replicated", line["is_replicated"], True)
    old = gateway_of(island)
    old.kill()
    near = a if a.domain == island.domain else b
    for call in calls:
        take_update(near, call.dialog[near])
    for call, phone in zip(calls, (a, b)):
        hang_up(call, phone)
    quiet(a, b)
    no_calls(lab)


@with_long_contacts
def not_replicated(lab, a, b):
    """A call whose record is over the limit is carried, counted, and shown until it ends."""
    body = a.sdp
    a.sdp = b.sdp = lambda n: body(n) + f"a=x:{'z' * 200}\r\n" * 55
    try:
        call = Call.routed(a, b, 40, "r7")
    finally:
        del a.sdp, b.sdp
    gateway = gateway_of(lab.islands[0])
    wait_for("it is counted", lambda: gateway.ctl("status")["replicas"]["not_replicated"] == 1, 10)
    scenarios.same("election's", gateway.ctl("election")["replicas"]["not_replicated"], 1)
    scenarios.same("is_replicated", [line["is_replicated"] for line in gateway.ctl("calls")], [False])
    hang_up(call, b)
    quiet(a, b)
    no_calls(lab)
    wait_for("none is counted", lambda: gateway.ctl("status")["replicas"]["not_replicated"] == 0, 10)


@restored
def at_gateway(lab, b, island):
    """A phone that the dead gateway served itself: the next one reaches it, and is reached by it."""
    old = gateway_of(island)
    c = Agent(f"{PHONES}.3", "carol", island.domain, old.sip)
    c.register()
    call = make_calls(c, b, 1, UPDATE, lab.islands)[0]
    other = make_calls(b, c, 1, UPDATE, ())[0]
    for one in lab.islands:
        wait_for(f"both calls are copied in {one.name}", lambda i=one: copied(i, 2), 20)
    old.kill()
    for one in (call, other):
        host, _, port = take_update(c, one.dialog[c]).get("contact").split("@")[1].partition(":")
        c.far = (host, int(port.split(";")[0].rstrip(">")))
    if c.far[0] == old.ip:
        raise LabError(f"the refresh names the dead gateway, {c.far}")
    hold(call, c)
    hang_up(call, c)
    hang_up(other, b)
    quiet(c, b)
    no_calls(lab)
    c.close()


@restored
def asleep(lab, a, b, island):
    """SIGSTOP: the calls are taken over.  SIGCONT: the old gateway has none of them, and says nothing."""
    calls = make_calls(a, b, 3, UPDATE, lab.islands)
    old = gateway_of(island)
    near = a if a.domain == island.domain else b
    os.kill(old.process.pid, signal.SIGSTOP)
    try:
        for call in calls:
            take_update(near, call.dialog[near])
        hang_up(calls[0], a)
    finally:
        os.kill(old.process.pid, signal.SIGCONT)
    wait_for("the old gateway steps down", lambda: old.role() == "candidate", 20)
    wait_for("the old gateway has no calls", lambda: old.ctl("calls") == [], 20)
    silent(old, a, b)
    quiet(a, b)
    hang_up(calls[1], a)
    hang_up(calls[2], b)
    quiet(a, b)
    no_calls(lab)


def main():
    tests = Tests()
    begin = time.monotonic()
    with lab_of(tests, ISLANDS, hello_ms=500) as lab:
        east, west = lab.islands
        # phones that no test's gateway serves: the last of each island never becomes one first
        spare = [island.others()[-1] for island in lab.islands]
        for node in spare:
            node.stop()
            node.configure(candidate="false")
            back(node)
        a = Agent(f"{PHONES}.1", "alice", east.domain, spare[0].sip)
        b = Agent(f"{PHONES}.2", "bob", west.domain, spare[1].sip)
        for phone in (a, b):
            phone.register()
        tests.run("a call before", scenarios.basic, a, b)
        tests.run("the caller's gateway dies", killed, lab, a, b, east, UPDATE, by_update)
        tests.run("the callee's gateway dies", killed, lab, a, b, west, UPDATE, by_update)
        tests.run("phones without UPDATE", killed, lab, a, b, east, NO_UPDATE, by_invite)
        tests.run("a callee without UPDATE", killed, lab, a, b, west, NO_UPDATE, by_invite)
        tests.run("BYE at once", at_once, lab, a, b, east)
        tests.run("planned hand-over", planned, lab, a, b, east,
                  lambda old: old.ctl_text("election", "handover"))
        tests.run("the gateway leaves", planned, lab, a, b, west, leave)
        tests.run("the gateway sleeps", asleep, lab, a, b, east)
        for phone in (a, b):
            phone.register(0)
            phone.close()
        a = Agent(f"{PHONES}.4", "alice", east.domain, spare[0].sip, "tcp")
        b = Agent(f"{PHONES}.5", "bob", west.domain, spare[1].sip, "tcp")
        for phone in (a, b):
            phone.register()
        tests.run("a call too large to be copied", not_replicated, lab, a, b)
        tests.run("a large call", large, lab, a, b, east)
        tests.run("a phone at the gateway itself", at_gateway, lab, b, east)
        for phone in (a, b):
            phone.close()
    print(f"{time.monotonic() - begin:.0f} s")
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
