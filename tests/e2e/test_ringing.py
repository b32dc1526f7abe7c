#!/usr/bin/env python3
"""Phones that ring for long, and links that break while they do; SIP nodes without an overlay."""
import sys
import time

from common import Tests
from test_sip import FAR, FAR_DOMAIN, GATEWAY, PEER, SDP, Nodes, Phone


def nothing_but(phone, *wanted, within=0.5):
    """What a phone gets within a time, as start lines; anything that is not wanted fails."""
    end = time.monotonic() + within
    seen = []
    while time.monotonic() < end:
        message = phone.receive(end - time.monotonic())
        if message:
            seen.append(message.start)
    left = [start for start in seen if not any(start.startswith(word) for word in wanted)]
    assert not left, f"{phone.name} got {left}"
    return seen


def until(phone, start, timeout=4.0):
    """The next message that begins so; others are passed over."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        message = phone.receive(end - time.monotonic())
        if message and message.start.startswith(start):
            return message
    raise AssertionError(f"{phone.name} got no {start}")


def ringing_of(nodes, callee, callee_at, caller_at, first):
    """Rings for 180 s, says so once more, rings for 180 s, then nobody has answered."""
    caller = Phone("patient", 11)
    callee.register(callee_at, expires=3600)
    caller.invite(callee.aor, caller_at)
    invite = callee.incoming("INVITE")
    callee.answer(invite, first, [f"Contact: <{callee.contact}>"])
    until(caller, f"SIP/2.0 {first}")
    for _ in range(2):
        nodes.tell("advance 90000")
        time.sleep(0.3)
        nodes.tell("advance 85000")
        nothing_but(callee, "INVITE", within=0.5)
        nothing_but(caller, "SIP/2.0 1", within=0.1)
        callee.answer(invite, 180, [f"Contact: <{callee.contact}>"])
        until(caller, "SIP/2.0 180")
    nodes.tell("advance 187000")
    cancel = until(callee, "CANCEL")
    callee.answer(cancel, 200)
    callee.answer(invite, 487)
    until(callee, "ACK")
    nodes.tell("advance 7000")  # each element further out waits a little longer
    reply = caller.final(6)
    assert reply.status == 408, reply.start
    nothing_but(callee, within=0.2)
    caller.close()
    callee.close()


def ringing_takes_its_time_at_one_node(nodes):
    ringing_of(nodes, Phone("slow1", 12), PEER, PEER, 180)


def ringing_takes_its_time_between_nodes(nodes):
    ringing_of(nodes, Phone("slow2", 13), GATEWAY, PEER, 183)


def ringing_takes_its_time_between_overlays(nodes):
    ringing_of(nodes, Phone("slow3", 14, domain=FAR_DOMAIN), FAR, PEER, 180)


def a_phone_that_only_tries_is_cancelled(nodes):
    """100 alone: timer C runs from when the request was sent."""
    caller, callee = Phone("patient2", 15), Phone("slow4", 16, domain=FAR_DOMAIN)
    callee.register(FAR, expires=3600)
    caller.invite(callee.aor, PEER)
    invite = callee.incoming("INVITE")
    callee.answer(invite, 100)
    time.sleep(0.2)
    nodes.tell("advance 120000")
    nothing_but(callee, "INVITE", within=0.5)
    callee.answer(invite, 100)
    time.sleep(0.2)
    nodes.tell("advance 67000")
    callee.answer(until(callee, "CANCEL"), 200)
    callee.answer(invite, 200, [f"Contact: <{callee.contact}>"], SDP)  # picked up all the same
    until(callee, "ACK")
    callee.answer(until(callee, "BYE"), 200)
    nodes.tell("advance 7000")
    assert caller.final(6).status == 408
    caller.close()
    callee.close()


CHECKS = (ringing_takes_its_time_at_one_node, ringing_takes_its_time_between_nodes,
          ringing_takes_its_time_between_overlays, a_phone_that_only_tries_is_cancelled)


def main():
    wanted = sys.argv[1:]
    tests = Tests()
    nodes = Nodes()
    for check in CHECKS:
        if not wanted or check.__name__ in wanted:
            tests.run(check.__name__.replace("_", " "), check, nodes)
    tests.run("all ends cleanly", lambda: nodes.end())
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
