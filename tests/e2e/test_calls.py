#!/usr/bin/env python3
"""Calls inside an island and between islands, every scenario, UDP and TCP, both directions."""
import signal
import sys

from common import Tests, lab_of
from lab import wait_for
from agent import Agent
import scenarios

ISLANDS = [("east", "127.51.0", 2), ("west", "127.52.0", 2)]
PHONES = "127.53.0"


def phone_at(node, ip, user, transport):
    phone = Agent(ip, user, node.island.domain, node.sip, transport)
    phone.register()
    return phone


def run_pair(tests, number, title, from_node, to_node, transport, wanted):
    """All scenarios between a phone at one node and a phone at another."""
    a = phone_at(from_node, f"{PHONES}.{2 * number + 1}", f"alice{number}", transport)
    b = phone_at(to_node, f"{PHONES}.{2 * number + 2}", f"bob{number}", transport)
    try:
        for scenario in wanted:
            tests.run(f"{title}: {scenario.__name__}", scenario, a, b)
            a.waiting.clear()
            b.waiting.clear()
    finally:
        for phone in (a, b):
            phone.register(0)
            phone.close()


def moved(caller_node, first, second):
    """A phone that has moved to another node is found at once, though the old binding was in use."""
    a = phone_at(caller_node, f"{PHONES}.101", "mover", "udp")
    try:
        for number, node in enumerate((first, second, first)):
            b = phone_at(node, f"{PHONES}.{102 + number}", "moved", "udp")
            try:
                scenarios.basic(a, b)
            finally:
                b.register(0)
                b.close()
    finally:
        a.register(0)
        a.close()


def cancelled(caller_node, node, is_back):
    """The callee is no longer where it was when it was called last: its node is stopped, and @is_back in time to say so, or is
    not.  Whoever has cancelled hears 487."""
    a = phone_at(caller_node, f"{PHONES}.111", "hasty", "udp")
    b = phone_at(node, f"{PHONES}.112", f"gone{is_back:d}", "udp")
    scenarios.basic(a, b)
    b.register(0)
    node.hang()
    try:
        sent = a.request("INVITE", b.uri, body=a.sdp())
        a.expect_status(100)
        a.cancel(b.uri, sent)
        a.expect_status(200, "CANCEL")
        if is_back:
            node.process.send_signal(signal.SIGCONT)
        a.ack_failure(b.uri, sent, a.expect_status(487))
    finally:
        node.process.send_signal(signal.SIGCONT)
        a.register(0)
        for phone in (a, b):
            phone.close()


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS, hello_ms=500) as lab:
        east, west = lab.islands
        far = scenarios.ALL + scenarios.BETWEEN_ISLANDS
        for node in (east.gateway(), west.gateway()):
            other = west if node.island is east else east
            wait_for(f"{node.name} finds {other.name}",
                     lambda n=node, o=other: n.ctl("resolve", f"sip:overlay@{o.name}"), 20)
        pairs = (("inside", east.nodes[0], east.nodes[1], scenarios.ALL),
                 ("same node", east.nodes[0], east.nodes[0], scenarios.ALL),
                 ("east to west", east.others()[0], west.others()[0], far),
                 ("west to east, by the gateways", west.gateway(), east.gateway(), far))
        tests.run("inside: a phone moves", moved, east.nodes[0], *east.nodes)
        tests.run("east to west: a phone moves", moved, east.nodes[0], *west.nodes)
        number = 0
        for title, from_node, to_node, wanted in pairs:
            for transport in ("udp", "tcp"):
                number += 1
                run_pair(tests, number, f"{title}, {transport}", from_node, to_node, transport, wanted)
        for is_back in (True, False):
            tests.run(f"cancelled, by a binding that is old, to a node that says {'so' if is_back else 'nothing'}", cancelled,
                      east.gateway(), east.others()[0], is_back)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
