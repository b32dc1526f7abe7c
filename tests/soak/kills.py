#!/usr/bin/env python3
"""make kills: gateways killed by the dozen, with phones that ask at the worst moment.

    kills.py [--kills N] [--threes N] [--requests N]

Of an overlay of five nodes N gateways are killed one after the other, a request of a phone at each living node to another overlay
1 ms later, the next kill 0.3 s after the claim; then N times three within a second.  Then N requests of calls that are up (BYE,
UPDATE, hold) are sent in the gap after a kill, in the caller's overlay and in the callee's in turn.  Told: what was refused, what
got 481, what the far end never heard of.  It fails when any was.
"""
import argparse
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "e2e"), os.path.join(os.path.dirname(HERE), "lab")]
from common import Tests, lab_of  # noqa: E402
from lab import LabError, wait_for  # noqa: E402
from test_patience import EAST, WEST, Calls, one_after_the_other, three_in_a_second  # noqa: E402
import test_takeover_gap  # noqa: E402


def patience(tests, kills, threes):
    with lab_of(tests, [("east", EAST, 5), ("west", WEST, 1)]) as lab:
        east, west = lab.islands
        calls = Calls(east, west)

        def told(function, times):
            print(f"{function(east, calls, times)} requests were answered 200")

        if kills:
            tests.run(f"{kills} gateways killed one after the other", told, one_after_the_other, kills)
        if threes:
            tests.run(f"{threes} times three within a second", told, three_in_a_second, threes)
        calls.close()


def settled(island):
    for node in island.nodes:
        if not node.is_running():
            node.start()
    wait_for(f"{island.name}: a gateway and candidates",
             lambda: island.gateway() and all(node.role() in ("candidate", "active") for node in island.others()), 30)


def rounds_of_gaps(tests, lab, requests):
    """A gateway of either overlay in turn is killed, until so many requests were sent in the gaps."""
    sent, heard = 0, {}

    def one(callers, callees, dying):
        for call in test_takeover_gap.gap(callers, callees, dying):
            for status in call.heard:
                heard[status] = heard.get(status, 0) + 1
        if 481 in heard:
            raise LabError(f"heard {heard}")

    east, west = lab.islands
    while sent < requests:
        dying = (east, west)[sent // test_takeover_gap.CALLS % 2]
        tests.run(f"requests {sent + 1} to {sent + test_takeover_gap.CALLS} in the gap of {dying.name}", one, east, west, dying)
        sent += test_takeover_gap.CALLS
        settled(dying)
        time.sleep(1)  # so that a ring is whole again
    print(f"requests in the gap: {sent}; heard {heard}")


def gaps(tests, requests):
    with lab_of(tests, test_takeover_gap.ISLANDS) as lab:
        rounds_of_gaps(tests, lab, requests)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--threes", type=int, default=20)
    parser.add_argument("--requests", type=int, default=500)
    options, tests = parser.parse_args(), Tests()
    if options.kills or options.threes:
        patience(tests, options.kills, options.threes)
    if options.requests:
        gaps(tests, options.requests)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
