#!/usr/bin/env python3
"""An overlay that dies as a whole: whoever holds its entry in the ring notices, and says so; nobody finds it until it is back."""
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent, final_of

ISLANDS = [("east", "127.84.151", 1), ("west", "127.84.152", 1), ("north", "127.84.153", 1, "can"), ("south", "127.84.154", 1, "pastry")]
PHONES = "127.84.155"
BOUND_S, STAYS_S = 30, 3  # well before its entry expires


def is_found(node, name):
    found = node.ctl("resolve", f"sip:overlay@{name}")
    return bool(found and found.get("contacts"))


def status_of(caller, domain):
    """One OPTIONS: its final status, and how long it took."""
    begin = time.monotonic()
    return final_of(caller, f"sip:nobody@{domain}").status, time.monotonic() - begin


def expect_alive(islands):
    """Each of them finds each."""
    for island in islands:
        for other in islands:
            if other is not island and not is_found(island.nodes[0], other.name):
                raise LabError(f"{island.name} does not find {other.name}")


def dies(lab, caller):
    *living, dead = lab.islands
    dead.nodes[0].kill()
    killed = time.monotonic()

    def nobody_finds():
        expect_alive(living)
        status, took = status_of(caller, dead.domain)
        if status != 500 or took > 5:
            raise LabError(f"a call to the dead overlay: {status} after {took:.1f} s")
        return not any(is_found(island.nodes[0], dead.name) for island in living)
    wait_for("nobody finds the dead overlay", nobody_finds, BOUND_S, 0.2)
    print(f"     nobody finds it {time.monotonic() - killed:.1f} s after its death", flush=True)
    end = time.monotonic() + STAYS_S
    while time.monotonic() < end:
        if not nobody_finds():
            raise LabError(f"the dead overlay is found again after {time.monotonic() - killed:.1f} s")
        time.sleep(0.3)


def comes_back(lab):
    *living, dead = lab.islands
    dead.nodes[0].start()
    lab.wait_gateway(dead)
    wait_for("all find it again", lambda: all(is_found(island.nodes[0], dead.name) for island in living), 5)


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        caller = Agent(f"{PHONES}.1", "caller", lab.islands[0].domain, lab.islands[0].nodes[0].sip)
        caller.register()
        if tests.run("a dead overlay is soon not found, those that live always are", dies, lab, caller):
            tests.run("it is found when it is back", comes_back, lab)
        caller.close()
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
