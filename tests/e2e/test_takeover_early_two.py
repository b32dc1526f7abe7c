#!/usr/bin/env python3
"""As test_takeover_early.py, in an overlay of two gateways: the other one is gateway already, may serve the phone that rings,
and has no copy of the call.
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
    wait_for(f"{overlay.name} has two gateways", lambda: sum(node.role() == "active" for node in overlay.nodes) == 2, 20)


def main():
    tests = Tests()
    with lab_of(tests, OVERLAYS, log_level=os.environ.get("LEVEL", "info")) as lab:
        east, west = lab.islands
        two_gateways(west)
        tests.run("requests of calls that ring, one of the callee's two gateways dies", gap, east, west, west)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
