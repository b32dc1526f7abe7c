#!/usr/bin/env python3
"""A phone's own connection, or the NAT's binding before it, is lost under a call, and the phone comes back with another."""
import re
import socket
import sys

from common import Tests
from namespace import run_inside
from test_connection_lost import contact, in_dialog
from test_ringing import nothing_but, until
from test_sip import FAR, FAR_DOMAIN, GATEWAY, PEER, SDP, Nodes, Phone

WAYS = {"one node": (PEER, None), "one overlay": (GATEWAY, None), "two overlays": (FAR, FAR_DOMAIN)}


class Mobile(Phone):
    """By TCP from behind a NAT, or so it seems: its Contact is where it sends from."""

    def __init__(self, name, last, at, domain=None):
        self.at = at
        super().__init__(name, last, stream_to=at, **({"domain": domain} if domain else {}))
        self.register(at, expires=3600)

    def lose(self):
        """The network is gone: nothing that this connection carries is heard."""
        self.socket.close()
        self.buffer = b""

    def come_back(self):
        self.socket = socket.socket()
        self.socket.bind((self.ip, 0))
        self.socket.connect((self.at, 5060))
        self.port = self.socket.getsockname()[1]
        old, self.contact = self.contact, f"sip:{self.name}@{self.ip}:{self.port};transport=tcp"
        self.register(self.at, [f"<{self.contact}>"], expires=3600)
        self.register(self.at, [f"<{old}>"], expires=0)


def pair(kinds, number, at, domain):
    """Caller and callee; who is a Mobile has its flow."""
    given = {"domain": domain} if domain else {}
    caller = Mobile(f"alice{number}", 10 + number, PEER) if kinds[0] is Mobile else Phone(f"alice{number}", 10 + number)
    if kinds[1] is Mobile:
        return caller, Mobile(f"bob{number}", 60 + number, at, domain)
    callee = Phone(f"bob{number}", 60 + number, **given)
    callee.register(at, expires=3600)
    return caller, callee


def ring(caller, callee):
    caller.invite(callee.aor, PEER)
    invite = callee.incoming("INVITE")
    callee.answer(invite, 180, contact(callee))
    return invite, until(caller, "SIP/2.0 180")


def hang_up(callee, at, invite):
    """BYE of the callee, who sent the 200."""
    routes = [f"Route: {route}" for line in invite.all("Record-Route") for route in line.split(",")]
    callee.request("BYE", re.search("<(.*?)>", invite.one("Contact")).group(1), at, routes, frm=invite.one("To") + ";tag=t1",
                   to_field=invite.one("From"), call_id=invite.one("Call-ID"), cseq=5)


def end(caller, callee):
    nothing_but(callee, within=0.1)
    caller.close()
    callee.close()


def callee_back_while_ringing(_nodes, number, at, domain):
    """He answers over the new connection, and the call goes on by it."""
    caller, callee = pair((Phone, Mobile), number, at, domain)
    invite, _ = ring(caller, callee)
    callee.lose()
    callee.come_back()
    nothing_but(caller, "SIP/2.0 1", within=0.3)
    callee.answer(invite, 200, contact(callee), SDP)
    answer = until(caller, "SIP/2.0 200")
    in_dialog(caller, "ACK", answer, caller.cseq)
    until(callee, "ACK")
    in_dialog(caller, "BYE", answer, caller.cseq + 1)
    callee.answer(until(callee, "BYE"), 200)
    until(caller, "SIP/2.0 200")
    end(caller, callee)


def callee_back_is_cancelled(_nodes, number, at, domain):
    caller, callee = pair((Phone, Mobile), number, at, domain)
    invite, ringing = ring(caller, callee)
    callee.lose()
    callee.come_back()
    cancel(caller, callee, ringing)
    callee.answer(until(callee, "CANCEL"), 200)
    callee.answer(invite, 487)
    until(callee, "ACK")
    until(caller, "SIP/2.0 487")
    end(caller, callee)


def callee_back_before_ack(_nodes, number, at, domain):
    """His 200 went by the old connection."""
    caller, callee = pair((Phone, Mobile), number, at, domain)
    invite, _ = ring(caller, callee)
    callee.answer(invite, 200, contact(callee), SDP)
    answer = until(caller, "SIP/2.0 200")
    callee.lose()
    callee.come_back()
    in_dialog(caller, "ACK", answer, caller.cseq)
    until(callee, "ACK")
    in_dialog(caller, "BYE", answer, caller.cseq + 1)
    callee.answer(until(callee, "BYE"), 200)
    until(caller, "SIP/2.0 200")
    end(caller, callee)


def cancel(caller, callee, ringing):
    caller.send("\r\n".join([f"CANCEL {callee.aor} SIP/2.0", f"Via: {ringing.one('Via').split(';received')[0]}",
                             "Max-Forwards: 70", f"From: {ringing.one('From')}", f"To: <{callee.aor}>",
                             f"Call-ID: {ringing.one('Call-ID')}", f"CSeq: {ringing.one('CSeq').split()[0]} CANCEL",
                             "Content-Length: 0", "", ""]), PEER)


def caller_back_while_ringing(_nodes, number, at, domain):
    """His CANCEL by the new connection is that of the INVITE that came by the old one; so is its 487."""
    caller, callee = pair((Mobile, Phone), number, at, domain)
    invite, ringing = ring(caller, callee)
    caller.lose()
    caller.come_back()
    cancel(caller, callee, ringing)
    callee.answer(until(callee, "CANCEL"), 200)
    callee.answer(invite, 487)
    until(callee, "ACK")
    until(caller, "SIP/2.0 487")
    end(caller, callee)


def caller_back_before_ack(_nodes, number, at, domain):
    """The 200 was lost with the connection; it and the callee's BYE come by the new one."""
    caller, callee = pair((Mobile, Phone), number, at, domain)
    invite, _ = ring(caller, callee)
    caller.lose()
    callee.answer(invite, 200, contact(callee), SDP)
    nothing_but(callee, within=0.2)
    caller.come_back()
    callee.answer(invite, 200, contact(callee), SDP)
    answer = until(caller, "SIP/2.0 200")
    in_dialog(caller, "ACK", answer, int(answer.one("CSeq").split()[0]))
    until(callee, "ACK")
    hang_up(callee, at, invite)
    caller.answer(until(caller, "BYE"), 200)
    until(callee, "SIP/2.0 200")
    end(caller, callee)


def main():
    run_inside()
    tests = Tests()
    nodes = Nodes()
    number = 0
    for name, way in WAYS.items():
        for check in (callee_back_while_ringing, callee_back_is_cancelled, callee_back_before_ack, caller_back_while_ringing,
                      caller_back_before_ack):
            number += 1
            tests.run(f"{check.__name__.replace('_', ' ')}, {name}", check, nodes, number, *way)
    tests.run("all ends cleanly", nodes.end)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
