#!/usr/bin/env python3
"""make phones: real phones of every kind call each other across overlays, by UDP and TCP.

Three overlays of two nodes, two on IPv4 and one on IPv6, in a network namespace of its own; a phone of the
first and one of the second (or third) overlay, each at a node that is no gateway, and a third one to which
calls are transferred.  A table at the end says what each pair could do; the exit code is 1 if one could not.
"""
import argparse
import concurrent.futures
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from handsets import KINDS
import deeds
from lab import Lab, LabError
from namespace import add_addresses, run_inside
from phones import TONE, write_tone

NODES6, PHONES4, PHONES6 = "fd00:79::", "127.91.0.", "fd00:79::1:"
PHONES_MAX = 160
# Media of both kinds of IP: a phone looks for an interface that is not loopback.
INTERFACE = ("link add phones0 type veth peer name phones1", "address add 198.18.91.1/24 dev phones0",
             "address add fd00:7a::1/64 dev phones0 nodad", "link set phones0 up", "link set phones1 up")
PLAN = {"pairs": ("call", "hold", "digit", "transfer", "ring"), "families": ("call", "hold"),
        "attended": ("attended",)}


class Place:
    """Where a phone listens: no two share a port, for some kinds listen at every address."""

    def __init__(self, number, family):
        number %= PHONES_MAX  # the first ones are gone by then
        self.ip = f"{PHONES4}{number + 1}" if family == "4" else f"{PHONES6}{number + 1:x}"
        self.sip_port, self.rtp_port = 7000 + 10 * number, 12000 + 120 * number


class Job:
    """Two or three phones, and what they are to do."""

    def __init__(self, plan, kinds, transport, families="44", homes=(0, 1, 0)):
        self.plan, self.kinds, self.transport, self.families, self.homes = plan, kinds, transport, families, homes
        self.results, self.problems, self.notes, self.second = {}, [], [], []

    def name(self):
        where = "" if self.families == "44" else f", IPv{self.families[0]} to IPv{self.families[1]}"
        third = ""
        if self.plan == "attended":
            third = f", with {self.kinds[2]} in {'its' if self.homes[2] else 'the same'} overlay"
        return f"{self.kinds[0]} to {self.kinds[1]}{third}{where}"


def jobs():
    """The long ones first."""
    kinds, found = list(KINDS), []
    for transport, (i, one), (j, other) in itertools.product(("udp", "tcp"), enumerate(kinds), enumerate(kinds)):
        found.append(Job("pairs", (one, other, kinds[(i + j) % len(kinds)]), transport))
    able = [kind for kind in kinds if KINDS[kind].has_attended]
    replaced = [kind for kind in kinds if KINDS[kind].takes_replaces]
    for transport, *three, home in itertools.product(("udp", "tcp"), able, able, replaced, (0, 1)):
        found.append(Job("attended", three, transport, homes=(0, 1, home)))
    for transport, one, other, families in itertools.product(("udp", "tcp"), kinds, kinds, ("46", "64")):
        if KINDS[one].has_ipv6 and KINDS[other].has_ipv6:
            found.append(Job("families", (one, other), transport, families))
    return found


class Bench:
    """The laboratory, and phones at it."""

    def __init__(self, options):
        self.options = options
        self.folder = tempfile.mkdtemp(prefix="ringway-phones-")
        self.lab = Lab(log_level="debug" if options.keep else "info")
        self.count, self.lock = 0, threading.Lock()
        self.end = time.monotonic() + options.minutes * 60

    def open(self):
        for name, net in (("east", "127.91.40"), ("west", "127.91.50"), ("six", NODES6)):
            self.lab.island(name, net, 2)
        self.lab.prepare()
        self.lab.start()
        self.lab.wait_joined()
        self.nodes = [island.others()[0] for island in self.lab.islands]
        write_tone(os.path.join(self.folder, TONE))  # before two phones at a time do

    def close(self):
        codes = self.lab.stop(keep=self.options.keep)
        if not self.options.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"logs are in {self.folder} and {self.lab.dir}")
        return {name: code for name, code in codes.items() if code}

    def phone(self, kind, role, transport, family, home):
        with self.lock:
            self.count += 1
            number = self.count
        home = 2 if family == "6" else home
        return KINDS[kind](self.folder, f"{role}{number}", self.lab.islands[home].domain, self.nodes[home],
                           transport, Place(number, family))


def call_both_ways(a, b, _):
    for one, other in ((a, b), (b, a)):
        deeds.call(one, other)
        deeds.hang_up(one, other)


def hold_both_ways(a, b, _):
    deeds.call(a, b)
    deeds.hold(a, b)
    deeds.hold(b, a)
    deeds.hang_up(b, a)


def press_both_ways(a, b, _):
    deeds.call(a, b)
    for one, other in ((a, b), (b, a)):
        if one.has_info or other.hears_media:
            deeds.press(one, other)
    deeds.hang_up(a, b)


def transfer_both_ways(a, b, third):
    notes = []
    for one, other in ((a, b), (b, a)):
        deeds.call(a, b)
        notes.append(deeds.transfer(one, other, third))
    return "; ".join(filter(None, notes))


def ring(a, b, _):
    deeds.long_ring(a, b)


STEPS = {"call": call_both_ways, "hold": hold_both_ways, "digit": press_both_ways, "transfer": transfer_both_ways,
         "ring": ring, "attended": deeds.transfer_with_consultation}


def make(bench, job):
    phones = []
    try:
        for kind, role, family, home in zip(job.kinds, ("ann", "ben", "cat"), job.families + "4", job.homes):
            phones.append(bench.phone(kind, role, job.transport, family, home))
        for phone in phones:
            phone.wait_registered()
    except BaseException:
        stop(phones)
        raise
    return phones


def stop(phones):
    for phone in phones:
        phone.stop()


def run(bench, job):
    """All steps of a job; after one that failed the next has fresh phones.

    Phones crash and hang by themselves: a step that failed is tried once more, with fresh ones, and a second
    failure counts.  What failed the first time is told in the end, too."""
    phones = []
    for step in bench.options.only or PLAN[job.plan]:
        what = f"{job.name()} by {job.transport}, {step}: "
        for tries_left in (1, 0) if step in PLAN[job.plan] else ():
            if time.monotonic() > bench.end:
                job.results[step] = "LATE"
                break
            try:
                phones = phones or make(bench, job)
                note = STEPS[step](*(phones + [None])[:3])
                job.results[step] = "ok"
                job.notes += [what + note] if note else []
                break
            except (LabError, OSError, AssertionError) as problem:
                job.results[step] = "FAIL"
                told = f"{what}{problem}; " + "; ".join(phone.story() for phone in phones)
                (job.second if tries_left else job.problems).append(told)
                stop(phones)
                phones = []
    stop(phones)
    print(f"{job.name()} by {job.transport}: " + ", ".join(f"{k} {v}" for k, v in job.results.items()), flush=True)
    return job


def table(done):
    """Rows: who calls whom; columns: steps, by each transport."""
    for plan, all_steps in PLAN.items():
        rows = {}
        for job in done:
            if job.plan == plan:
                rows.setdefault(job.name(), {})[job.transport] = job.results
        if not rows:
            continue
        columns = [step for step in all_steps if any(step in r for row in rows.values() for r in row.values())]
        width = max(len(name) for name in rows)
        print("\n" + " " * width + "".join(f"  {step:>10}" for step in columns) + "   (UDP, TCP)")
        for name, row in rows.items():
            cells = ("".join(f"  {row.get('udp', {}).get(s, '-') + ' ' + row.get('tcp', {}).get(s, '-'):>10}"
                             for s in columns))
            print(f"{name:<{width}}{cells}")


def options_of():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", choices=sorted(PLAN), action="append", help="all if none is named")
    parser.add_argument("--only", action="append", help="one step: " + ", ".join(itertools.chain(*PLAN.values())))
    parser.add_argument("--kind", choices=sorted(KINDS), action="append", help="pairs of these kinds alone")
    parser.add_argument("--transport", choices=("udp", "tcp"))
    parser.add_argument("--at-once", type=int, default=6, help="how many calls at a time")
    parser.add_argument("--minutes", type=float, default=13, help="what has not begun by then fails")
    parser.add_argument("--keep", action="store_true", help="keep the logs of phones and nodes")
    return parser.parse_args()


def main():
    options = options_of()
    run_inside()
    for words in INTERFACE:
        subprocess.run(["ip", *words.split()], check=True)
    add_addresses([f"{NODES6}{i}" for i in (1, 2)] + [f"{PHONES6}{i:x}" for i in range(1, PHONES_MAX + 1)])
    wanted = [job for job in jobs() if (not options.plan or job.plan in options.plan) and
              (not options.transport or job.transport == options.transport) and
              (not options.kind or set(job.kinds[:2]) <= set(options.kind))]
    bench, begin = Bench(options), time.monotonic()
    done, codes = [], {}
    try:
        bench.open()
        with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
            done = list(pool.map(lambda job: run(bench, job), wanted))
    finally:
        codes = bench.close()
    table(done)
    for word, texts in (("note", [n for job in done for n in job.notes]),
                        ("second try", [n for job in done for n in job.second]),
                        ("FAIL", [p for job in done for p in job.problems] +
                         [f"{name} left with exit code {code}" for name, code in codes.items()])):
        for text in texts:
            print(f"{word} {text}")
    results = [r for job in done for r in job.results.values()]
    print(f"{results.count('ok')} of {len(results)} steps, {time.monotonic() - begin:.0f} s")
    return 0 if results and results.count("ok") == len(results) and not codes else 1


if __name__ == "__main__":
    sys.exit(main())
