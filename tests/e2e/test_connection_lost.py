#!/usr/bin/env python3
"""Connections that are lost while a phone rings: each link of the path, each state before the ACK.

It runs in a network namespace of its own, where `ss -K` ends the connections of one port and of nobody else."""
import socket
import subprocess
import sys

from common import Tests
from namespace import run_inside
from test_ringing import nothing_but, until
from test_sip import FAR, FAR_DOMAIN, GATEWAY, PEER, SDP, Nodes, Phone, token

SIP, BETWEEN_GATEWAYS, BETWEEN_NODES = 5060, 5061, 5062


def cut(port):
    """Ends every connection to a port, at both of its ends."""
    done = subprocess.run(["ss", "-K", "-t", "-H", "state", "established", f"( sport = :{port} or dport = :{port} )"],
                          stdout=subprocess.PIPE, check=True)
    assert done.stdout.strip(), f"no connection of port {port} to cut"


def two_phones(number):
    caller, callee = Phone(f"caller{number}", 20 + number), Phone(f"callee{number}", 60 + number, domain=FAR_DOMAIN)
    callee.register(FAR, expires=3600)
    caller.invite(callee.aor, PEER)
    return caller, callee, callee.incoming("INVITE")


def contact(phone):
    return [f"Contact: <{phone.contact}>"]


def in_dialog(phone, method, response, cseq):
    """A request of the caller along the route set."""
    routes = [f"Route: {route}" for line in response.all("Record-Route") for route in line.split(",")][::-1]
    target = response.one("Contact").strip("<>").split(">")[0]
    phone.request(method, target, PEER, routes, to_field=response.one("To"), call_id=response.one("Call-ID"), cseq=cseq)


def talk_and_end(caller, callee, invite):
    """The callee answers; acknowledged, and hung up by the caller."""
    callee.answer(invite, 200, contact(callee), SDP)
    answer = until(caller, "SIP/2.0 200")
    in_dialog(caller, "ACK", answer, caller.cseq)
    until(callee, "ACK")
    in_dialog(caller, "BYE", answer, caller.cseq + 1)
    callee.answer(until(callee, "BYE"), 200)
    assert until(caller, "SIP/2.0 200").one("CSeq").endswith("BYE")
    nothing_but(callee, within=0.2)
    caller.close()
    callee.close()


def cut_while_ringing(_nodes, number, port):
    caller, callee, invite = two_phones(number)
    callee.answer(invite, 180, contact(callee))
    until(caller, "SIP/2.0 180")
    cut(port)
    nothing_but(callee, within=0.3)
    nothing_but(caller, "SIP/2.0 1", within=0.1)
    talk_and_end(caller, callee, invite)


def cut_before_ringing(_nodes, number, port):
    caller, callee, invite = two_phones(number)
    cut(port)
    nothing_but(callee, within=0.3)
    callee.answer(invite, 180, contact(callee))
    until(caller, "SIP/2.0 180")
    talk_and_end(caller, callee, invite)


def cut_before_ack(_nodes, number, port):
    """The ACK goes by a new connection, and after another loss the BYE."""
    caller, callee, invite = two_phones(number)
    callee.answer(invite, 200, contact(callee), SDP)
    answer = until(caller, "SIP/2.0 200")
    cut(port)
    in_dialog(caller, "ACK", answer, caller.cseq)
    until(callee, "ACK")
    cut(port)
    in_dialog(caller, "BYE", answer, caller.cseq + 1)
    callee.answer(until(callee, "BYE"), 200)
    assert until(caller, "SIP/2.0 200").one("CSeq").endswith("BYE")
    nothing_but(callee, within=0.2)
    caller.close()
    callee.close()


def cut_and_cancelled(_nodes, number, port):
    caller, callee, invite = two_phones(number)
    callee.answer(invite, 180, contact(callee))
    ringing = until(caller, "SIP/2.0 180")
    cut(port)
    nothing_but(caller, "SIP/2.0 1", within=0.3)
    caller.send("\r\n".join([f"CANCEL {callee.aor} SIP/2.0", f"Via: {ringing.one('Via').split(';received')[0]}",
                             "Max-Forwards: 70", f"From: {ringing.one('From')}", f"To: <{callee.aor}>",
                             f"Call-ID: {ringing.one('Call-ID')}", f"CSeq: {caller.cseq} CANCEL",
                             "Content-Length: 0", "", ""]), PEER)
    callee.answer(until(callee, "CANCEL"), 200)
    callee.answer(invite, 487)
    until(callee, "ACK")
    until(caller, "SIP/2.0 487")
    caller.close()
    callee.close()


def cut_again_and_again(_nodes, number, port):
    """Whether it goes on or is given up: the caller hears how, and nobody rings for nobody."""
    caller, callee, invite = two_phones(number)
    callee.answer(invite, 180, contact(callee))
    until(caller, "SIP/2.0 180")
    final = None
    for _ in range(3):
        cut(port)
        found = nothing_but(caller, "SIP/2.0 1", "SIP/2.0 5", "SIP/2.0 4", within=0.4)
        final = final or next((start for start in found if start[8] in "45"), None)
        if final:
            break
    if not final:
        talk_and_end(caller, callee, invite)
        return
    callee.answer(until(callee, "CANCEL"), 200)
    callee.answer(invite, 200, contact(callee), SDP)  # picked up all the same
    until(callee, "ACK")
    callee.answer(until(callee, "BYE"), 200)
    nothing_but(callee, within=0.2)
    caller.close()
    callee.close()


class Listening(Phone):
    """A caller by TCP whose Via names a port that it listens at (RFC 3261 section 18.2.2)."""

    def __init__(self, name, last):
        super().__init__(name, last, stream_to=PEER)
        self.door = socket.create_server((self.ip, 0))
        self.contact = f"sip:{name}@{self.ip}:{self.door.getsockname()[1]};transport=tcp"

    def via(self, branch=None):
        return f"SIP/2.0/TCP {self.ip}:{self.door.getsockname()[1]};branch={branch or token('z9hG4bK')}"

    def accept(self):
        self.door.settimeout(4)
        self.socket.close()
        self.socket = self.door.accept()[0]


def caller_comes_back(_nodes):
    """The caller's own connection, closed by it or cut; its responses come by a new one."""
    for is_cut in (False, True):
        caller, callee = Listening("walker", 55), Phone("sitter", 56, domain=FAR_DOMAIN)
        callee.register(FAR, expires=3600)
        caller.invite(callee.aor, PEER)
        invite = callee.incoming("INVITE")
        if is_cut:
            cut(SIP)
        else:
            caller.socket.close()
        nothing_but(callee, within=0.2)
        callee.answer(invite, 180, contact(callee))
        caller.accept()
        until(caller, "SIP/2.0 180")
        callee.answer(invite, 200, contact(callee), SDP)
        answer = until(caller, "SIP/2.0 200")
        in_dialog(caller, "ACK", answer, caller.cseq)
        until(callee, "ACK")
        in_dialog(caller, "BYE", answer, caller.cseq + 1)
        callee.answer(until(callee, "BYE"), 200)
        until(caller, "SIP/2.0 200")
        caller.door.close()
        caller.close()
        callee.close()


class Both(Phone):
    """A phone by UDP that takes connections at the same port; what it answers says how it was reached."""

    def __init__(self, name, last):
        super().__init__(name, last)
        self.door = socket.create_server((self.ip, self.port))
        self.door.settimeout(4)

    def accept(self):
        self.socket.close()
        self.socket, self.transport = self.door.accept()[0], "TCP"
        self.contact += ";transport=tcp"


def large_invite(_nodes):
    """More than UDP may carry: the callee is reached by TCP, the caller keeps to UDP (section 18.1.1)."""
    for number, at in enumerate((PEER, GATEWAY)):
        caller, callee = Phone(f"wordy{number}", 50 + number), Both(f"patient{number}", 52 + number)
        callee.register(at, expires=3600)
        caller.invite(callee.aor, PEER, [f"Subject: {'long ' * 250}"])
        callee.accept()
        invite = callee.incoming("INVITE")
        callee.answer(invite, 200, contact(callee), SDP)
        answer = until(caller, "SIP/2.0 200")
        assert answer.one("Record-Route"), "the caller has no way to a phone by TCP"
        in_dialog(caller, "ACK", answer, caller.cseq)
        until(callee, "ACK")
        in_dialog(caller, "BYE", answer, caller.cseq + 1)
        callee.answer(until(callee, "BYE"), 200)
        until(caller, "SIP/2.0 200")
        callee.door.close()
        caller.close()
        callee.close()


def large_invite_refused(_nodes):
    """The phone has no TCP: by UDP all the same (section 18.1.1)."""
    caller, callee = Phone("wordy", 57), Phone("plain", 58)
    callee.register(PEER, expires=3600)
    caller.invite(callee.aor, PEER, [f"Subject: {'long ' * 250}"])
    invite = callee.incoming("INVITE")
    talk_and_end(caller, callee, invite)


CHECKS = (cut_while_ringing, cut_before_ringing, cut_before_ack, cut_and_cancelled, cut_again_and_again)


def main():
    run_inside()
    wanted = sys.argv[1:]
    tests = Tests()
    nodes = Nodes()
    number = 0
    for port, link in ((BETWEEN_GATEWAYS, "between gateways"), (BETWEEN_NODES, "between nodes")):
        for check in CHECKS:
            number += 1
            if not wanted or check.__name__ in wanted:
                tests.run(f"{check.__name__.replace('_', ' ')}, {link}", check, nodes, number, port)
    for check in (caller_comes_back, large_invite, large_invite_refused):
        if not wanted or check.__name__ in wanted:
            tests.run(check.__name__.replace("_", " "), check, nodes)
    tests.run("all ends cleanly", lambda: nodes.end())
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
