#!/usr/bin/env python3
"""make starts: overlays that start, many times, with phones that call from the first moment.

    starts.py [--rounds N] [--seed N]

Each round has two or three overlays of kinds and distances in time drawn from the seed; a phone of the first registers as soon as
its node has joined, and so does one of each other; the first calls each of them every 100 ms.  Told for each round: what the
callers heard, and how long after the entry of the later overlay's gateway was in the ring the first call was answered.  It fails when
a phone that is registered is said not to exist (404), or is not answered within PATIENCE_S.
"""
import argparse
import os
import random
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "e2e"), os.path.join(os.path.dirname(HERE), "lab")]
from lab import Lab, LabError  # noqa: E402
from test_start import ANSWERED, PATIENCE_S, PAUSE_S, Caller, end, phone, serve  # noqa: E402

KINDS = ("chord", "pastry", "can")


class Publication:
    """When the entry of an overlay's gateway was in the ring, as its nodes tell."""

    def __init__(self, islands):
        self.at = {}
        self.islands, self.is_over = islands, False
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while not self.is_over and len(self.at) < len(self.islands):
            for island in self.islands:
                if island.name not in self.at and any(self._is_published(node) for node in island.nodes):
                    self.at[island.name] = time.monotonic()
            time.sleep(0.02)

    @staticmethod
    def _is_published(node):
        status = node.ctl("status") if node.is_running() else None
        ring = status and status["ring"]
        return bool(ring and status["election"]["role"] == "active" and ring["published"])

    def end(self):
        """Calls may have been answered before the gateway knew that its entry was stored."""
        self.thread.join(10)
        self.is_over = True
        self.thread.join(5)
        if len(self.at) < len(self.islands):
            raise LabError(f"published: {list(self.at)}")


def call(caller, callees):
    """Calls each until it was answered ANSWERED times; {user: when first answered}."""
    late, next_call, first = time.monotonic() + PATIENCE_S, 0.0, {}
    while time.monotonic() < late and len(first) < len(callees) or \
            any(caller.answers.get(c.user, []).count(200) < ANSWERED for c in callees):
        if time.monotonic() >= late:
            raise LabError(f"not all are answered: {caller.answers}")
        if time.monotonic() >= next_call:
            caller.ask(callees)
            next_call = time.monotonic() + PAUSE_S
        for callee in callees:
            serve(callee)
        caller.read()
        for callee in callees:
            if callee.user not in first and 200 in caller.answers.get(callee.user, []):
                first[callee.user] = time.monotonic()
    return first


def one_round(number, chance):
    """(line to be told, {status: count})"""
    kinds = [chance.choice(KINDS) for _ in range(chance.choice((2, 3)))]
    gaps = [chance.choice((0, 0, 0.4, 1.5, 4.5)) for _ in kinds[1:]]
    lab = Lab()
    for i, kind in enumerate(kinds):
        lab.island(f"{kind}{i}", f"127.{84 + i}.{10 + number % 200}", 2, kind)
    lab.prepare()
    phones = []
    try:
        for island, gap_s in zip(lab.islands, [*gaps, 0]):
            for node in island.nodes:
                node.start()
            time.sleep(gap_s)  # the distance of two starts
        publication = Publication(lab.islands)
        phones = [phone(island.nodes[-1], f"user{i}", f"127.90.{10 + number % 200}")
                  for i, island in enumerate(lab.islands)]
        caller = Caller(phones[0])
        first = call(caller, phones[1:])
        publication.end()
        later = [max(publication.at[lab.islands[0].name], publication.at[island.name]) for island in lab.islands[1:]]
        waits = [max(0.0, first[callee.user] - at) for callee, at in zip(phones[1:], later)]
    finally:
        end(lab, phones)
    heard = {}
    for statuses in caller.answers.values():
        for status in statuses:
            heard[status] = heard.get(status, 0) + 1
    return f"{'+'.join(kinds)}, {gaps} s apart: {heard}, answered {max(waits):.2f} s after the entry was there", heard, max(waits)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance, failed, all_heard, waits = random.Random(options.seed), 0, {}, []
    for number in range(options.rounds):
        try:
            line, heard, wait_s = one_round(number, chance)
            waits.append(wait_s)
            if 404 in heard:
                failed += 1
                line = f"FAIL {line}"
            for status, count in heard.items():
                all_heard[status] = all_heard.get(status, 0) + count
        except LabError as problem:
            failed += 1
            line = f"FAIL {problem}"
        print(f"{number + 1:3d} {line}", flush=True)
    waits.sort()
    print(f"{options.rounds - failed} of {options.rounds} starts; heard {all_heard}; answered after the later entry: "
          f"median {waits[len(waits) // 2]:.2f} s, longest {waits[-1]:.2f} s" if waits else "no start")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
