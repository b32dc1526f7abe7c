#!/usr/bin/env python3
"""As test_survive_first_ring.py, in an overlay of two gateways: the other one is gateway already when the one that has
the call dies.
"""
import os
import sys

from common import Tests, lab_of
from lab import LabError, wait_for
from ringing import Ringing
import survive

OVERLAYS = [("east", "127.84.88", 3), ("west", "127.84.89", 4)]
PHONES = "127.84.90"
DELAYS = (0.05, 0.6)  # of the answer, after the death
ROUNDS = int(os.environ.get("ROUNDS", 2 * len(DELAYS)))


def active(overlay):
    return [node for node in overlay.nodes if node.is_running() and node.role() == "active"]


def two_gateways(overlay, spare):
    """The callee's overlay alone has two."""
    for node in overlay.nodes:
        node.stop()
        node.configure(candidate="false" if node is spare else "true", election_extra="gateways = 2")
        survive.back(node)


def knows_both(peer):
    """An observer may hear late of one of two gateways: then it cannot know which has the call."""
    known = {gateway["name"] for gateway in peer.ctl("election")["gateways"]}
    return known == {node.name for node in active(peer.island)} and len(known) == 2


def gateway_dies(lab, spare, alice, bob):
    west = lab.islands[1]
    for n in range(ROUNDS):
        wait_for("two gateways", lambda: len(active(west)) == 2, 20)
        nodes = active(west)
        dead = []

        def kill(invite):
            hosts = " ".join(invite.all("via")[1:])
            dead.extend(node for node in nodes if f"{node.ip}:" in hosts)
            dead[0].process.kill()

        call = Ringing(alice, bob, at_once=kill)
        dead[0].kill()
        try:
            call.wait(DELAYS[n % len(DELAYS)])
            call.talk(by_caller=lambda: not knows_both(spare))
        except LabError as problem:
            raise LabError(f"round {n}: {problem}") from problem
        finally:
            survive.back_in_role(dead[0])


def main():
    tests = Tests()
    with lab_of(tests, OVERLAYS, log_level=os.environ.get("LEVEL", "info")) as lab:
        spare = survive.spare_nodes(lab)
        two_gateways(lab.islands[1], spare[1])
        alice, bob = survive.phones_at(lab, spare, PHONES)
        tests.run("one of the callee's two gateways dies", gateway_dies, lab, spare[1], alice, bob)
        survive.no_calls(lab)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
