#!/usr/bin/env python3
"""Calls that ring when a phone's serving peer dies: nobody's phone rings for a caller who is gone, and no caller waits
for a phone that cannot answer.  `--rounds 20` says how often.
"""
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent
from ringing import Ringing, STOPS_S, Tally, arguments
import survive

ISLANDS = [("east", "127.84.71", 3), ("west", "127.84.72", 3)]
PHONES = "127.84.73"


class Phones:
    """alice in the first overlay and bob in the second, each at a node that is no gateway."""

    def __init__(self, lab):
        self.spare = survive.spare_nodes(lab)
        self.pair = [Agent(f"{PHONES}.{n + 1}", user, island.domain, node.sip)
                     for n, (user, island, node) in enumerate(zip(("alice", "bob"), lab.islands, self.spare))]
        self.register()

    def register(self):
        for phone in self.pair:
            phone.waiting.clear()
            phone.register()


def of_caller(call):
    """The callee stops ringing, whoever finds out that the caller's peer is gone."""
    return call.stops()


def of_callee(call):
    """The caller has a final response."""
    took = call.until("the caller's final response", lambda: call.final, STOPS_S)
    if call.final.status not in (408, 480, 500):
        raise LabError(f"the caller got {call.final.start}")
    return took


def one_round(phones, pair, node, test, n):
    call = Ringing(*pair)
    time.sleep(0.05 * (n % 3))
    node.kill()
    try:
        return test(call)
    finally:
        survive.back(node)
        phones.register()


def many_rounds(name, rounds, phones, pair, node, test):
    tally = Tally(name)
    for n in range(rounds):
        tally.play(one_round, phones, pair, node, test, n)
    tally.end()


def inside(name, rounds, phones, lab, which):
    """The same where both are in one overlay."""
    carol = Agent(f"{PHONES}.3", "carol", lab.islands[0].domain, survive.gateway_of(lab.islands[0]).sip)
    try:
        carol.register()
        pair = (phones.pair[0], carol) if which == 0 else (carol, phones.pair[0])
        many_rounds(name, rounds, phones, pair, phones.spare[0], of_callee if which else of_caller)
    finally:
        carol.close()


def main():
    tests = Tests()
    rounds, wanted = arguments(0)
    with lab_of(tests, ISLANDS) as lab:
        phones = Phones(lab)
        for n, (whose, test) in enumerate((("caller", of_caller), ("callee", of_callee))):
            name = f"the {whose}'s serving peer dies"
            if not wanted or name in wanted:
                tests.run(name, many_rounds, name, rounds or 3, phones, phones.pair, phones.spare[n], test)
            name += ", inside one overlay"
            if not wanted or name in wanted:
                tests.run(name, inside, name, rounds or 1, phones, lab, n)
        wait_for("no call is left", lambda: all(call["state"] == "ending" for node in lab.nodes() for call in node.ctl("calls")), 20)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
