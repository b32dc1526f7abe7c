#!/usr/bin/env python3
"""What one certificate can take from all: the store, the routes, the fragments; phones go on."""
import os
import re
import sys

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent
from test_trust import ISLANDS, Spy, metrics, misdeed

PHONES = "127.80.9"
RECORDS = 400


def register(node, user, number):
    phone = Agent(f"{PHONES}.{number}", user, node.island.domain, node.sip, "udp")
    try:
        phone.register()
    finally:
        phone.close()


def filled(lab, spy, node):
    """Half of what there is for one; every phone still registers, new ones and those that were there."""
    register(node, "early", 1)
    text = spy.do("fill", node, under="site.east", count=2 * RECORDS)
    took, refused, other = map(int, re.match(r"took (\d+) of \d+, Data_Too_Large (\d+), other (\d+)", text).groups())
    if other or not RECORDS // 4 < took <= RECORDS // 2 or took + refused != 2 * RECORDS:
        raise LabError(f"the intruder says {text!r}")
    for number in range(2, 12):
        register(node, f"late{number}", number)
    register(node, "early", 12)
    if "Store from" not in node.log() + lab.islands[0].others()[0].log() or "no share is larger" not in (
            node.log() + lab.islands[0].others()[0].log()):
        raise LabError("no line names who fills the store")


def expired(lab):
    """Bindings that expire leave nothing in the overlay, and one that is left of two stays."""
    nodes = lab.islands[0].nodes
    before = {node: node.ctl("status")["local"]["records"] for node in nodes}
    phones = [Agent(f"{PHONES}.{100 + i}", f"brief{i}", node.island.domain, node.sip, "udp") for i, node in enumerate(nodes * 20)]
    two = Agent(f"{PHONES}.99", "two", "site.east", nodes[0].sip, "udp")
    try:
        for phone in phones:
            phone.register(expires=3)
        two.register(contact=f"<sip:two@{PHONES}.99:5070>;expires=2, <{two.contact}>;expires=300")
        wait_for("the brief ones are stored", lambda: sum(n.ctl("status")["local"]["records"] for n in nodes) >= sum(before.values()) + len(phones), 5)
        wait_for("they are over", lambda: sum(n.ctl("status")["sip"]["registrations"] for n in nodes) <= 1, 15)
        wait_for("none of them is", lambda: all(n.ctl("status")["local"]["records"] <= before[n] + 1 for n in nodes), 15)
        listed = two.register(contact=None, expires=300).all("contact")
        if len(listed) != 1:
            raise LabError(f"two has {listed}")
        two.register(expires=0)
    finally:
        for phone in (*phones, two):
            phone.close()


def rounds(lab, spy, node, other):
    """One message is not many."""
    before = sum(metrics(n, "ringway_messages_forwarded_total") for n in lab.nodes())
    its_id = other.ctl("status")["node"]["node_id"]
    misdeed(lab, spy, "rounds", node, "^error Invalid_Message", "message from [0-9a-f]{32} refused", id=its_id,
            other=f"{os.path.join(node.dir, 'local')},east")
    grown = sum(metrics(n, "ringway_messages_forwarded_total") for n in lab.nodes()) - before
    if grown > 60:  # the overlay's own maintenance goes on
        raise LabError(f"{grown} messages were forwarded")


def beginnings(lab, spy, node):
    other = os.path.join(lab.dir, "spy-other")
    lab.ctl_offline("ca", "issue", lab.islands[0].authority, "--address", "127.80.4.2", "--user",
                    "other.site@east", "--out", other)
    text = spy.do("beginnings", node, under="east", count=300, other=f"{other},east")
    if text != "other link: answer\nsame link: answer\n":
        raise LabError(f"the intruder says {text!r}")


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS, local_extra=f"max-records = {RECORDS}", sip_extra="min-expires = 1") as lab:
        spy = Spy(lab)
        node = lab.wait_gateway(spy.east)
        other = spy.east.others()[0]
        for place in (node, other):
            tests.run(f"a stranger's copy at {place.name}", misdeed, lab, spy, "store-copy", place,
                      r"^error Forbidden", "a copy from a node that is no replica", under="mallory@site.east")
        tests.run("a private kind in the ring", misdeed, lab, spy, "store-copy", node, "^error ",
                  "Store from", is_ring=True, under="mallory@site.east")
        tests.run("a gateway's record elsewhere", misdeed, lab, spy, "store-gateway-record", node,
                  r"^error Forbidden", "not under the overlay's own name", under="elsewhere@east")
        tests.run("a gateway's record in the ring", misdeed, lab, spy, "store-gateway-record", node,
                  r"^error Unknown_Kind", "Store from", is_ring=True, under="overlay@west")
        tests.run("ninety destinations round two nodes", rounds, lab, spy, node, other)
        tests.run("fragments that never end", beginnings, lab, spy, node)
        tests.run("bindings that expire leave nothing", expired, lab)
        tests.run("one that fills the store", filled, lab, spy, node)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
