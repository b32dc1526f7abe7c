#!/usr/bin/env python3
"""The wall clock of one node is 20 minutes off, either way: its phones are called, and call, as any others."""
import subprocess
import sys

from common import Tests, lab_of
from lab import wait_for
from agent import Agent

NET = "127.96.9"
OFF_S = (1200, -1200)


def preload(lab):
    """What LD_PRELOAD takes: a sanitizer's library must stay the first."""
    needed = subprocess.run(["ldd", lab.program("ringwayd")], stdout=subprocess.PIPE, check=True).stdout.decode()
    first = [line.split()[2] for line in needed.splitlines() if "libasan" in line or "libtsan" in line]
    return " ".join([*first, lab.program("tests/e2e/clock_shift.so")])


def send(caller, phone):
    caller.request("MESSAGE", phone.uri, body="hello")
    phone.answer(phone.expect_request("MESSAGE"), 200)
    caller.expect_status(200, "MESSAGE")


def is_off(lab, off_s, number):
    east, west = lab.islands
    node = east.nodes[2]
    node.stop()
    node.start(wrap=("env", f"LD_PRELOAD={preload(lab)}", f"CLOCK_SHIFT_S={off_s}"))
    wait_for(f"{node.name} joins", lambda: node.local_state() == "joined", 20)
    phone = Agent(f"{NET}.{10 * number + 1}", f"off{number}", east.domain, node.sip)
    near = Agent(f"{NET}.{10 * number + 2}", f"near{number}", east.domain, east.nodes[0].sip)
    far = Agent(f"{NET}.{10 * number + 3}", f"far{number}", west.domain, west.nodes[0].sip)
    for one in (phone, near, far):
        one.register(expires=600)
    lab.wait_gateway(east)
    for one in (near, far):
        send(one, phone)
        send(phone, one)
    for one in (phone, near, far):
        one.close()


def main():
    tests = Tests()
    with lab_of(tests, [("east", "127.96.0", 3), ("west", "127.96.1", 1)]) as lab:
        for number, off_s in enumerate(OFF_S, 1):
            tests.run(f"a clock that is {off_s} s off", is_off, lab, off_s, number)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
