#!/usr/bin/env python3
"""Requests too large for UDP to phones that have nothing else (RFC 3261 section 18.1.1); SIP nodes without an overlay."""
import socket
import sys
import time

from common import Tests
from test_connection_lost import contact, in_dialog, talk_and_end
from test_ringing import nothing_but, until
from test_sip import FAR, FAR_DOMAIN, GATEWAY, PEER, SDP, Nodes, Phone

LONG = f"Subject: {'long ' * 260}"
PLACES = ((PEER, None), (GATEWAY, None), (FAR, FAR_DOMAIN))


class Silent(Phone):
    """By UDP; at the same port connections are neither taken nor refused: the queue of its door is full."""

    def __init__(self, name, last, domain):
        super().__init__(name, last, **({"domain": domain} if domain else {}))
        self.door = socket.socket()
        self.door.bind((self.ip, self.port))
        self.door.listen(0)
        self.fill = []
        while len(self.fill) < 8:
            filler = socket.socket()
            filler.bind((self.ip, 0))
            filler.settimeout(0.1)
            self.fill.append(filler)
            try:
                filler.connect((self.ip, self.port))
            except TimeoutError:
                break

    def open(self):
        """Takes all connections from now on.  What they carry, within a time in which a SYN is sent again."""
        own = {filler.getsockname() for filler in self.fill}
        for filler in self.fill:
            filler.close()
        heard, end = b"", time.monotonic() + 3
        self.door.settimeout(0.1)
        others = []
        while time.monotonic() < end:
            try:
                taken, whence = self.door.accept()
                taken.settimeout(0.1)
                others += [taken] if whence not in own else []
            except TimeoutError:
                pass
            for other in others:
                try:
                    heard += other.recv(65536)
                except OSError:
                    pass
        for other in others:
            other.close()
        self.door.close()
        return heard


def pair(kind, number, domain, *more):
    caller = Phone(f"wordy{number}", 10 + number)
    callee = kind(f"plain{number}", 60 + number, domain, *more)
    return caller, callee


def plain(name, last, domain):
    """Its connections are refused."""
    return Phone(name, last, **({"domain": domain} if domain else {}))


def dial(caller, callee, at):
    callee.register(at, expires=3600)
    caller.invite(callee.aor, PEER, [LONG])
    begun = time.monotonic()
    invite = callee.incoming("INVITE", 3)
    return invite, time.monotonic() - begun


def answered(_nodes, number, at, domain, kind):
    caller, callee = pair(kind, number, domain)
    invite, _ = dial(caller, callee, at)
    assert "SIP/2.0/UDP" in invite.one("Via")
    talk_and_end(caller, callee, invite)


def refused(_nodes, number, at, domain, kind):
    """The ACK of a refusal goes where its INVITE went; it is too large, too."""
    caller, callee = pair(kind, number, domain)
    caller.name = "w" * 1300  # in From's tag
    invite, _ = dial(caller, callee, at)
    callee.answer(invite, 486)
    until(caller, "SIP/2.0 486")
    until(callee, "ACK")
    nothing_but(callee, within=0.7)
    caller.close()
    callee.close()


def cancelled(_nodes, number, at, domain, kind):
    caller, callee = pair(kind, number, domain)
    caller.name = "w" * 1300
    invite, _ = dial(caller, callee, at)
    callee.answer(invite, 180, contact(callee))
    ringing = until(caller, "SIP/2.0 180")
    caller.send("\r\n".join([f"CANCEL {callee.aor} SIP/2.0", f"Via: {ringing.one('Via').split(';received')[0]}",
                             "Max-Forwards: 70", f"From: {ringing.one('From')}", f"To: <{callee.aor}>",
                             f"Call-ID: {ringing.one('Call-ID')}", f"CSeq: {caller.cseq} CANCEL",
                             "Content-Length: 0", "", ""]), PEER)
    callee.answer(until(callee, "CANCEL"), 200)
    callee.answer(invite, 487)
    until(callee, "ACK")
    caller.close()
    callee.close()


def long_target(_nodes, number, at, domain, kind):
    """ACK and BYE to a Contact of 2 kB."""
    caller, callee = pair(kind, number, domain)
    invite, _ = dial(caller, callee, at)
    callee.contact = callee.contact.replace("@", f"{'x' * 1900}@")
    callee.answer(invite, 200, contact(callee), SDP)
    answer = until(caller, "SIP/2.0 200")
    in_dialog(caller, "ACK", answer, caller.cseq)
    until(callee, "ACK", 2)
    in_dialog(caller, "BYE", answer, caller.cseq + 1)
    callee.answer(until(callee, "BYE"), 200)
    until(caller, "SIP/2.0 200")
    caller.close()
    callee.close()


def nothing_by_tcp(_nodes):
    """The connection that came too late carries no request."""
    for number, (at, domain) in enumerate(PLACES):
        caller, callee = pair(Silent, 40 + number, domain)
        invite, took_s = dial(caller, callee, at)
        assert took_s < 1.5, f"by UDP after {took_s:.2f} s"
        callee.answer(invite, 180, contact(callee))
        until(caller, "SIP/2.0 180")
        heard = callee.open()
        assert not heard.strip(), f"by TCP, too: {heard[:60]}"
        nothing_but(callee, within=0.1)
        talk_and_end(caller, callee, invite)


def two_wait_in_one_queue(_nodes):
    """Neither is sent by the connection that both have waited for."""
    caller, callee = pair(Silent, 50, None)
    other = Phone("wordier", 9)
    callee.register(PEER, expires=3600)
    for one in (caller, other):
        one.invite(callee.aor, PEER, [LONG])
    invites = [callee.incoming("INVITE", 3) for _ in range(2)]
    assert len({invite.one("Call-ID") for invite in invites}) == 2
    for invite in invites:
        callee.answer(invite, 486)
    until(caller, "SIP/2.0 486")
    until(other, "SIP/2.0 486")
    heard = callee.open()
    assert not heard.strip(), f"by TCP, too: {heard[:60]}"
    for phone in (caller, callee, other):
        phone.close()


def main():
    tests = Tests()
    nodes = Nodes()
    number = 0
    for kind, what in ((plain, "refuses connections"), (Silent, "lets them wait")):
        for at, domain in PLACES:
            for check in (answered, refused, cancelled, long_target):
                number += 1
                tests.run(f"{check.__name__.replace('_', ' ')}: phone at {at} {what}", check, nodes, number, at, domain, kind)
    tests.run("nothing by TCP", nothing_by_tcp, nodes)
    tests.run("two wait in one queue", two_wait_in_one_queue, nodes)
    tests.run("all ends cleanly", nodes.end)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
