#!/usr/bin/env python3
"""Overlays that have just started: phones call from the first moment, and nobody who is registered is
said not to exist.  An overlay that comes later is found by those that were there alone before.
"""
import itertools
import sys
import time

from common import Tests, clean_log, same_codes
from lab import Lab, LabError, wait_for
from agent import Agent

PHONES = itertools.count(1)
PAUSE_S, ANSWERED, PATIENCE_S = 0.1, 5, 40


def phone(node, user, net):
    """A phone that registers as soon as its node has joined."""
    wait_for(f"{node.name} joins", lambda: node.local_state() in ("joined", "alone"), PATIENCE_S, 0.02)
    agent = Agent(f"{net}.{next(PHONES)}", user, node.island.domain, node.sip)
    agent.register()
    return agent


class Caller:
    """Sends OPTIONS to each of several callees without waiting for an answer; counts what came."""

    def __init__(self, agent):
        self.agent, self.answers = agent, {}

    def ask(self, callees):
        for callee in callees:
            self.agent.request("OPTIONS", callee.uri)

    def read(self):
        self.agent.poll(0.002)
        while self.agent.waiting:
            message = self.agent.waiting.pop(0)
            if message.is_response and message.status >= 200:
                to = message.get("to").split(":")[1].split("@")[0]
                self.answers.setdefault(to, []).append(message.status)


def serve(callee):
    callee.poll(0.002)
    while callee.waiting:
        request = callee.waiting.pop(0)
        if not request.is_response:
            callee.answer(request, 200, "OK", "t")


def call_until_answered(caller, callees):
    end = time.monotonic() + PATIENCE_S
    next_call = 0.0
    while time.monotonic() < end:
        if time.monotonic() >= next_call:
            caller.ask(callees)
            next_call = time.monotonic() + PAUSE_S
        for callee in callees:
            serve(callee)
        caller.read()
        if all(caller.answers.get(callee.user, []).count(200) >= ANSWERED for callee in callees):
            return
    raise LabError(f"not all are answered: {caller.answers}")


def end(lab, phones):
    """Every daemon leaves with exit code 0, without a word of the sanitizers."""
    for one in phones:
        one.close()
    codes = lab.stop(keep=True)
    logs = [node.log() for node in lab.nodes()]
    lab.stop()
    same_codes(codes)
    for log in logs:
        clean_log(log)


def fresh_start(net, algorithms, gap_s):
    """The overlays start one @gap_s after the other; a phone of the first calls one of each other."""
    lab = Lab()
    for i, algorithm in enumerate(algorithms):
        lab.island(f"{algorithm}{i}", f"{net}{i}", 2, algorithm)
    lab.prepare()
    phones = []
    try:
        for island in lab.islands:
            for node in island.nodes:
                node.start()
            if island is not lab.islands[-1]:
                time.sleep(gap_s)  # what is told apart here is the distance of two starts
        phones = [phone(island.nodes[-1], f"user{i}", f"{net}9") for i, island in enumerate(lab.islands)]
        caller = Caller(phones[0])
        call_until_answered(caller, phones[1:])
        bad = {to: statuses for to, statuses in caller.answers.items() if set(statuses) - {200, 500, 503}}
        if bad:
            raise LabError(f"a registered phone is refused: {bad}")
    finally:
        end(lab, phones)


def main():
    tests = Tests()
    tests.run("two overlays at once", fresh_start, "127.84.1", ["chord", "chord"], 0)
    tests.run("a second one that comes while the first is young", fresh_start, "127.84.2", ["pastry", "chord"], 1.5)
    tests.run("a second one that comes when the first has been alone", fresh_start, "127.84.3", ["chord", "can"], 4.5)
    tests.run("three of three kinds", fresh_start, "127.84.4", ["can", "pastry", "chord"], 0.4)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
