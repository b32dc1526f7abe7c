#!/usr/bin/env python3
"""Calls that are up change their gateway: at once, planned, while it sleeps, and from a phone's own node."""
import os
import signal
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent
from survive import (UPDATE, Call, copied, gateway_of, hang_up, hold, make_calls, no_calls, other_gateway, phones_at,
                     quiet, restored, silent, spare_nodes, take_update)

ISLANDS = [("east", "127.57.0", 3), ("west", "127.58.0", 3)]
PHONES = "127.59.0"


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
    old.hang()
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
        a, b = phones_at(lab, spare_nodes(lab), PHONES)
        tests.run("BYE at once", at_once, lab, a, b, east)
        tests.run("planned hand-over", planned, lab, a, b, east,
                  lambda old: old.ctl_text("election", "handover"))
        tests.run("the gateway leaves", planned, lab, a, b, west, leave)
        tests.run("the gateway sleeps", asleep, lab, a, b, east)
        tests.run("a phone at the gateway itself", at_gateway, lab, b, east)
    print(f"{time.monotonic() - begin:.0f} s")
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
