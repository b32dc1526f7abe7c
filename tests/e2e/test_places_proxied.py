#!/usr/bin/env python3
"""The places of test_places.py for phones that send all to their own node (RFC 3261 section 8.1.2), and overlays with two
gateways, where a phone that one of them serves has its call at the other."""
import sys

from common import Tests
from test_places import run_places

TWO_GATEWAYS = (("far", "gateway"), ("far peer", "peer"), ("gateway", "far"), ("other", "far peer"), ("far", "other"),
                ("gateway", "peer"), ("gateway", "other"))


def main():
    tests = Tests()
    run_places(tests, [True])
    run_places(tests, [False], TWO_GATEWAYS, "two gateways: ", is_second=True)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
