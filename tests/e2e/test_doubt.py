#!/usr/bin/env python3
"""A gateway that hangs while requests wait for it is replaced well before its HELLOs are over, wherever the requests
come in: at a candidate, and at a node that cannot be gateway and tells the candidates.  In calm it has all of its time.
"""
import re
import signal
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent

HELLO_MS = 500
LEAST_MS = HELLO_MS * 3 * 3 // 4  # of silence without a request that waits; with one it is a third of all
TRIES = 3
PHONES = "127.84.97"
PAUSE_S = 0.05
CALM_S = 2


def silence_of(node):
    """How long its last gateway had been silent when this node took over."""
    reason = [line for line in node.ctl("election", "history") if line["to"] == "active"][-1]["reason"]
    found = re.search(r"silent for (\d+) ms", reason)
    if not found:
        raise LabError(f"{node.name} took over: {reason}")
    return int(found.group(1))


def hang(east, phone=None):
    """The gateway hangs; how long it was silent when another took over."""
    gateway = wait_for("there is a gateway", lambda: ([n for n in east.nodes if n.role() == "active"] + [None])[0])
    others = [node for node in east.nodes if node is not gateway]
    wait_for("two stand-bys, and no more", lambda: len(gateway.ctl("election")["candidates"]) == 2, 20)
    end = time.monotonic() + CALM_S
    while phone and time.monotonic() < end:  # who gives it requests knows it, and its stand-bys
        phone.request("OPTIONS", "sip:x@site.nowhere")
        phone.poll(PAUSE_S)
    end = time.monotonic() + 10
    gateway.hang()
    try:
        while time.monotonic() < end:
            if phone:
                phone.request("OPTIONS", "sip:x@site.nowhere")
                phone.poll(PAUSE_S)
            active = [node for node in others if node.role() == "active"]
            if active:
                return silence_of(active[0])
        raise LabError("nobody took over")
    finally:
        gateway.process.send_signal(signal.SIGCONT)
        if phone:
            phone.waiting.clear()
        wait_for("one gateway again", lambda: gateway.role() == "candidate" and
                 [node.role() for node in others].count("active") == 1, 20)


def at(lab, pick):
    """Time and again: a busy machine may be late in all it does."""
    east = lab.islands[0]
    seen = []
    for n in range(TRIES):
        node = pick(east)
        phone = Agent(f"{PHONES}.{n + 1}", "al", east.domain, node.sip)
        phone.register()
        try:
            seen.append(hang(east, phone))
        finally:
            phone.close()
        print(f"     requests at {node.name}: silent for {seen[-1]} ms", flush=True)
        if seen[-1] < LEAST_MS:
            return
    raise LabError(f"silent for {seen} ms")


def in_calm(lab):
    silence = hang(lab.islands[0])
    print(f"     no requests: silent for {silence} ms")
    if silence < LEAST_MS:
        raise LabError(f"replaced after {silence} ms")


def main():
    tests = Tests()
    with lab_of(tests, [("east", "127.84.98", 4)], hello_ms=HELLO_MS) as lab:
        east = lab.islands[0]
        plain = east.nodes[3]
        plain.stop()
        plain.configure(candidate="false")
        plain.start()
        wait_for("all are there", lambda: plain.local_state() == "joined" and east.gateway(), 30)
        tests.run("requests wait at a candidate", at, lab,
                  lambda island: [node for node in island.nodes if node is not plain and node.role() == "candidate"][0])
        tests.run("requests wait at a node that cannot be gateway", at, lab, lambda island: plain)
        tests.run("in calm it has the time of its HELLOs", in_calm, lab)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
