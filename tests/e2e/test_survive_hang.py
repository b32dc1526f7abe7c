#!/usr/bin/env python3
"""Calls that ring when a gateway between the phones stands still (SIGSTOP) and goes on after another has its place.  No
connection breaks.  The phone that rings is answered while the gateway hangs, and it is this call, which either end ends.
"""
import os
import signal
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from ringing import Ringing
import survive

ISLANDS = [("east", "127.84.64", 3), ("west", "127.84.65", 3)]
PHONES = "127.84.66"
# of the answer and of the gateway's going on, after it has begun to hang; and who hangs up
CASES = ((1.0, 3.0, "caller"), (2.5, 2.0, "callee"), (0.1, 1.5, "caller"))
ROUNDS = int(os.environ.get("ROUNDS", len(CASES)))


def hang_up(call, who):
    """BYE is answered with 200, and the other end has heard it."""
    dialogs = {call.caller: call.dialog, call.callee: call.callee.dialog_of_request(call.invite, "b1")}
    phone, other = (call.caller, call.callee) if who == "caller" else (call.callee, call.caller)
    phone.in_dialog(dialogs[phone], "BYE")
    other.answer(other.expect("the BYE", survive.of_call(dialogs[other], "BYE"), 8), 200, "OK")
    phone.expect_status(200, "BYE")


def rings_on(call, answer_s, resume_s, process):
    """The gateway hangs; b answers; the gateway goes on."""
    begin = time.monotonic()
    for at, what in sorted(((answer_s, call.answer), (resume_s, lambda: process.send_signal(signal.SIGCONT))),
                           key=lambda step: step[0]):
        call.wait(max(0.0, begin + at - time.monotonic()))
        what()
    call.until("the call", lambda: call.final and call.is_acknowledged, 8)
    if call.final.status != 200 or call.cancelled:
        raise LabError(f"the caller got {call.final.start}, cancelled: {bool(call.cancelled)}")
    if call.final.body != call.callee.sdp(2):
        raise LabError(f"the answer was {call.final.body}")
    call.answer_at = None
    call.wait(1.0)  # whatever the gateway that went on has to say


def is_whole(island):
    """Each node has all others in its routing table: the news of a new gateway reach them."""
    return all(node.ctl("status")["local"]["neighbours"] == len(island.nodes) - 1 for node in island.nodes)


def gateway_hangs(lab, which, alice, bob):
    """@which overlay's, the callee's or the caller's."""
    for answer_s, resume_s, who in CASES[:ROUNDS]:
        gateway = survive.gateway_of(lab.islands[which])
        wait_for("somebody can have its place", lambda g=gateway: g.ctl("election")["candidates"], 20)
        wait_for("its overlay is whole", lambda i=lab.islands[which]: is_whole(i), 20)
        call = Ringing(alice, bob)
        time.sleep(0.1)
        gateway.process.send_signal(signal.SIGSTOP)
        try:
            rings_on(call, answer_s, resume_s, gateway.process)
            hang_up(call, who)
        except LabError as problem:
            raise LabError(f"answered after {answer_s} s, went on after {resume_s} s: {problem}") from problem
        finally:
            gateway.process.send_signal(signal.SIGCONT)
        survive.quiet(alice, bob)
        survive.no_calls(lab)
        wait_for("it has given its role away", lambda g=gateway: g.role() == "candidate", 20)


def main():
    tests = Tests()
    wanted = sys.argv[1:]
    with lab_of(tests, ISLANDS, log_level=os.environ.get("LEVEL", "info")) as lab:
        alice, bob = survive.phones_at(lab, survive.spare_nodes(lab), PHONES)
        for name, which in (("the caller's gateway hangs", 0), ("the callee's gateway hangs", 1)):
            if not wanted or name in wanted:
                tests.run(name, gateway_hangs, lab, which, alice, bob)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
