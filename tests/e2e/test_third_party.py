#!/usr/bin/env python3
"""Nobody sends to an address of his choice through a node: only a dialog's own requests go to the address that it has named."""
import os
import random
import socket
import sys

from common import Tests, lab_of
from lab import LabError
from agent import Agent, Message, establish

ISLANDS = [("east", "127.81.1", 2), ("west", "127.81.2", 1)]
PHONES, OUTSIDE = "127.81.3", "127.81.4.1"
REFUSED = (403, 404, 481)


class Outside:
    """An address that has nothing to do with us."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((OUTSIDE, 0))
        self.uri = "sip:x@%s:%d" % self.socket.getsockname()
        self.socket.setblocking(False)

    def got(self, within=0.0):
        """Who has sent requests here: [(method, From)]; waits for the first."""
        self.socket.settimeout(within or None)
        self.socket.setblocking(within > 0)
        came = []
        while True:
            try:
                message = Message(self.socket.recv(65536).decode())
                came.append((message.method, message.get("from")))
                self.socket.setblocking(False)
            except (BlockingIOError, socket.timeout):
                return came

    def close(self):
        self.socket.close()


def send(phone, method, outside, **names):
    """A request to the outside address with the names of whatever dialog."""
    phone.last_cseq += 1
    chance = f"{random.getrandbits(48):x}"
    phone.write(method, outside.uri, [
        ("Via", phone._via()), ("Max-Forwards", "70"), ("From", f"<{phone.uri}>;tag={names.get('from_tag', chance)}"),
        ("To", f"<{outside.uri}>" + (f";tag={names['to_tag']}" if "to_tag" in names else "")), ("Call-ID", names.get("call_id", chance)),
        ("CSeq", f"{phone.last_cseq} {method}"), ("Contact", f"<{phone.contact}>"), *(("Route", r) for r in names.get("routes", ()))])


def tag_of(value):
    return value.partition(";tag=")[2].partition(";")[0]


def try_all(stranger, outside, dialog):
    """Each way in which a stranger may name the address.  Without a Route he is refused; with one that leads to a phone of the call, that
    phone gets it."""
    local, remote, call_id = tag_of(dialog.local), tag_of(dialog.remote), dialog.call_id
    tries = [{}, {"to_tag": "x"}, {"call_id": call_id}, {"call_id": call_id, "to_tag": "x"}, {"call_id": call_id, "from_tag": local},
             {"call_id": call_id, "from_tag": local, "to_tag": "x"}, {"call_id": call_id, "to_tag": remote},
             {"from_tag": local, "to_tag": remote}, {"call_id": call_id.upper() + "x", "from_tag": local, "to_tag": remote}]
    for names in tries:
        for method in ("MESSAGE", "INFO"):
            send(stranger, method, outside, **names)
            status = stranger.expect(f"a final response to {method}", lambda m: m.is_response and m.sequence == stranger.last_cseq).status
            if status not in REFUSED:
                raise LabError(f"{method} {names}: {status}")
            for count in range(1, len(dialog.routes) + 1):
                send(stranger, method, outside, routes=dialog.routes[:count], **names)
                stranger.waiting.clear()


def of_a_call(caller_at, callee_at, transport):
    """A call one end of which says that it is at the address outside: its other end reaches that, and nobody else does."""
    outside = Outside()
    a, b = Agent(f"{PHONES}.1", "a", "site.east", caller_at.sip, transport), Agent(f"{PHONES}.2", "b", callee_at.island.domain, callee_at.sip, transport)
    strangers = [Agent(f"{PHONES}.{3 + i}", "stranger", "site.east", node.sip, transport) for i, node in enumerate({caller_at, callee_at})]
    try:
        b.register()
        a.contact = outside.uri
        dialog, back, _ = establish(a, b)
        outside.got()
        for stranger in strangers:
            try_all(stranger, outside, dialog)
            try_all(stranger, outside, back)
        if back.target == outside.uri:  # else it is the gateway's
            b.in_dialog(back, "INFO")
            came = outside.got(5)
            if {(method, tag_of(sender)) for method, sender in came} != {("INFO", tag_of(back.local))}:
                raise LabError(f"an INFO of the call and nothing else should have come: {came}")
        else:
            came = outside.got()
            if came:
                raise LabError(f"nothing should have come: {came}")
        a.in_dialog(dialog, "BYE")
        b.answer(b.expect_request("BYE"), 200, "OK")
        a.expect_status(200, "BYE")
    finally:
        for one in (a, b, *strangers, outside):
            one.close()


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS, sip_extra="max-requests-per-source = 100000", build=os.environ.get("RINGWAY_BUILD", "build/asan")) as lab:
        east, west = lab.islands
        one, two = east.nodes
        for transport in ("udp", "tcp"):
            for name, caller_at, callee_at in (("at one node", one, one), ("at two nodes", one, two), ("at two nodes, back", two, one)):
                tests.run(f"an address named in a call {name}, {transport}", of_a_call, caller_at, callee_at, transport)
            tests.run(f"an address named in a call to another overlay, {transport}", of_a_call, one, west.nodes[0], transport)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
