#!/usr/bin/env python3
"""As test_survive_first_ring.py, in overlays of two gateways each: the other one is gateway already when the one that has
the call dies, and of the far overlay's two one has the call.
"""
import os
import sys

from common import Tests, lab_of
from lab import LabError, wait_for
from ringing import Ringing
import survive

OVERLAYS = [("east", "127.84.88", 4), ("west", "127.84.89", 4)]
PHONES = "127.84.90"
DELAYS = (0.05, 0.6)  # of the answer, after the death
ROUNDS = int(os.environ.get("ROUNDS", 2 * len(DELAYS)))


def active(overlay):
    return [node for node in overlay.nodes if node.is_running() and node.role() == "active"]


def two_gateways(overlay, spare):
    for node in overlay.nodes:
        node.stop()
        node.configure(candidate="false" if node is spare else "true", election_extra="gateways = 2")
        survive.back(node)


def knows_both(peer):
    """An observer may hear late of one of two gateways: then it cannot know which has the call."""
    known = {gateway["name"] for gateway in peer.ctl("election")["gateways"]}
    return known == {node.name for node in active(peer.island)} and len(known) == 2


def has_call(gateway):
    return any(call["state"] == "trying" or call["state"] == "early" for call in gateway.ctl("calls"))


def gateway_dies(lab, which, spare, alice, bob):
    overlay = lab.islands[which]
    for n in range(ROUNDS):
        for one in lab.islands:
            wait_for(f"two gateways in {one.name}", lambda o=one: len(active(o)) == 2, 20)
        nodes = active(overlay)
        dead = []

        def kill(invite):
            hosts = " ".join(invite.all("via")[1:])
            dead.extend(node for node in nodes if (f"{node.ip}:" in hosts if which else has_call(node)))
            dead[0].process.kill()

        call = Ringing(alice, bob, at_once=kill)
        dead[0].kill()
        try:
            call.wait(DELAYS[n % len(DELAYS)])
            call.talk(by_caller=lambda: not knows_both(spare[1]))
        except LabError as problem:
            raise LabError(f"round {n}: {problem}") from problem
        finally:
            survive.back_in_role(dead[0])


def main():
    tests = Tests()
    with lab_of(tests, OVERLAYS, log_level=os.environ.get("LEVEL", "info")) as lab:
        spare = survive.spare_nodes(lab)
        for overlay, node in zip(lab.islands, spare):
            two_gateways(overlay, node)
        alice, bob = survive.phones_at(lab, spare, PHONES)
        for which, whose in ((1, "callee"), (0, "caller")):
            tests.run(f"one of the {whose}'s two gateways dies", gateway_dies, lab, which, spare, alice, bob)
        wait_for("no call is left", lambda: all(call["state"] == "ending" for node in lab.nodes() for call in node.ctl("calls")), 20)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
