#!/usr/bin/env python3
"""The certificate of a gateway in its own overlay ends while it runs: the role goes on, nobody believes the node any
longer, and with a new one it is a member and a candidate again, without a new start.
"""
import sys

from common import Tests, lab_of
from certificates import Calls, comes_back, role_goes_on
from lab import wait_for

ISLANDS = [("east", "127.84.134", 3), ("west", "127.84.135", 1)]
PHONES = "127.84.136"


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        east, west = lab.islands
        gateway = wait_for("all agree on a gateway", east.gateway)
        others = [node for node in east.nodes if node is not gateway]
        calls = Calls(PHONES, others[-1], west.nodes[0])
        try:
            ended = []
            tests.run("the certificate of the overlay ends", lambda: ended.append(
                role_goes_on(lab, east, calls, "local", east.authority)))
            if ended:
                tests.run("a new one is taken in", comes_back, lab, east, calls, ended[0], "local", east.authority)
        finally:
            calls.close()
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
