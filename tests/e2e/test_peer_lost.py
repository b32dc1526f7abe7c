#!/usr/bin/env python3
"""Calls to a phone whose serving peer has died."""
import sys

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


def serving_peer_dies(callers, phone, peer):
    """Nobody knows whether a phone is there whose serving peer is dead: 500, come again; not 480."""
    peer.process.kill()
    peer.process.wait()
    peer.process = None  # its end is no failure
    for caller in callers:
        answer = final(caller, phone)
        if answer.status != 500 or not answer.get("retry-after"):
            raise LabError(f"expected 500 with Retry-After, got {answer.start}")


def registers_elsewhere(callers, phone):
    phone.register()
    for n, caller in enumerate(callers):
        dialog, _, _ = establish(caller, phone, tag=f"e{n}")
        end_call(caller, dialog, phone)


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        east, west = lab.islands
        node, peer = east.gateway(), east.others()[0]
        wait_for("the node is the gateway", lambda: node.role() == "active", 20)
        callers = [Agent(f"{PHONES}.1", "near", east.domain, node.sip),
                   Agent(f"{PHONES}.2", "far", west.domain, west.gateway().sip)]
        phone = Agent(f"{PHONES}.3", "phone", east.domain, peer.sip)
        for one in (*callers, phone):
            one.register()
        tests.run("its phone is there", registers_elsewhere, callers, phone)
        tests.run("its serving peer dies", serving_peer_dies, callers, phone, peer)
        phone.proxy, phone.far = node.sip, callers[0].far
        tests.run("it registers at another", registers_elsewhere, callers, phone)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
