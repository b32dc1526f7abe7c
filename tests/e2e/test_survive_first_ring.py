#!/usr/bin/env python3
"""A gateway dies in the moment in which the callee's phone gets the INVITE: no other node has a copy of the call.  The
phone is called once, and what it answers is this call.
"""
import os
import sys

from common import Tests, lab_of
from lab import LabError, wait_for
from ringing import Ringing
import survive

OVERLAYS = [("east", "127.84.85", 4), ("west", "127.84.86", 4)]
PHONES = "127.84.87"
DELAYS = (0.05, 0.6, 1.5)  # of the answer, after the death
ROUNDS = int(os.environ.get("ROUNDS", len(DELAYS)))


def gateway_dies(lab, which, alice, bob):
    """@which overlay's, the callee's or the caller's."""
    for n in range(ROUNDS):
        gateway = survive.gateway_of(lab.islands[which])
        wait_for("a standby", lambda g=gateway: g.ctl("status")["replicas"]["heirs"], 20)
        call = Ringing(alice, bob, at_once=lambda _, g=gateway: g.process.kill())
        gateway.kill()
        try:
            call.wait(DELAYS[n % len(DELAYS)])
            call.talk()
        except LabError as problem:
            raise LabError(f"round {n}: {problem}") from problem
        finally:
            survive.back_in_role(gateway)


def main():
    tests = Tests()
    wanted = sys.argv[1:]
    with lab_of(tests, OVERLAYS, log_level=os.environ.get("LEVEL", "info")) as lab:
        alice, bob = survive.phones_at(lab, survive.spare_nodes(lab), PHONES)
        for name, which in (("the caller's gateway dies", 0), ("the callee's gateway dies", 1)):
            if not wanted or name in wanted:
                tests.run(name, gateway_dies, lab, which, alice, bob)
        survive.no_calls(lab)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
