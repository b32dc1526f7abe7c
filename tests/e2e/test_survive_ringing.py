#!/usr/bin/env python3
"""Calls that ring when a gateway between the phones dies.  The phone that rings is answered and it is this call, or
it stops ringing; it is never called twice, and nobody talks to dead air.  `--rounds 20` says how often.
"""
import os
import sys
import time

from common import Tests, lab_of
from lab import LabError
from agent import Agent
from ringing import Ringing, STOPS_S, Tally, arguments
import survive

ISLANDS = [("east", "127.84.61", 4), ("west", "127.84.62", 4)]
PHONES = "127.84.63"
DELAYS = (0.0, 0.02, 0.3, 1.2)  # of the answer, after the death
PAUSES = (0.0, 1.0)  # before the caller gives up


def gateway_dies(call, n):
    """It is answered."""
    call.wait(DELAYS[n % len(DELAYS)])
    call.talk()


def caller_gives_up(call, n):
    """He does while there is no gateway, and when there is the next one."""
    call.wait(PAUSES[n % len(PAUSES)])
    call.caller.cancel(call.callee.uri, call.sent)
    took = call.stops(STOPS_S + 0.5)
    call.until("the caller's end", lambda: call.final, STOPS_S + 0.5)
    if call.final.status != 487:
        raise LabError(f"the caller got {call.final.start}")
    return took


def one_round(lab, which, phones, test, n):
    """The gateway of @which overlay dies, the callee's or the caller's, while a phone rings."""
    gateway = survive.gateway_of(lab.islands[which])
    call = Ringing(*phones)
    time.sleep(0.1)
    gateway.kill()
    try:
        return test(call, n)
    finally:
        survive.back_in_role(gateway)


def many_rounds(name, rounds, lab, which, phones, test):
    tally = Tally(name)
    for n in range(rounds):
        tally.play(one_round, lab, which, phones, test, n)
    tally.end()


def phones(lab):
    spare = survive.spare_nodes(lab)
    pair = [Agent(f"{PHONES}.{n + 1}", user, island.domain, node.sip)
            for n, (user, island, node) in enumerate(zip(("alice", "bob"), lab.islands, spare))]
    for phone in pair:
        phone.register()
    return pair


def main():
    tests = Tests()
    rounds, wanted = arguments(0)
    with lab_of(tests, ISLANDS, log_level=os.environ.get("LEVEL", "info")) as lab:
        pair = phones(lab)
        for name, test, which, few in (("the caller's gateway dies", gateway_dies, 0, len(DELAYS)),
                                       ("the callee's gateway dies", gateway_dies, 1, len(DELAYS)),
                                       ("the caller's gateway dies, and he gives up", caller_gives_up, 0, len(PAUSES)),
                                       ("the callee's gateway dies, and the caller gives up", caller_gives_up, 1,
                                        len(PAUSES))):
            if not wanted or name in wanted:
                tests.run(name, many_rounds, name, rounds or few, lab, which, pair, test)
        survive.no_calls(lab)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
