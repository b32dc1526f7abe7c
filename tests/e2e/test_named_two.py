#!/usr/bin/env python3
"""Overlays of two and three gateways: an INVITE that is to replace or join a call, and a request that names one, come by any of
them, and name it as the other end knows it (RFC 3891, 3911, 4538)."""
import re
import sys

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent, end_call, establish

OVERLAYS = [("east", "127.77.0", 4), ("west", "127.78.0", 2)]
GATEWAYS = 3  # of the two in the west each is one
ROUNDS = 3  # the gateway of each call is chosen by chance
PHONES = iter(f"127.79.0.{n}" for n in range(1, 250))


def gateways_of(overlay):
    return min(GATEWAYS, len(overlay.nodes))


def knows_all(node):
    election = node.ctl("election")
    return election and len(election["gateways"]) == gateways_of(node.island)


def phone_at(node, user, transport="udp"):
    phone = Agent(next(PHONES), user, node.island.domain, node.sip, transport)
    phone.register()
    return phone


def tag(value):
    return value.partition(";tag=")[2].split(";")[0]


def names(dialog, his="to-tag", other="from-tag"):
    """The dialog as the one of its ends that has it names it to the other end."""
    return f"{dialog.call_id};{his}={tag(dialog.remote)};{other}={tag(dialog.local)}"


def names_at(dialog, his="to-tag", other="from-tag"):
    """As the other end has to hear it."""
    return f"{dialog.call_id};{his}={tag(dialog.local)};{other}={tag(dialog.remote)}"


def same(field, got, wanted):
    if sorted(re.split("[; ]+", got)) != sorted(wanted.split(";")):
        raise LabError(f"{field}: expected {wanted}, got {got}")


def named(third, callee, known, wanted):
    """What @third has from one end, as @callee at the other end hears it."""
    for field in ("Replaces", "Join"):
        sent = third.request("INVITE", callee.uri, body=third.sdp(), extra=[(field, names(known))])
        invite = callee.expect_new("INVITE")
        same(field, invite.get(field.lower()), names_at(wanted))
        callee.answer(invite, 486, "Busy Here", "n")
        third.ack_failure(callee.uri, sent, third.expect_status(486))
    third.request("OPTIONS", callee.uri, extra=[("Target-Dialog", names(known, "local-tag", "remote-tag"))])
    options = callee.expect_new("OPTIONS")
    same("Target-Dialog", options.get("target-dialog"), names_at(wanted, "local-tag", "remote-tag"))
    callee.answer(options, 200, "OK", "n")
    third.expect_status(200, "OPTIONS")


def by_any_gateway(caller, callee, thirds):
    for _ in range(ROUNDS):
        one, two, _ = establish(caller, callee)
        for third in thirds:
            if third.domain == caller.domain:
                named(third, callee, one, two)
            else:
                named(third, caller, two, one)
        end_call(caller, one, callee)


def of_nobody(third, callee):
    """A name that no gateway knows passes as it is."""
    for field in ("Replaces", "Join"):
        sent = third.request("INVITE", callee.uri, body=third.sdp(), extra=[(field, "none;to-tag=1;from-tag=2")])
        invite = callee.expect_new("INVITE")
        same(field, invite.get(field.lower()), "none;to-tag=1;from-tag=2")
        callee.answer(invite, 486, "Busy Here", "n")
        third.ack_failure(callee.uri, sent, third.expect_status(486))


def main():
    tests = Tests()
    with lab_of(tests, OVERLAYS, election_extra=f"gateways = {GATEWAYS}") as lab:
        east, west = lab.islands
        for node in lab.nodes():
            wait_for(f"{node.name}@{node.island.name} knows all gateways", lambda n=node: knows_all(n), 20)
        for overlay in lab.islands:
            other = west if overlay is east else east
            for node in other.nodes:
                if node.role() == "active":
                    wait_for("all are in the ring", lambda n=node, o=overlay: gateways_of(o) == len(
                        n.ctl("resolve", f"sip:overlay@{o.name}")["contacts"]), 20)
        thirds = [phone_at(node, f"third{k}") for k, node in enumerate((*east.nodes, *west.nodes))]
        callee = phone_at(west.nodes[1], "bob", "tcp")
        for k, node in enumerate(east.nodes):
            caller = phone_at(node, f"alice{k}", ("udp", "tcp")[k % 2])
            tests.run(f"a call of {node.name} is named by way of any gateway", by_any_gateway, caller, callee, thirds)
            caller.close()
        for third in thirds[:len(east.nodes)]:
            tests.run(f"a call of nobody is named from {third.far[0]}", of_nobody, third, callee)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
