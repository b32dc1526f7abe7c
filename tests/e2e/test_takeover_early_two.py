#!/usr/bin/env python3
"""As test_takeover_early.py, in overlays of two gateways each: the other one is gateway already, may serve the phone that
rings, and has no copy of the call; of the far overlay's two one has it.
"""
import os
import sys

from common import Tests, lab_of
from lab import wait_for
from test_takeover_early import gap
import survive

OVERLAYS = [("east", "127.84.121", 4), ("west", "127.84.122", 4)]


def two_gateways(overlay):
    for node in overlay.nodes:
        node.stop()
        node.configure(election_extra="gateways = 2")
        survive.back(node)
    wait_for(f"{overlay.name} has two gateways", lambda: has_two(overlay), 20)


def has_two(overlay):
    return sum(node.role() == "active" for node in overlay.nodes) == 2


def main():
    tests = Tests()
    with lab_of(tests, OVERLAYS, log_level=os.environ.get("LEVEL", "info")) as lab:
        east, west = lab.islands
        for overlay in (east, west):
            two_gateways(overlay)
        for whose, dying in (("callee", west), ("caller", east)):
            for overlay in (east, west):
                wait_for(f"{overlay.name} has two gateways", lambda o=overlay: has_two(o), 20)
            tests.run(f"requests of calls that ring, one of the {whose}'s two gateways dies", gap, east, west, dying)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
