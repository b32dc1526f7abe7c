#!/usr/bin/env python3
"""An overlay is cut in two, and the ring is not: both halves have a gateway in the ring, call out, and are called:
whom the one does not know, the other is asked for.
"""
import subprocess
import sys
import time

from common import Tests, lab_of
from lab import LabError, OVERLAY_PORT, PEER_PORT, wait_for
from agent import Agent, final_of
from namespace import SKIPPED, run_inside

ISLANDS = [("east", "127.84.141", 4), ("west", "127.84.142", 1)]
PHONES = "127.84.143"


def nft(text):
    subprocess.run(["nft", "-f", "-"], input=text.encode(), check=True)


def cut(one, other):
    """Nothing of the overlay itself passes between the halves."""
    rules = [f"ip {near} {a.ip} ip {far} {b.ip} tcp {end} {{ {OVERLAY_PORT}, {PEER_PORT} }} drop"
             for a in one for b in other for near, far in (("saddr", "daddr"), ("daddr", "saddr"))
             for end in ("sport", "dport")]
    nft("table inet halves {\n chain out {\n type filter hook output priority 0;\n  " + "\n  ".join(rules) + "\n }\n}\n")


def heal():
    nft("table inet halves {}\ndelete table inet halves\n")


def answered(caller, callee):
    """One OPTIONS: its final status."""
    return final_of(caller, callee.uri, callee).status


def registers(phone):
    try:
        phone.register()
        return True
    except LabError:
        return False


def active_in(half):
    return [node for node in half if node.role() == "active"]


class Once:
    """Somebody who calls and is called once a second, at each phone."""

    def __init__(self, far, phones):
        self.far, self.phones, self.at, self.statuses = far, phones, time.monotonic(), []

    def step(self):
        if time.monotonic() >= self.at:
            self.at += 1
            for phone in self.phones:
                self.statuses += [(phone.uri, "calls", answered(phone, self.far)),
                                  (phone.uri, "is called", answered(self.far, phone))]

    def during(self, question):
        """Asks the question while he calls."""
        self.step()
        return question()

    def expect_all(self, what):
        wrong = [status for status in self.statuses if status[2] != 200]
        if wrong or not self.statuses:
            raise LabError(f"{what}: {len(wrong)} of {len(self.statuses)}: {wrong[:6]}")


def both_halves(east, far):
    """Phones of before the cut, and phones that come while it is cut, whom nobody of the other half knows."""
    gateway = wait_for("all agree on a gateway", east.gateway)
    with_it = [gateway, next(n for n in east.nodes if n is not gateway)]
    without = [n for n in east.nodes if n not in with_it]
    phones = [Agent(f"{PHONES}.{i + 1}", f"p{i}", east.domain, node.sip) for i, node in enumerate(with_it + without)]
    for phone in phones[::2]:
        phone.register()
    cut(with_it, without)
    try:
        for half in (with_it, without):  # on a busy machine the role may have moved inside the first
            wait_for("each half has a gateway", lambda h=half: active_in(h), 20)
        for phone in phones:
            wait_for(f"{phone.uri} registers", lambda p=phone: registers(p), 15, 0.2)
        for phone in phones:
            wait_for(f"{phone.uri} calls out", lambda p=phone: answered(p, far) == 200, 15, 0.2)
            wait_for(f"{phone.uri} is called", lambda p=phone: answered(far, p) == 200, 15, 0.2)
        calls = Once(far, phones)
        wait_for("three seconds", lambda: calls.during(lambda: len(calls.statuses) >= 6 * len(phones)), 30)
        calls.expect_all("while it is cut")
        for half in (with_it, without):
            wait_for("each half still has a gateway", lambda h=half: active_in(h), 5)
    finally:
        heal()
    calls = Once(far, phones)
    wait_for("all agree on a gateway", lambda: calls.during(east.gateway), 30)
    count = len(calls.statuses)
    wait_for("three seconds", lambda: calls.during(lambda: len(calls.statuses) >= count + 6 * len(phones)), 30)
    calls.expect_all("after the heal")
    for phone in phones:
        phone.close()


def main():
    run_inside()
    if subprocess.run(["nft", "list", "tables"], stderr=subprocess.DEVNULL, check=False).returncode:
        print("no packet filter can be made here")
        return SKIPPED
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        east, west = lab.islands
        far = Agent(f"{PHONES}.9", "far", west.domain, west.nodes[0].sip)
        far.register()
        tests.run("both halves call and are called", both_halves, east, far)
        far.close()
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
