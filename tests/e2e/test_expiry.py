#!/usr/bin/env python3
"""Bindings that end by themselves leave room for others; nothing has to be told of them."""
import sys

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent

ISLANDS = [("east", "127.80.59", 2)]
PHONES = "127.80.60"
RECORDS = 200  # one signer alone has half of it
WAVE = 60


def wave(node, name):
    phones = [Agent(f"{PHONES}.{i + 1}", f"{name}{i}", node.island.domain, node.sip, "udp") for i in range(WAVE)]
    try:
        for phone in phones:
            phone.register(expires=1)
    finally:
        for phone in phones:
            phone.close()
    wait_for(f"{name}: all have expired", lambda: not node.ctl("registrations"), 10)


def removed(node):
    """One that says that it goes is known as gone for a day, and takes room."""
    phone = Agent(f"{PHONES}.99", "gone", node.island.domain, node.sip, "udp")
    phone.register(expires=3600)
    phone.register(expires=0)
    phone.close()
    found = node.ctl("resolve", f"sip:gone@{node.island.domain}")
    if found and found.get("contacts"):
        raise LabError(f"it is still there: {found}")


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS, local_extra=f"max-records = {RECORDS}", sip_extra="min-expires = 1") as lab:
        node = lab.islands[0].others()[0]
        for name in ("one", "two", "three", "four"):
            tests.run(f"wave {name}", wave, node, name)
        tests.run("one that goes", removed, node)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
