#!/usr/bin/env python3
"""Four neighbours of eight die at once, and with them all copies of some bindings: users of living nodes are found again."""
import hashlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from common import Tests, lab_of
from lab import LabError
from agent import Agent

USERS = 12  # at each node that lives on
FOUND_S = 12  # without load 1 to 4


def neighbours(island, count):
    """@count nodes that lie side by side, and the others."""
    ring = sorted(island.nodes, key=lambda node: hashlib.sha1(node.ip.encode()).digest()[:16])
    return ring[:count], ring[count:]


def is_found(node, uri):
    answer = node.ctl("resolve", uri)
    return bool(answer and answer["contacts"])


def register(island, living, net):
    users = []
    for n, node in enumerate(living):
        phone = Agent(f"{net}.{n + 1}", "phone", island.domain, node.sip)
        for k in range(USERS):
            phone.user, phone.uri = f"u{n}x{k}", f"sip:u{n}x{k}@{island.domain}"
            phone.register()
            users.append(phone.uri)
        phone.close()
    return users


def found_again(island, net):
    dying, living = neighbours(island, 4)
    users = register(island, living, net)
    for uri in users:
        if not is_found(living[0], uri):
            raise LabError(f"{uri} is not found while all live")
    for node in dying:
        node.process.kill()
    for node in dying:
        node.process.wait()
        node.process = None
    begin = time.monotonic()
    lost = set(users)

    while lost and time.monotonic() < begin + 20:
        lost -= {uri for uri in lost if is_found(living[-1], uri)}
    took = time.monotonic() - begin
    print(f"     {island.algorithm}: found again after {took:.2f} s")
    if lost or took > FOUND_S:
        raise LabError(f"after {took:.1f} s {len(lost)} of {len(users)} are not found")


def main():
    tests = Tests()
    for n, algorithm in enumerate(sys.argv[1:] or ("chord", "pastry", "can")):
        with lab_of(tests, [("east", f"127.{100 + n}.0", 8, algorithm)]) as lab:
            tests.run(f"{algorithm}: users of living nodes are found again", found_again, lab.islands[0],
                      f"127.{100 + n}.9")
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
