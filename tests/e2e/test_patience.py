#!/usr/bin/env python3
"""Gateways killed one after the other, with phones that call a millisecond after each kill and the next
kill soon after the claim: every call waits for a gateway, none is refused.
"""
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent

EAST, WEST, PHONES = "127.84.61", "127.84.62", "127.84.63"
KILLS, THREES, NEXT_KILL_S, PATIENCE_S = 8, 2, 0.3, 8
THREE_STEP_S = 0.3  # so that three are dead within a second


class Calls:
    """A callee of the other overlay and a caller at each node of this one."""

    def __init__(self, near, far):
        self.callee = Agent(f"{PHONES}.200", "bob", far.domain, far.nodes[0].sip)
        self.callee.register()
        self.caller, self.sent, self.refused, self.answered = {}, {}, [], 0
        for number, node in enumerate(near.nodes):
            self.caller[node] = Agent(f"{PHONES}.{number + 1}", f"al{number}", near.domain, node.sip)
            self.caller[node].register()

    def ask(self, nodes):
        for node in nodes:
            request = self.caller[node].request("OPTIONS", self.callee.uri)
            self.sent[request["Call-ID"]] = (node, time.monotonic())

    def read(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for agent in (self.callee, *self.caller.values()):
                agent.poll(0.0005)
                while agent.waiting:
                    self.take(agent, agent.waiting.pop(0))

    def take(self, agent, message):
        if not message.is_response:
            agent.answer(message, 200, "OK", "t")
        elif message.status >= 200 and message.get("call-id") in self.sent:
            node, at = self.sent.pop(message.get("call-id"))
            self.answered += 1
            if message.status != 200:
                self.refused.append(f"{time.strftime('%T', time.gmtime())} {message.start} from {node.name}, "
                                    f"{time.monotonic() - at:.3f} s after the request, "
                                    f"{message.get('call-id')}")

    def forget(self, node):
        """Its phones' requests died with it."""
        self.sent = {call: (at, when) for call, (at, when) in self.sent.items() if at is not node}

    def end(self):
        end = time.monotonic() + PATIENCE_S
        while self.sent and time.monotonic() < end:
            self.read(0.05)
        refused, unanswered, answered = self.refused, len(self.sent), self.answered
        self.refused, self.sent, self.answered = [], {}, 0
        if refused or unanswered or not answered:
            raise LabError(f"refused {refused}, unanswered {unanswered}, answered {answered}")
        return answered

    def close(self):
        for agent in (self.callee, *self.caller.values()):
            agent.close()


def living(island):
    return [node for node in island.nodes if node.is_running()]


def kill_and_call(island, calls, gateway):
    callers = [node for node in living(island) if node is not gateway and node.role() != "down"]
    gateway.kill()
    calls.forget(gateway)
    time.sleep(0.001)
    calls.ask(callers)


def claimed(island, calls, nodes):
    """Reads phones until one of @nodes is active; returns it."""
    def question():
        calls.read(0.02)
        return next((node for node in nodes if node.is_running() and node.role() == "active"), None)
    return wait_for(f"{island.name}: somebody claims", question, PATIENCE_S, 0)


def one_after_the_other(island, calls, kills=KILLS):
    """Each is started again as soon as the next has claimed, and that one is killed 0.3 s later."""
    gateway = wait_for("all agree on a gateway", island.gateway)
    for _ in range(kills):
        dead = gateway
        kill_and_call(island, calls, dead)
        gateway = claimed(island, calls, living(island))
        dead.start()
        calls.read(NEXT_KILL_S)
    return calls.end()


def three_in_a_second(island, calls, times=THREES):
    answered = 0
    for _ in range(times):
        gateway = wait_for("all agree on a gateway", island.gateway)
        dead = []
        for _ in range(3):
            kill_and_call(island, calls, gateway)
            dead.append(gateway)
            calls.read(THREE_STEP_S)
            alive = living(island)
            gateway = next((node for node in alive if node.role() == "active"), alive[0])
        claimed(island, calls, living(island))
        answered += calls.end()
        for node in dead:
            node.start()
        for node in dead:
            wait_for(f"{node.name} is a candidate", lambda n=node: n.role() == "candidate")
    return answered


def main():
    tests = Tests()
    with lab_of(tests, [("east", EAST, 5), ("west", WEST, 1)]) as lab:
        east, west = lab.islands
        calls = Calls(east, west)
        tests.run("three gateways killed within a second", three_in_a_second, east, calls)
        tests.run("gateways killed one after the other", one_after_the_other, east, calls)
        calls.close()
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
