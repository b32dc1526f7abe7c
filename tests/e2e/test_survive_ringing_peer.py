#!/usr/bin/env python3
"""Calls that ring when a phone's serving peer dies: nobody's phone rings for a caller who is gone, and no caller waits
for a phone that cannot answer.
"""
import os
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent
from ringing import Ringing, STOPS_S
import survive

ISLANDS = [("east", "127.84.71", 3), ("west", "127.84.72", 3)]
PHONES = "127.84.73"
ROUNDS = int(os.environ.get("ROUNDS", 3))


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


def of_caller(phones, node):
    """bob stops ringing, whoever finds out that alice's peer is gone."""
    for n in range(ROUNDS):
        call = Ringing(*phones.pair)
        time.sleep(0.05 * n)
        node.kill()
        try:
            call.stops()
        finally:
            survive.back(node)
            phones.register()


def of_callee(phones, node):
    """alice has a final response."""
    for n in range(ROUNDS):
        call = Ringing(*phones.pair)
        time.sleep(0.05 * n)
        node.kill()
        try:
            call.until("the caller's final response", lambda: call.final, STOPS_S)
            if call.final.status not in (408, 480, 500):
                raise LabError(f"the caller got {call.final.start}")
        finally:
            survive.back(node)
            phones.register()


def inside(phones, lab, which):
    """The same where both are in one overlay."""
    caller_node, callee_node = phones.spare[0], survive.gateway_of(lab.islands[0])
    carol = Agent(f"{PHONES}.3", "carol", lab.islands[0].domain, callee_node.sip)
    try:
        carol.register()
        pair = (phones.pair[0], carol) if which == 0 else (carol, phones.pair[0])
        call = Ringing(*pair)
        caller_node.kill()
        try:
            if which == 0:
                call.stops()
            else:
                call.until("the caller's final response", lambda: call.final, STOPS_S)
        finally:
            survive.back(caller_node)
            phones.register()
    finally:
        carol.close()


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        phones = Phones(lab)
        tests.run("the caller's serving peer dies", of_caller, phones, phones.spare[0])
        tests.run("the callee's serving peer dies", of_callee, phones, phones.spare[1])
        tests.run("the caller's serving peer dies, inside one overlay", inside, phones, lab, 0)
        tests.run("the callee's serving peer dies, inside one overlay", inside, phones, lab, 1)
        wait_for("no call is left", lambda: all(call["state"] == "ending" for node in lab.nodes() for call in node.ctl("calls")), 20)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
