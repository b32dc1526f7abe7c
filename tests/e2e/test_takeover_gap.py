#!/usr/bin/env python3
"""Requests of calls in the gap between a gateway's death and the news of the next one: from phones at
every living node, the one that takes over included; their own overlay's gateway dies, or the far one's.  Each is answered by
the far end.
"""
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent, establish

ISLANDS = [("east", "127.84.51", 3), ("west", "127.84.52", 3)]
CALLERS, CALLEES = "127.84.53", "127.84.54"
CALLS, METHODS = 18, ("BYE", "UPDATE", "INVITE")
PATIENCE_S, STEP_S, AGAIN_S = 20, 0.01, 0.3


class Call:
    """A call that is up, and the one request that its caller sends in the gap."""

    def __init__(self, number, node, far):
        self.method = METHODS[number % len(METHODS)]
        self.caller = Agent(f"{CALLERS}.{number + 1}", f"caller{number}", node.island.domain, node.sip)
        self.callee = Agent(f"{CALLEES}.{number + 1}", f"callee{number}", far.island.domain, far.sip)
        self.caller.register()
        self.callee.register()
        self.dialog, _, _ = establish(self.caller, self.callee)
        self.status, self.heard, self.is_heard, self.next_try = 0, [], False, None

    def send(self):
        self.caller.in_dialog(self.dialog, self.method, body=self.caller.sdp(4) if self.method == "INVITE" else "")

    def note(self, response):
        """A hold that meets the new gateway's own re-INVITE is said once more (RFC 3261 14.1), and so is what nobody could
        handle just then (21.5.4)."""
        self.heard.append(response.status)
        if response.status in (491, 500):
            if self.method == "INVITE":
                self.caller.in_dialog(self.dialog, "ACK", sequence=response.sequence)
            self.next_try = time.monotonic() + AGAIN_S
        else:
            self.status = self.status or response.status

    def step(self):
        """Answer what came to either end; whatever a new gateway asks is answered, too."""
        if self.next_try and time.monotonic() >= self.next_try:
            self.next_try = None
            self.send()
        for agent in (self.caller, self.callee):
            agent.poll(0.001)
            while agent.waiting:
                message = agent.waiting.pop(0)
                if message.is_response:
                    if agent is self.caller and message.method == self.method and message.status >= 200:
                        self.note(message)
                elif message.method != "ACK":
                    self.is_heard |= agent is self.callee and message.method == self.method
                    agent.answer(message, 200, "OK", body=agent.sdp(5) if message.method == "INVITE" else "")

    def close(self):
        self.caller.close()
        self.callee.close()


def gap(callers, callees, dying):
    """Returns the calls."""
    gateway, nodes, far = dying.gateway(), callers.others(), callees.others()
    calls = [Call(number, nodes[number % len(nodes)], far[number % len(far)]) for number in range(CALLS)]
    try:
        wait_for("every call has a copy", lambda: all(c["is_replicated"] for c in gateway.ctl("calls")), 10)
        gateway.kill()
        for call in calls:
            call.send()
            time.sleep(STEP_S)  # so that some come before, some while the news spread
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and not all(c.status and c.is_heard for c in calls):
            for call in calls:
                call.step()
        bad = [(n, c.method, c.status, c.is_heard) for n, c in enumerate(calls) if c.status != 200 or not c.is_heard]
        if bad:
            raise LabError(f"(call, method, status, heard by the far end): {bad}")
        return calls
    finally:
        for call in calls:
            call.close()


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        east, west = lab.islands
        tests.run("requests in the gap, from phones at every living node", gap, east, west, east)
        tests.run("requests in the gap of the far overlay", gap, east, west, west)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
