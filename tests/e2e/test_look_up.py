#!/usr/bin/env python3
"""The peer that is responsible for a record hangs: who looks it up is answered from a copy, and does not wait for it."""
import signal
import sys
import time

from common import Tests, lab_of
from lab import LabError
from agent import Agent

USERS = 16
MOST_S = 2  # without load 0.35; 0.8 where the responsible peer alone is asked


def slowest_of(caller, phone, uris):
    """MESSAGEs to all at once; when the last one has arrived and is answered."""
    begin = time.monotonic()
    for uri in uris:
        caller.request("MESSAGE", uri, body="hello")
    for _ in uris:
        phone.answer(phone.expect_request("MESSAGE"), 200)
    took = time.monotonic() - begin
    for _ in uris:
        caller.expect_status(200, "MESSAGE")
    return took


def is_answered_from_copies(lab, net):
    island = lab.islands[0]
    serving, hung, *asking = island.nodes
    phone = Agent(f"{net}.1", "phone", island.domain, serving.sip)
    uris = []
    for n in range(USERS):
        phone.user, phone.uri = f"u{n}", f"sip:u{n}@{island.domain}"
        phone.register()
        uris.append(phone.uri)
    caller = Agent(f"{net}.2", "caller", island.domain, asking[0].sip)
    caller.register()
    hung.hang()
    try:
        slowest = slowest_of(caller, phone, uris)
    finally:
        hung.process.send_signal(signal.SIGCONT)
    print(f"     {island.algorithm}: the slowest of {USERS} took {slowest:.2f} s")
    if slowest > MOST_S:
        raise LabError(f"one took {slowest:.2f} s")


def main():
    tests = Tests()
    for n, algorithm in enumerate(sys.argv[1:] or ("chord", "pastry", "can")):
        with lab_of(tests, [("east", f"127.{110 + n}.0", 4, algorithm)]) as lab:
            tests.run(f"{algorithm}: a hung peer's records are found", is_answered_from_copies, lab, f"127.{110 + n}.9")
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
