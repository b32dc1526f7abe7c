#!/usr/bin/env python3
"""A gateway that stands still for less than its HELLOs allow stays gateway: links that this node gives up by
its own time-outs are no sign of death.  One that is killed is replaced at once all the same.
"""
import signal
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for

STILL_S, LOOK_S, AT_ONCE_S = 1.6, 3, 2.0


def stands_still(lab):
    east = lab.islands[0]
    gateway = wait_for("all agree on a gateway", east.gateway)
    time.sleep(2)
    term = gateway.ctl("election")["term"]
    gateway.hang()
    time.sleep(STILL_S)
    gateway.process.send_signal(signal.SIGCONT)
    end = time.monotonic() + LOOK_S
    while time.monotonic() < end:
        for node in east.nodes:
            if node.ctl("election")["term"] != term:
                raise LabError(f"{node.name} has another term: {node.log()[-400:]}")
        time.sleep(0.1)


def killed(lab):
    east = lab.islands[0]
    gateway = wait_for("all agree on a gateway", east.gateway)
    others = east.others()
    gateway.kill()
    begin = time.monotonic()
    wait_for("another is gateway", lambda: any(node.role() == "active" for node in others), 8, 0.01)
    if time.monotonic() > begin + AT_ONCE_S:
        raise LabError(f"after {time.monotonic() - begin:.2f} s")


def main():
    tests = Tests()
    with lab_of(tests, [("east", "127.84.91", 3)], hello_ms=1000) as lab:
        tests.run("a gateway that stands still for 1.6 s stays gateway", stands_still, lab)
        tests.run("one that is killed is replaced at once", killed, lab)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
