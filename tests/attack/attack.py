#!/usr/bin/env python3
"""Attacks, one after the other, on two overlays whose honest phones call once a second.

    attack.py [NAME ...] [--keep]

For each attack: honest calls begun before, while and after it (failed, slower than 2 s, the slowest), memory and descriptors of the
node that grew most.  It fails when a daemon ends, when an honest call fails (while a flood lasts: when more than 1 in 100 is not up
within 2 s; after one: when a call fails that begins later than 5 s after it), when memory does not come back within 60 s, and when the
attack itself sees that it has succeeded.  Where the machine stood still meanwhile (other work on it) a failed attack is
tried again, twice at most, and that is told.  All of it takes less than 15 minutes; what has not begun by then counts as failed.
"""
import argparse
import os
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from honest import IN_TIME_S, Pair, Phone, Pulse, held  # noqa: E402
import deeds  # noqa: E402
import members  # noqa: E402
from lab import Lab, LabError, wait_for  # noqa: E402

BEFORE_S, SETTLE_S, AFTER_S = 3, 5, 4
MEMORY_BACK_S = 60
MEMORY_SLACK_KIB = 24 * 1024  # what a node may hold more after an attack than before it
ALL_S = 900
TRIES = 3
HTTP_PORT = 8084

# The line of the list of inputs that must not break the line, and what tries it; what changes most comes last.
ATTACKS = (("A1", deeds.unanswerable), ("A2", deeds.header_injection), ("A3", deeds.contact_of_another), ("A4", deeds.same_private_contact),
           ("A5", members.terms), ("A9", members.replica_stores), ("A10", deeds.named_in_a_dialog), ("A10", deeds.address_of_another),
           ("A10", deeds.spoofed_source), ("A10", members.names_of_others), ("A10", members.sip_of_members), ("A10", members.noise),
           ("A11", members.odd_certificates), ("A12", deeds.slow_http), ("A13", deeds.take_over_by_header), ("A14", deeds.odd_messages),
           ("A15", deeds.overwritten_plugin), ("A8", deeds.idle_connections), ("A10", members.routes_and_fragments), ("A7", members.full_store),
           ("A6", deeds.flood_dead), ("A6", deeds.flood_unacknowledged), ("A6", deeds.flood_invites), ("A6", deeds.flood_registers))
HEAD = ("line attack                  before         |     while         |    5 s after      |      then         |  MiB before  while  after | "
        "descriptors\n" + " " * 24 + "calls bad slow   ms | calls bad slow   ms | calls bad slow   ms | calls bad slow   ms |")


class Row:
    """What one attack did."""

    def __init__(self, line, attack, lab, pairs):
        self.line, self.attack, self.lab, self.pairs = line, attack, lab, pairs
        self.is_flood = attack.__name__.startswith("flood_")
        self.problems, self.failures, self.stalled_s = [], [], 0.0

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
        except (LabError, OSError) as problem:
            self.problems.append(f"{type(problem).__name__}: {problem}")
        most, end = self.held(), time.monotonic()
        time.sleep(SETTLE_S + AFTER_S)
        stop = time.monotonic()
        for action in self.lab.after:
            action()
        self.lab.after.clear()
        self.memory = self.wait_memory(before, most, end)
        self.spans = [self.sum_of(start, begin), self.sum_of(begin, end), self.sum_of(end, end + SETTLE_S), self.sum_of(end + SETTLE_S, stop)]
        self.stalled_s = self.lab.pulse.stood_still_s(start, stop)
        self.failures = [p for pair in self.pairs for p in pair.problems(start, stop)]
        self.judge()

    def wait_memory(self, before, most, end):
        """(KiB before, while, after, descriptors before, while, after) of the node that grew most."""
        def grown():
            return [now[0] - then[0] for now, then in zip(self.held(), before)]
        back_s = MEMORY_BACK_S + getattr(self.attack, "lasts_s", 0)
        while max(grown()) > MEMORY_SLACK_KIB and time.monotonic() < end + back_s:
            time.sleep(1)
        after, more = self.held(), grown()
        worst = max(range(len(before)), key=lambda i: most[i][0] - before[i][0])
        if max(more) > MEMORY_SLACK_KIB:
            self.problems.append(f"{max(more) // 1024} MiB kept after {back_s} s")
        return (*(h[worst][0] for h in (before, most, after)), *(h[worst][1] for h in (before, most, after)))

    def judge(self):
        _, during, settling, after = self.spans
        for node in self.lab.nodes():
            if not node.is_running():
                self.problems.append(f"{node.name} ended with {node.process.returncode}: {node.log()[-300:]}")
                node.start()
        if not self.is_flood:
            if during[1] + settling[1] + after[1]:
                self.problems.append(f"{during[1] + settling[1] + after[1]} honest calls failed")
            return
        if during[1] + during[2] > during[0] / 100:
            self.problems.append(f"{during[1] + during[2]} of {during[0]} calls not up within {IN_TIME_S:g} s")
        if after[1] + after[2]:
            self.problems.append(f"{after[1] + after[2]} calls failed later than {SETTLE_S} s after it")

    def text(self):
        def span(row):
            return f"{row[0]:5d} {row[1]:3d} {row[2]:4d} {row[3] * 1000:5.0f}"
        memory = "  ".join(f"{kib / 1024:6.0f}" for kib in self.memory[:3]) + " | " + " ".join(f"{n:5d}" for n in self.memory[3:])
        return f"{self.line:4s} {self.attack.__name__:20s}" + " | ".join(span(s) for s in self.spans) + f" |  {memory}"


def laboratory(options):
    lab = Lab(build=options.build, log_level="remote")
    lab.notes, lab.after, lab.intruders, lab.http_port = [], [], options.intruders, HTTP_PORT
    for name, net in (("east", "127.91.1"), ("west", "127.91.2")):
        lab.island(name, net, 3)
    lab.prepare()
    lab.plugins = os.path.join(lab.dir, "plugins")
    os.mkdir(lab.plugins)
    shutil.copyfile(os.path.join(options.intruders, "tests/contract/foreign/onehop.so"), os.path.join(lab.plugins, "onehop.so"))
    for node in lab.nodes():
        kept = {"control_extra": f'http = "{node.host}:{HTTP_PORT}"'}
        if node.island.name == "west":
            kept.update(algorithm="onehop", local_extra=f'plugin-dir = "{lab.plugins}"\n  max-records = {members.RECORDS}')
        node.configure(**kept)
    lab.spies = members.Spies(lab)
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


def attack_all(lab, wanted, begin):
    """The rows, printed as they come; the last is None where the time was over."""
    pairs, rows = phones(lab), []
    print(HEAD, flush=True)
    for line, attack in wanted:
        if time.monotonic() - begin > ALL_S - 60:
            print(f"{line:4s} {attack.__name__}: not begun, the time is over", flush=True)
            rows.append(None)
            continue
        for chance in range(TRIES):
            row = Row(line, attack, lab, pairs)
            row.run()
            print(row.text(), flush=True)
            for problem in row.problems + row.failures[:5]:
                print(f"    {problem}", flush=True)
            if not row.problems or not row.stalled_s or time.monotonic() - begin > ALL_S / 2:
                break
            print(f"    the machine stood still for {row.stalled_s:.1f} s of it", flush=True)
        rows.append(row)
    for pair in pairs:
        pair.is_ending = True
    lab.notes.append(f"refreshes of honest phones put off with 500 or 503: {sum(pair.put_off for pair in pairs)}")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=" ".join(attack.__name__ for _, attack in ATTACKS))
    parser.add_argument("--build")
    parser.add_argument("--intruders", default=os.environ.get("RINGWAY_INTRUDERS") or os.environ.get("RINGWAY_BUILD") or "build/release")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    wanted = [a for a in ATTACKS if not options.names or a[1].__name__ in options.names]
    rows, begin = [], time.monotonic()
    lab = laboratory(options)
    lab.pulse = Pulse()
    lab.pulse.start()
    try:
        rows = attack_all(lab, wanted, begin)
        print("\n".join(["", *lab.notes, "", HEAD, *(row.text() + ("  FAILED" if row.problems else "") for row in rows if row)]))
    except LabError as problem:
        print(f"the laboratory: {problem}")
        rows.append(None)
    finally:
        lab.pulse.stop()
        lab.stop(keep=options.keep)
    failed = sum(1 for row in rows if not row or row.problems)
    print(f"{len(rows) - failed} passed, {failed} failed, {time.monotonic() - begin:.0f} s")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
