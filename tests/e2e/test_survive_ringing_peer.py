#!/usr/bin/env python3
"""Calls that ring when a phone's serving peer dies: nobody's phone rings for a caller who is gone, and no caller waits
for a phone that cannot answer.  `--rounds 20` says how often.
"""
import re
import signal
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent
from ringing import Ringing, STOPS_S, Tally, arguments
from certificates import metrics
import scenarios
import survive

ISLANDS = [("east", "127.84.71", 3), ("west", "127.84.72", 3)]
PHONES = "127.84.73"


class Phones:
    """alice in the first overlay and bob in the second, each at a node that is no gateway."""

    def __init__(self, lab):
        self.spare = survive.spare_nodes(lab)
        self.pair = [Agent(f"{PHONES}.{n + 1}", user, island.domain, node.sip)
                     for n, (user, island, node) in enumerate(zip(("alice", "bob"), lab.islands, self.spare))]
        self.register()

    def register(self):
        for phone in self.pair:
            phone.waiting.clear()
            phone.register()


def of_caller(call):
    """The callee stops ringing, whoever finds out that the caller's peer is gone."""
    return call.stops()


def of_callee(call):
    """The caller has a final response."""
    took = call.until("the caller's final response", lambda: call.final, STOPS_S)
    if call.final.status not in (408, 480, 500):
        raise LabError(f"the caller got {call.final.start}")
    cancelled_by_contact(call)
    return took


def cancelled_by_contact(call):
    """The phone stops ringing, by a CANCEL that it takes for one of the INVITE it rings for; not more than twice."""
    call.stops()
    call.wait(1.2)
    if not 1 <= len(call.cancels) <= 2:
        raise LabError(f"{len(call.cancels)} CANCELs")
    for cancel in call.cancels:
        for name in ("call-id", "from", "to"):
            scenarios.same(name, cancel.get(name), call.invite.get(name))
        scenarios.same("Request-URI", cancel.start.split(" ")[1], call.invite.start.split(" ")[1])
        scenarios.same("CSeq", cancel.get("cseq"), call.invite.get("cseq").replace("INVITE", "CANCEL"))
        scenarios.same("Via", [via_of(v) for v in cancel.all("via")], [via_of(call.invite.all("via")[0])])
        if cancel.all("phone-via"):
            raise LabError("a phone heard of Phone-Via")


def via_of(text):
    """What a CANCEL is matched by: transport, sent-by and branch (RFC 3261 section 17.2.3)."""
    start, *params = [part.strip() for part in text.split(";")]
    return start, [p for p in params if p.startswith("branch=")]


def one_round(phones, pair, node, test, n):
    call = Ringing(*pair)
    time.sleep(0.05 * (n % 3))
    node.kill()
    try:
        return test(call)
    finally:
        survive.back(node)
        phones.register()


def many_rounds(name, rounds, phones, pair, node, test):
    tally = Tally(name)
    for n in range(rounds):
        tally.play(one_round, phones, pair, node, test, n)
    tally.end()


def inside(name, rounds, phones, lab, which):
    """The same where both are in one overlay."""
    carol = Agent(f"{PHONES}.3", "carol", lab.islands[0].domain, survive.gateway_of(lab.islands[0]).sip)
    try:
        carol.register()
        pair = (phones.pair[0], carol) if which == 0 else (carol, phones.pair[0])
        many_rounds(name, rounds, phones, pair, phones.spare[0], of_callee if which else of_caller)
    finally:
        carol.close()


def left_ringing(phones, lab):
    """Behind a NAT nobody but its serving peer reaches the phone, which is counted."""
    node, gateway = phones.spare[1], survive.gateway_of(lab.islands[1])
    dave = Agent(f"{PHONES}.4", "dave", lab.islands[1].domain, node.sip)
    try:
        dave.register(contact="<sip:dave@10.66.6.6:5060>")
        before = counted(gateway)
        call = Ringing(phones.pair[0], dave)
        node.kill()
        call.until("the caller's final response", lambda: call.final, STOPS_S)
        call.wait(1.2)
        if call.cancels or counted(gateway) != (before[0], before[1] + 1):
            raise LabError(f"{len(call.cancels)} CANCELs, {before} then {counted(gateway)}")
    finally:
        survive.back(node)
        phones.register()
        dave.close()


def counted(gateway):
    """(INVITEs cancelled at phones, left ringing) by this node."""
    return tuple(int(re.search(rf"^ringway_sip_phones_{name}_total (\d+)$", metrics(gateway), re.M).group(1))
                 for name in ("cancelled", "left_ringing"))


def hung(name, caller, callee, node):
    """The callee's serving peer stands still, and the caller gives up."""
    tally = Tally(name)
    tally.play(gives_up, caller, callee, node)
    tally.end()


def gives_up(caller, callee, node):
    call = Ringing(caller, callee)
    node.hang()
    try:
        caller.cancel(callee.uri, call.sent)
        took = call.stops()
        cancelled_by_contact(call)
        return took
    finally:
        node.process.send_signal(signal.SIGCONT)


def main():
    tests = Tests()
    rounds, wanted = arguments(0)
    with lab_of(tests, ISLANDS) as lab:
        phones = Phones(lab)
        for n, (whose, test) in enumerate((("caller", of_caller), ("callee", of_callee))):
            name = f"the {whose}'s serving peer dies"
            if not wanted or name in wanted:
                tests.run(name, many_rounds, name, rounds or 3, phones, phones.pair, phones.spare[n], test)
            name += ", inside one overlay"
            if not wanted or name in wanted:
                tests.run(name, inside, name, rounds or 1, phones, lab, n)
        name = "the callee's serving peer dies, phone behind a NAT"
        if not wanted or name in wanted:
            tests.run(name, left_ringing, phones, lab)
        name = "the callee's serving peer hangs, the caller gives up"
        if not wanted or name in wanted:
            tests.run(name, hung, name, *phones.pair, phones.spare[1])
        wait_for("no call is left", lambda: all(call["state"] == "ending" for node in lab.nodes() for call in node.ctl("calls")), 20)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
