#!/usr/bin/env python3
"""Calls that are up survive the death of their gateway."""
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from survive import (NO_UPDATE, UPDATE, copied, gateway_of, hang_up, hold, make_calls, no_calls, phones_at, quiet,
                     restored, spare_nodes, take_invite, take_update)
import scenarios

ISLANDS = [("east", "127.57.0", 3), ("west", "127.58.0", 3)]
PHONES = "127.59.0"


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


@restored
def parted(lab, a, b, island):
    """Both ends know that it is over, and a request of it has no response yet: whoever takes over leaves them alone."""
    call = make_calls(a, b, 1, UPDATE, lab.islands)[0]
    old = gateway_of(island)
    a.in_dialog(call.dialog[a], "INFO")
    info = b.expect_request("INFO")
    hang_up(call, b)
    if not old.ctl("calls"):
        raise LabError("nothing of it is left")
    wait_for("the stand-bys have no copy", lambda: copied(island, 0), 10)
    old.kill()
    gateway_of(island)
    for phone in (a, b):
        phone.expect_nothing("a refresh", lambda m: not m.is_response and m.method != "INFO", 1)
    a.expect("a refusal", lambda m: m.is_response and m.method == "INFO" and m.status >= 400, 40)
    b.answer(info, 200, "OK")  # the other gateway still has it
    for phone in (a, b):
        phone.waiting.clear()
    no_calls(lab)


def by_update(phone, call):
    take_update(phone, call.dialog[phone])


def by_invite(phone, call):
    other = call.other(phone)
    take_invite(phone, call.dialog[phone], other.sdp(1 if other is call.phones[0] else 2))


def main():
    tests = Tests()
    begin = time.monotonic()
    with lab_of(tests, ISLANDS, hello_ms=500) as lab:
        east, west = lab.islands
        a, b = phones_at(lab, spare_nodes(lab), PHONES)
        tests.run("a call before", scenarios.basic, a, b)
        tests.run("the caller's gateway dies", killed, lab, a, b, east, UPDATE, by_update)
        tests.run("the callee's gateway dies", killed, lab, a, b, west, UPDATE, by_update)
        tests.run("a call that is over", parted, lab, a, b, east)
        tests.run("phones without UPDATE", killed, lab, a, b, east, NO_UPDATE, by_invite)
        tests.run("a callee without UPDATE", killed, lab, a, b, west, NO_UPDATE, by_invite)
    print(f"{time.monotonic() - begin:.0f} s")
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
