#!/usr/bin/env python3
"""Calls that ring when a gateway between the phones dies.  The phone that rings is answered and it is this call, or
it stops ringing; it is never called twice, and nobody talks to dead air.
"""
import os
import sys
import time

from common import Tests, lab_of
from lab import LabError
from agent import Agent
from ringing import Ringing, STOPS_S
import survive

ISLANDS = [("east", "127.84.61", 4), ("west", "127.84.62", 4)]
PHONES = "127.84.63"
DELAYS = (0.0, 0.02, 0.3, 1.2)  # of the answer, after the death
ROUNDS = int(os.environ.get("ROUNDS", len(DELAYS)))


def gateway_dies(lab, which, alice, bob):
    """@which overlay's, the callee's or the caller's."""
    for n in range(ROUNDS):
        gateway = survive.gateway_of(lab.islands[which])
        call = Ringing(alice, bob)
        time.sleep(0.1)
        gateway.kill()
        try:
            call.wait(DELAYS[n % len(DELAYS)])
            call.talk()
        finally:
            survive.back_in_role(gateway)


def caller_gives_up(lab, which, alice, bob):
    """He does while there is no gateway, and when there is the next one."""
    for pause in (0.0, 1.0):
        gateway = survive.gateway_of(lab.islands[which])
        call = Ringing(alice, bob)
        time.sleep(0.1)
        gateway.kill()
        try:
            call.wait(pause)
            alice.cancel(bob.uri, call.sent)
            call.stops(STOPS_S + 0.5)
            call.until("the caller's end", lambda: call.final, STOPS_S + 0.5)
            if call.final.status != 487:
                raise LabError(f"the caller got {call.final.start}")
        finally:
            survive.back_in_role(gateway)


def phones(lab):
    spare = survive.spare_nodes(lab)
    pair = [Agent(f"{PHONES}.{n + 1}", user, island.domain, node.sip)
            for n, (user, island, node) in enumerate(zip(("alice", "bob"), lab.islands, spare))]
    for phone in pair:
        phone.register()
    return pair


def main():
    tests = Tests()
    wanted = sys.argv[1:]
    with lab_of(tests, ISLANDS, log_level=os.environ.get("LEVEL", "info")) as lab:
        alice, bob = phones(lab)
        for name, test, which in (("the caller's gateway dies", gateway_dies, 0),
                                  ("the callee's gateway dies", gateway_dies, 1),
                                  ("the caller's gateway dies, and he gives up", caller_gives_up, 0),
                                  ("the callee's gateway dies, and the caller gives up", caller_gives_up, 1)):
            if not wanted or name in wanted:
                tests.run(name, test, lab, which, alice, bob)
        survive.no_calls(lab)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
