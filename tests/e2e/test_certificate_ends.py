#!/usr/bin/env python3
"""A certificate of the ring ends while its node runs: the gateway hands over while it is still believed, and claims
nothing from then on; one without a candidate steps down.  A new one is taken in by reload, links and SIP alike.
"""
import sys

from certificates import LATE_S, LIFE_S, has_ended, metrics, reload, renew, run
from lab import LabError, wait_for

ISLANDS = [("east", "127.84.131", 3), ("west", "127.84.132", 1)]
PHONES = "127.84.133"


def nobody_else(lab, west, calls):
    """The only node of its overlay: it is no gateway until the new certificate is there."""
    node = west.nodes[0]
    renew(node, "global", lab.authority, LIFE_S)
    reload(node)
    wait_for("the certificate ends", lambda: has_ended(node), LIFE_S + LATE_S)
    if node.role() == "active" or calls.back() == 200:
        raise LabError("it is gateway still")
    if "ringway_election_trouble{kind=\"certificate\"} 1" not in metrics(node):
        raise LabError("the metric does not say so")
    renew(node, "global", lab.authority, 86400)
    reload(node)
    wait_for("it is gateway again", lambda: node.role() == "active", 20)
    wait_for("calls pass", lambda: calls.back() == 200, 20)


def main():
    return run(ISLANDS, PHONES, "global", "ring", lambda tests, lab, calls: tests.run(
        "nobody else can be gateway", nobody_else, lab, lab.islands[1], calls))


if __name__ == "__main__":
    sys.exit(main())
