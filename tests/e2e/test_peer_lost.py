#!/usr/bin/env python3
"""Calls to phones whose serving peer has died, or hangs."""
import signal
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent, end_call, establish

ISLANDS = [("east", "127.95.0", 2), ("west", "127.95.1", 1)]
PHONES = "127.95.2"


def final(caller, phone):
    sent = caller.request("INVITE", phone.uri, body=caller.sdp(1))
    answer = caller.expect("a final response", lambda m: m.is_response and m.status >= 200 and m.method == "INVITE", 20)
    caller.ack_failure(phone.uri, sent, answer)
    return answer


def is_called(callers, phone, tag):
    for n, caller in enumerate(callers):
        phone.waiting.clear()  # an INVITE that a busy node retransmitted
        dialog, _, _ = establish(caller, phone, tag=f"{tag}{n}")
        end_call(caller, dialog, phone)


def serving_peer_hangs(callers, plain, phone, peer):
    """Nobody waits twice for a peer that does not answer; a phone that is reached by its URI is called straight."""
    peer.hang()
    try:
        is_called(callers, plain, "h")
        took = []
        for caller in callers * 3:
            begin = time.monotonic()
            answer = final(caller, phone)
            took.append(time.monotonic() - begin)
            if answer.status != 500 or not answer.get("retry-after"):
                raise LabError(f"expected 500 with Retry-After, got {answer.start}")
        if max(took[-2:]) > 1:
            raise LabError(f"the last calls waited {took} s for it")
    finally:
        peer.process.send_signal(signal.SIGCONT)


def serving_peer_dies(callers, plain, phone, peer):
    """A phone that is reached by its URI is called straight.  Nobody knows whether another one is there: 500, come
    again; not 480."""
    peer.process.kill()
    peer.process.wait()
    peer.process = None  # its end is no failure
    is_called(callers, plain, "k")
    for caller in callers:
        answer = final(caller, phone)
        if answer.status != 500 or not answer.get("retry-after"):
            raise LabError(f"expected 500 with Retry-After, got {answer.start}")


def registers_elsewhere(callers, phone):
    phone.register()
    for n, caller in enumerate(callers):
        dialog, _, _ = establish(caller, phone, tag=f"e{n}")
        end_call(caller, dialog, phone)


def serving_peer_drains(callers, plain, peer):
    """Whoever is reached by the URI he registered is called, though his serving peer takes nothing new, and when it has left."""
    if peer.ctl("drain") is None:
        raise LabError("drain was refused")
    is_called(callers, plain, "d")
    if peer.stop() != 0:
        raise LabError("it did not leave")
    is_called(callers, plain, "l")


def copies(node, peer):
    key = peer.ctl("status")["node"]["node_id"]
    return sum(r["kind"] == "BINDING" and r["key"] == key and r["exists"] for r in node.ctl("overlay", "local")["held"])


def people(east, west, node, peer, first):
    """Two callers, a phone that is reached by its URI, and one on a connection."""
    callers = [Agent(f"{PHONES}.{first}", f"near{first}", east.domain, node.sip),
               Agent(f"{PHONES}.{first + 1}", f"far{first}", west.domain, west.gateway().sip)]
    plain = Agent(f"{PHONES}.{first + 2}", f"plain{first}", east.domain, peer.sip)
    phone = Agent(f"{PHONES}.{first + 3}", f"flow{first}", east.domain, peer.sip, transport="tcp")
    for one in (*callers, plain, phone):
        one.register()
    return callers, plain, phone


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        east, west = lab.islands
        node, peer = east.gateway(), east.others()[0]
        wait_for("the node is the gateway", lambda: node.role() == "active", 20)
        callers, plain, phone = people(east, west, node, peer, 1)
        for one in (plain, phone):
            tests.run(f"{one.user}: its phone is there", is_called, callers, one, "t")
        tests.run("its serving peer hangs", serving_peer_hangs, callers, plain, phone, peer)
        wait_for("the peer is back", lambda: node.ctl("overlay", "local")["neighbours"] == 1, 20)
        node = lab.wait_gateway(east)
        peer = east.others()[0]
        callers, plain, phone = people(east, west, node, peer, 5)  # what the peer had got then reaches the others now
        tests.run("its serving peer drains and leaves", serving_peer_drains, callers, plain, peer)
        peer.start()
        wait_for("it is back", lambda: peer.local_state() == "joined", 20)
        node = lab.wait_gateway(east)
        peer = east.others()[0]
        callers, plain, phone = people(east, west, node, peer, 9)
        wait_for("the other node has a copy of their records", lambda: copies(node, peer) >= 2, 20)
        tests.run("its serving peer dies", serving_peer_dies, callers, plain, phone, peer)
        plain.proxy, plain.far = node.sip, callers[0].far
        tests.run("it registers at another", registers_elsewhere, callers, plain)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
