#!/usr/bin/env python3
"""Nobody sends to an address of his choice through a node: only a dialog's own requests go to the address that it has named, and who has
never answered is sent little more than what others send."""
import os
import random
import socket
import sys
import time

from common import Tests, lab_of
from lab import LabError
from agent import Agent, Message, establish

ISLANDS = [("east", "127.81.1", 2), ("west", "127.81.2", 1)]
PHONES, OUTSIDE = "127.81.3", "127.81.4"
REFUSED = (403, 404, 481)


class Outside:
    """An address that has nothing to do with us."""

    count = 0

    def __init__(self):
        Outside.count += 1
        self.ip = f"{OUTSIDE}.{Outside.count}"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.ip, 0))
        self.port = self.socket.getsockname()[1]
        self.uri = f"sip:x@{self.ip}:{self.port}"
        self.vias = set()  # the topmost ones
        self.socket.setblocking(False)

    def got(self, within=0.0):
        """Who has sent requests here: [(method, From)]; waits for the first."""
        self.socket.settimeout(within)
        came = []
        while True:
            try:
                message = Message(self.socket.recv(65536).decode())
                came.append((message.method, message.get("from")))
                self.vias.add(message.get("via"))
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
    """A call one end of which says that it is at the address outside: its other end reaches the phone, and nobody the address."""
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
            b.in_dialog(back, "INFO")  # the phone is where it sends from
            a.answer(a.expect("an INFO of the call", lambda m: m.method == "INFO" and b.uri in m.get("from")), 200, "OK")
            b.expect_status(200, "INFO")
        came = outside.got()
        if came:
            raise LabError(f"nothing should have come: {came}")
        a.in_dialog(dialog, "BYE")
        b.answer(b.expect_request("BYE"), 200, "OK")
        a.expect_status(200, "BYE")
    finally:
        for one in (a, b, *strangers, outside):
            one.close()


def register_at(outside, node, user):
    """A REGISTER by UDP from the address outside, as who can write any source address sends it."""
    domain = node.island.domain
    host, port = node.sip.split(":")
    outside.socket.sendto(
        (f"REGISTER sip:{domain} SIP/2.0\r\nVia: SIP/2.0/UDP {outside.ip}:{outside.port};branch=z9hG4bKr{user}\r\nMax-Forwards: 70\r\n"
         f"From: <sip:{user}@{domain}>;tag=r\r\nTo: <sip:{user}@{domain}>\r\nCall-ID: r{user}\r\nCSeq: 1 REGISTER\r\n"
         f"Contact: <{outside.uri}>\r\nExpires: 60\r\nContent-Length: 0\r\n\r\n").encode(), (host, int(port)))
    if outside.got(5) != [("REGISTER", f"<sip:{user}@{domain}>;tag=r")]:
        raise LabError("no response to the REGISTER")


def never_heard(registered_at, caller_at):
    """Calls and MESSAGEs to a phone that never answers: one copy of each reaches its address, and a few more."""
    outside = Outside()
    caller = Agent(f"{PHONES}.7", "caller", caller_at.island.domain, caller_at.sip)
    phone = None
    count, user = 30, f"silent{Outside.count}"
    try:
        register_at(outside, registered_at, user)
        uri = f"sip:{user}@{registered_at.island.domain}"
        for _ in range(count):
            caller.request("INVITE", uri, body=caller.sdp())
            caller.request("MESSAGE", uri, body="x", content_type="text/plain")
        came, end = [], time.monotonic() + 8
        while time.monotonic() < end:  # what comes is counted; half a second, 1, 2 and 4 s pass for each
            came += outside.got(0.5)
        if not 2 * count <= len(came) <= 2 * count + 16:
            raise LabError(f"{len(came)} requests came for {2 * count}")
        if len(outside.vias) != 2 * count + 1:  # copies alone: nobody else tries the same phone
            raise LabError(f"{len(outside.vias)} different ones: {outside.vias}")
        outside.close()  # somebody is there after all, and answers once: from then on copies are sent as always
        phone = Agent(outside.ip, user, registered_at.island.domain, registered_at.sip, port=outside.port)
        sent = caller.request("INVITE", uri, body=caller.sdp())
        name = sent["Call-ID"] if caller_at.island is registered_at.island else None
        invite = phone.expect("the new INVITE", lambda m: m.method == "INVITE" and not m.is_response and name in (None, m.get("call-id")))
        phone.answer(invite, 486, "Busy Here", "x")
        if name is None:
            return  # calls between overlays have other names at each end
        caller.expect("486", lambda m: m.is_response and m.status == 486)
        caller.request("MESSAGE", uri, body="y", content_type="text/plain")
        for _ in range(4):
            phone.expect("copies of a MESSAGE", lambda m: m.method == "MESSAGE" and not m.is_response and m.sequence == caller.last_cseq, 8)
    finally:
        for one in (caller, outside, phone):
            if one:
                one.close()


def many_to_one(node):
    """Above the share of an address that has never answered callers hear 480, at once."""
    outside = Outside()
    caller = Agent(f"{PHONES}.8", "many", node.island.domain, node.sip)
    try:
        register_at(outside, node, "alone")
        for _ in range(300):
            caller.request("MESSAGE", f"sip:alone@{node.island.domain}", body="x", content_type="text/plain")
        refused = caller.expect("a final response", lambda m: m.is_response and m.status >= 200, 5)
        if refused.status != 480:
            raise LabError(f"expected 480, got {refused.start}")
    finally:
        caller.close()
        outside.close()


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS, sip_extra="max-requests-per-source = 100000", build=os.environ.get("RINGWAY_BUILD", "build/asan")) as lab:
        east, west = lab.islands
        one, two = east.nodes
        for transport in ("udp", "tcp"):
            for name, caller_at, callee_at in (("at one node", one, one), ("at two nodes", one, two), ("at two nodes, back", two, one)):
                tests.run(f"an address named in a call {name}, {transport}", of_a_call, caller_at, callee_at, transport)
            tests.run(f"an address named in a call to another overlay, {transport}", of_a_call, one, west.nodes[0], transport)
        tests.run("an address that never answers, one node", never_heard, one, one)
        tests.run("an address that never answers, two nodes", never_heard, two, one)
        tests.run("an address that never answers, two overlays", never_heard, east.gateway() or one, west.nodes[0])
        tests.run("many to an address that never answers", many_to_one, one)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
