#!/usr/bin/env python3
"""Attacks, one after the other, on two overlays whose honest phones call once a second.

    attack.py [NAME ...] [--keep]

For each attack: honest calls begun before, while and after it (failed, slower than 2 s, the slowest), memory and descriptors of the
node that holds most of them.  It fails when a daemon ends, when an honest call fails (while a flood lasts: when more than 1 in 100
does, or one that begins later than 5 s after it), or when memory does not come back within 60 s.
"""
import argparse
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from honest import IN_TIME_S, Pair, Phone, held  # noqa: E402
import deeds  # noqa: E402
from lab import Lab, LabError, wait_for  # noqa: E402

BEFORE_S, SETTLE_S, AFTER_S = 5, 5, 10
MEMORY_BACK_S = 60
MEMORY_SLACK_KIB = 64 * 1024  # what a node may hold more after an attack than before it


class Row:
    """What one attack did."""

    def __init__(self, attack, lab, pairs):
        self.attack, self.lab, self.pairs = attack, lab, pairs
        self.is_flood = attack in deeds.FLOOD_ATTACKS
        self.problems = []

    def sum_of(self, since, until):
        rows = [pair.of(since, until) for pair in self.pairs]
        return (sum(r[0] for r in rows), sum(r[1] for r in rows), sum(r[2] for r in rows), max(r[3] for r in rows))

    def held(self):
        return [held(node) for node in self.lab.nodes()]

    def run(self):
        start = time.monotonic()
        time.sleep(BEFORE_S)
        before, begin = self.held(), time.monotonic()
        try:
            self.attack(self.lab)
        except LabError as problem:
            self.problems.append(str(problem))
        most, end = self.held(), time.monotonic()
        time.sleep(SETTLE_S + AFTER_S)
        stop = time.monotonic()
        self.spans = [self.sum_of(start, begin), self.sum_of(begin, end), self.sum_of(end, end + SETTLE_S), self.sum_of(end + SETTLE_S, stop)]
        self.failures = [p for pair in self.pairs for p in pair.problems(start, stop)]
        self.memory = self.wait_memory(before, most, end)
        self.judge()

    def wait_memory(self, before, most, end):
        """(KiB before, while, after, descriptors before, while, after) of the node that grew most."""
        def grown():
            return [now[0] - then[0] for now, then in zip(self.held(), before)]
        while max(grown()) > MEMORY_SLACK_KIB and time.monotonic() < end + MEMORY_BACK_S:
            time.sleep(1)
        after, more = self.held(), grown()
        worst = max(range(len(before)), key=lambda i: most[i][0] - before[i][0])
        if max(more) > MEMORY_SLACK_KIB:
            self.problems.append(f"{max(more) // 1024} MiB kept after {MEMORY_BACK_S} s")
        return (*(h[worst][0] for h in (before, most, after)), *(h[worst][1] for h in (before, most, after)))

    def judge(self):
        _, during, settling, after = self.spans
        for node in self.lab.nodes():
            if not node.is_running():
                self.problems.append(f"{node.name} ended with {node.process.returncode}: {node.log()[-300:]}")
                node.start()
        if self.is_flood:
            calls = during[0]
            if during[1] + during[2] > calls / 100:
                self.problems.append(f"{during[1] + during[2]} of {calls} calls not up within {IN_TIME_S:g} s")
            if after[1] + after[2]:
                self.problems.append(f"{after[1] + after[2]} calls failed later than {SETTLE_S} s after it")
        elif during[1] + settling[1] + after[1]:
            self.problems.append(f"{during[1] + settling[1] + after[1]} honest calls failed")

    def text(self):
        def span(row):
            return f"{row[0]:4d} {row[1]:3d} {row[2]:3d} {row[3] * 1000:6.0f}"
        memory = "  ".join(f"{kib / 1024:6.0f}" for kib in self.memory[:3]) + "  " + " ".join(f"{n:5d}" for n in self.memory[3:])
        return f"{self.attack.__name__:22s} " + " | ".join(span(s) for s in self.spans) + f" | {memory}"


def laboratory(options):
    lab = Lab(build=options.build, log_level="remote", local_extra="")
    lab.notes, lab.intruders = [], options.intruders
    for name, net in (("east", "127.91.1"), ("west", "127.91.2")):
        lab.island(name, net, 3)
    lab.prepare()
    east = lab.islands[0]
    lab.spy_local, lab.spy_ring = os.path.join(lab.dir, "spy-local"), os.path.join(lab.dir, "spy-ring")
    for authority, user, out in ((east.authority, "spy.site@east", lab.spy_local), (lab.authority, "overlay@east", lab.spy_ring)):
        lab.ctl_offline("ca", "issue", authority, "--address", deeds.SPY, "--user", user, "--out", out)
    lab.deeds = deeds.deeds_of(os.path.join(lab.intruders, "tests/e2e/intruder"))
    lab.start()
    lab.wait_joined(60)
    return lab


def phones(lab):
    """Honest pairs: each way between the overlays and inside one, at gateways and at other nodes, by UDP and TCP."""
    east, west = lab.islands
    pairs = []
    for number, (name, one, other, transport) in enumerate((
            ("east to west", east.others()[0], west.others()[0], "udp"), ("west to east", west.others()[1], east.others()[1], "tcp"),
            ("gateway to gateway", east.gateway(), west.gateway(), "udp"), ("inside east", east.others()[0], east.others()[1], "udp"))):
        a = Phone(f"127.91.3.{number + 1}", f"a{number}", one.island.domain, one.sip, transport)
        user = "target" if number == 0 else f"b{number}"
        b = Phone(f"127.91.4.{number + 1}", user, other.island.domain, other.sip, transport)
        a.register()
        b.register()
        pairs.append(Pair(name, a, b))
    for pair in pairs:
        pair.start()
    wait_for("each pair has called", lambda: all(pair.calls for pair in pairs), 20)
    return pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--build")
    parser.add_argument("--intruders", default=os.environ.get("RINGWAY_INTRUDERS") or os.environ.get("RINGWAY_BUILD") or "build/release")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    wanted = [a for a in deeds.ATTACKS if not options.names or a.__name__ in options.names]
    lab = laboratory(options)
    passed = failed = 0
    try:
        pairs = phones(lab)
        print("calls, failed, slower than 2 s, slowest ms: before | while | 5 s after | then | MiB before, while, after; descriptors", flush=True)
        for attack in wanted:
            row = Row(attack, lab, pairs)
            row.run()
            print(row.text(), flush=True)
            for problem in row.problems + row.failures[:5]:
                print(f"    {problem}", flush=True)
            passed, failed = passed + (not row.problems), failed + bool(row.problems)
        for pair in pairs:
            pair.is_ending = True
        print("\n".join(lab.notes))
    except LabError as problem:
        print(f"the laboratory: {problem}")
        failed += 1
    finally:
        lab.stop(keep=options.keep)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
