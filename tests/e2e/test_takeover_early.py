#!/usr/bin/env python3
"""PRACK and UPDATE of calls that ring, in the gap between a gateway's death and the news of the next one: from phones at
every living node; their own overlay's gateway dies, or the far one's.  Each is answered by the far end, and the call
that it belongs to is answered and ended after it.
"""
import os
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent
import survive

OVERLAYS = [("east", "127.84.101", 3), ("west", "127.84.102", 3)]
CALLERS, CALLEES = "127.84.103", "127.84.104"
CALLS = int(os.environ.get("CALLS", 9))
KINDS = ("PRACK", "UPDATE", "UPDATE of the callee")
RELIABLE = [("Require", "100rel"), ("RSeq", "1")]
PATIENCE_S, STEP_S, AGAIN_S = 20, 0.01, 0.3


class Call:
    """A call that rings, and the one request that an end of it sends in the gap."""

    def __init__(self, number, node, far):
        self.kind = KINDS[number % len(KINDS)]
        self.caller = Agent(f"{CALLERS}.{number + 1}", f"caller{number}", node.island.domain, node.sip)
        self.callee = Agent(f"{CALLEES}.{number + 1}", f"callee{number}", far.island.domain, far.sip)
        self.caller.register()
        self.callee.register()
        self.sent = self.caller.request("INVITE", self.callee.uri, body=self.caller.sdp(1),
                                        extra=[("Supported", "100rel"), *survive.UPDATE])
        self.invite = self.callee.expect_request("INVITE")
        self.callee.answer(self.invite, 183, "Session Progress", "b1", body=self.callee.sdp(2), extra=RELIABLE)
        progress = self.caller.expect_status(183)
        self.early = self.caller.dialog_of_response(self.sent, progress)
        self.own = self.callee.dialog_of_request(self.invite, "b1")
        self.sender, self.hearer, self.dialog = self.caller, self.callee, self.early
        if self.kind == KINDS[2]:
            self.sender, self.hearer, self.dialog = self.callee, self.caller, self.own
        self.method = self.kind.split()[0]
        self.extra = [("RAck", f"{progress.get('rseq')} {self.sent['CSeq']}")] if self.method == "PRACK" else []
        self.status, self.is_heard, self.next_try, self.final, self.is_acknowledged = 0, False, None, None, False
        self.is_over = False

    def send(self):
        self.sender.in_dialog(self.dialog, self.method, extra=self.extra)

    def answer(self):
        self.callee.answer(self.invite, 200, "OK", "b1", extra=survive.UPDATE)

    def hang_up(self):
        self.caller.in_dialog(self.caller.dialog_of_response(self.sent, self.final), "BYE")

    def on_response(self, agent, message):
        if message.method == "INVITE" and message.status >= 200 and agent is self.caller:
            if message.status != 200:
                raise LabError(f"{agent.user} heard {message.start}")
            self.final = message
            self.caller.in_dialog(self.caller.dialog_of_response(self.sent, message), "ACK", sequence=message.sequence)
        elif agent is self.sender and message.method == self.method and message.status >= 200:
            if message.status in (491, 500):  # nobody could handle it just then (RFC 3261 section 21.5.4)
                self.next_try = time.monotonic() + AGAIN_S
            else:
                self.status = self.status or message.status
        elif message.method == "BYE":
            self.is_over = message.status == 200

    def on_request(self, agent, message):
        if message.method == "ACK":
            self.is_acknowledged = True
        elif message.method in ("INVITE", "CANCEL"):
            if message.method == "CANCEL" or message.get("via") != self.invite.get("via"):
                raise LabError(f"{agent.user} heard {message.start}, Via {message.all('via')}, before {self.invite.all('via')}")
        else:
            self.is_heard |= agent is self.hearer and message.method == self.method
            agent.answer(message, 200, "OK", extra=survive.UPDATE)

    def step(self):
        """Answer what came to either end; whatever a new gateway asks is answered, too."""
        if self.next_try and time.monotonic() >= self.next_try:
            self.next_try = None
            self.send()
        for agent in (self.caller, self.callee):
            while agent.poll(0):
                pass
            while agent.waiting:
                message = agent.waiting.pop(0)
                (self.on_response if message.is_response else self.on_request)(agent, message)

    def close(self):
        self.caller.close()
        self.callee.close()


def all_of(calls, what, question):
    """Within a time, of every call."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and not all(question(c) for c in calls):
        for call in calls:
            call.step()
        time.sleep(0.002)
    bad = [(n, c.kind, c.status, c.is_heard) for n, c in enumerate(calls) if not question(c)]
    if bad:
        raise LabError(f"{what}: (call, request, status, heard by the far end): {bad}")


def gap(callers, callees, dying):
    gateway = wait_for(f"{dying.name} has its gateway", dying.gateway, 20)
    nodes, far = callers.others(), callees.others()
    wait_for("a standby", lambda: gateway.ctl("status")["replicas"]["heirs"], 20)
    calls = [Call(number, nodes[number % len(nodes)], far[number % len(far)]) for number in range(CALLS)]
    try:
        time.sleep(0.1)
        gateway.kill()
        for call in calls:
            call.send()
            time.sleep(STEP_S)  # so that some come before, some while the news spread
        all_of(calls, "answered", lambda c: c.status and c.is_heard)
        bad = [(n, c.kind, c.status) for n, c in enumerate(calls) if c.status != 200]
        if bad:
            raise LabError(f"(call, request, status): {bad}")
        for call in calls:
            call.answer()
        all_of(calls, "picked up", lambda c: c.final and c.is_acknowledged)
        for call in calls:
            call.hang_up()
        all_of(calls, "hung up", lambda c: c.is_over)
    finally:
        for call in calls:
            call.close()
        survive.back_in_role(gateway)


def main():
    tests = Tests()
    wanted = sys.argv[1:]
    with lab_of(tests, OVERLAYS, log_level=os.environ.get("LEVEL", "info")) as lab:
        east, west = lab.islands
        for name, dying in (("requests of calls that ring, in the gap", east),
                            ("requests of calls that ring, in the gap of the far overlay", west)):
            if not wanted or name in wanted:
                tests.run(name, gap, east, west, dying)
        survive.no_calls(lab)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
