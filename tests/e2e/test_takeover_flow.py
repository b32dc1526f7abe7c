#!/usr/bin/env python3
"""Phones behind a NAT, whose Contact leads nowhere, and phones without tags, in calls that change their gateway."""
import sys
import time

from common import Tests, lab_of
from lab import wait_for
from agent import Agent
from survive import (NO_UPDATE, UPDATE, back, copied, gateway_of, hang_up, hold, make_calls, no_calls, other_gateway, quiet, restored,
                     take_invite, take_update)

ISLANDS = [("east", "127.67.0", 1), ("west", "127.68.0", 3)]
PHONES = "127.69.0"


def both_ways(near, far):
    """A call from each end, and both at the stand-bys."""
    def is_copied():
        replicas = gateway_of(island).ctl("status")["replicas"]
        return replicas["calls"] == 2 and replicas["heirs"] and not any(h["pending"] for h in replicas["heirs"])
    island = near.island
    calls = make_calls(near, far, 1, UPDATE, ()) + make_calls(far, near, 1, UPDATE, ())
    wait_for("both calls are copied", is_copied, 20)
    return calls


def reached(near, far, calls):
    """It hears of the new gateway, is put on hold by the other end, and hears that it hangs up."""
    for call in calls:
        take_update(near, call.dialog[near])
        hold(call, far)
    for call in calls:
        hang_up(call, far)
    quiet(near, far)


def phone_behind_nat(number, user, island, node, transport):
    phone = Agent(f"{PHONES}.{number}", user, island.domain, node.sip, transport=transport)
    phone.island = island
    phone.host = phone.ip = f"192.168.17.{number}"  # it knows no other
    phone.contact = f"sip:{user}@{phone.host}:5060;transport={transport}"
    phone.register()
    return phone


@restored
def at_peer(lab, far, island, spare):
    """The gateway dies; the node that holds the phone's connection lives."""
    near = phone_behind_nat(3, "carol", island, spare, "tcp")
    calls = both_ways(near, far)
    gateway_of(island).kill()
    reached(near, far, calls)
    no_calls(lab)
    near.close()


@restored
def at_former_gateway(lab, far, island, transport):
    """The gateway holds the phone's flow, and gives the calls away."""
    old = gateway_of(island)
    near = phone_behind_nat(4, f"dave.{transport}", island, old, transport)
    calls = both_ways(near, far)
    old.ctl_text("election", "handover")
    wait_for("another gateway", lambda: other_gateway(island, old), 20)
    reached(near, far, calls)
    no_calls(lab)
    near.close()


@restored
def twice(lab, far, island):
    """And then the one that has taken them dies: the way to the phone is the same, or its own."""
    old = gateway_of(island)
    near = phone_behind_nat(5, "erin", island, old, "tcp")
    calls = both_ways(near, far)
    old.ctl_text("election", "handover")
    second = wait_for("another gateway", lambda: other_gateway(island, old), 20)
    for call in calls:
        take_update(near, call.dialog[near])
    wait_for("the calls are at its stand-bys", lambda: second.ctl("status")["replicas"]["calls"] == 2 and
             not any(h["pending"] for h in second.ctl("status")["replicas"]["heirs"]), 20)
    second.kill()
    reached(near, far, calls)
    no_calls(lab)
    near.close()


class Untagged(Agent):
    """A callee of RFC 2543: no tag in its responses, which is a tag, too (RFC 3261 section 12.1.2)."""

    def answer(self, request, status, reason="X", tag="", **given):
        super().answer(request, status, reason, **given)

    def dialog_of_request(self, request, tag):
        dialog = super().dialog_of_request(request, tag)
        dialog.local = request.get("to")
        return dialog


@restored
def without_tag(lab, far, island, spare):
    """Its calls change their gateway as those of others do."""
    near = Untagged(f"{PHONES}.6", "frank", island.domain, spare.sip)
    near.island = island
    near.register()
    calls = make_calls(far, near, 2, UPDATE, [island])
    old = gateway_of(island)
    old.ctl_text("election", "handover")
    wait_for("another gateway", lambda: other_gateway(island, old), 20)
    for call, one in zip(calls, (far, near)):
        take_update(near, call.dialog[near])
        hold(call, far)
        hang_up(call, one)
    quiet(near, far)
    no_calls(lab)
    near.close()


@restored
def late_ack(lab, far, island, spare):
    """A phone without UPDATE is told by INVITE: once the INVITE before that is acknowledged, as late as that may be."""
    near = Agent(f"{PHONES}.7", "grace", island.domain, spare.sip)
    near.register()
    sent = far.request("INVITE", near.uri, body=far.sdp(1), extra=NO_UPDATE)
    invite = near.expect_request("INVITE")
    near.answer(invite, 200, "OK", "b1", body=near.sdp(2), extra=NO_UPDATE)
    dialog = far.dialog_of_response(sent, far.expect_status(200))
    old = gateway_of(island)
    wait_for("the call is copied", lambda: copied(island, 1), 20)
    old.ctl_text("election", "handover")
    wait_for("another gateway", lambda: other_gateway(island, old), 20)
    near.expect_nothing("a re-INVITE", lambda m: m.method == "INVITE", 6)
    far.in_dialog(dialog, "ACK")
    near.expect_request("ACK")
    there = near.dialog_of_request(invite, "b1")
    take_invite(near, there, far.sdp(1))
    near.in_dialog(there, "BYE")
    far.answer(far.expect_request("BYE"), 200, "OK")
    near.expect_status(200, "BYE")
    for phone in (near, far):
        while phone.poll(0):
            pass
        phone.waiting.clear()
    no_calls(lab)
    near.close()


def main():
    tests = Tests()
    begin = time.monotonic()
    with lab_of(tests, ISLANDS, hello_ms=500) as lab:
        east, west = lab.islands
        spare = west.others()[-1]
        spare.stop()
        spare.configure(candidate="false")
        back(spare)
        far = Agent(f"{PHONES}.1", "alice", east.domain, east.nodes[0].sip)
        far.register()
        tests.run("a connection to a peer", at_peer, lab, far, west, spare)
        tests.run("a connection to the former gateway", at_former_gateway, lab, far, west, "tcp")
        tests.run("a flow by UDP to the former gateway", at_former_gateway, lab, far, west, "udp")
        tests.run("a connection to the gateway before that", twice, lab, far, west)
        tests.run("a callee without a tag", without_tag, lab, far, west, spare)
        tests.run("an ACK that comes late", late_ack, lab, far, west, spare)
        far.close()
    print(f"{time.monotonic() - begin:.0f} s")
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
