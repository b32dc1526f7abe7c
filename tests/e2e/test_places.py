#!/usr/bin/env python3
"""Every pair of places that two phones may have: at the gateway's own node or at another, in one overlay or
in two, over UDP, TCP and from behind a NAT, sending along the route set; test_places_proxied.py has those that send
all to their own node, and overlays with two gateways."""
import itertools
import re
import select
import socket
import sys

from common import Tests
from test_sip import Nodes
from lab import LabError
from agent import Agent, establish

GATEWAY, PEER, OTHER, FAR, FAR_PEER = "127.30.201.1", "127.30.201.2", "127.30.201.3", "127.30.202.1", "127.30.202.2"
DOMAIN, FAR_DOMAIN = "site.pastry", "site.chord"
PHONES = "127.30.209"
KINDS = ("udp", "tcp", "nat", "listening")  # the last: a TCP phone that is reached at a port of its own
PLACES = (("gateway", "gateway"), ("gateway", "peer"), ("peer", "gateway"), ("peer", "peer"), ("peer", "other"),
          ("gateway", "far"), ("gateway", "far peer"), ("peer", "far"), ("peer", "far peer"),
          ("far peer", "gateway"), ("far", "peer"), ("far peer", "peer"))
NODES = {"gateway": GATEWAY, "peer": PEER, "other": OTHER, "far": FAR, "far peer": FAR_PEER}


def hop_of(uri):
    """(host, port, transport) of a URI without names."""
    host, port = re.match(r"sips?:(?:[^@]*@)?(\[[^\]]*\]|[^:;>?]*)(?::(\d+))?", uri).groups()
    found = re.search(r";transport=(\w+)", uri)
    return host, int(port or 5060), found.group(1).lower() if found else "udp"


class Placed(Agent):
    """A phone that sends where its route set says (RFC 3261 section 12.2.1.1), or all to its node, and has one
    transport; behind a NAT it does not know the address it is seen under."""

    def __init__(self, kind, ip, user, place, is_proxied=False):
        node = NODES[place]
        domain = FAR_DOMAIN if place.startswith("far") else DOMAIN
        super().__init__(ip, user, domain, f"{node}:5060", "udp" if kind in ("udp", "nat") else "tcp")
        self.is_proxied, self.hop = is_proxied, None
        self.inward, self.own, self.door = None, None, None
        if kind == "listening":
            self.door = socket.create_server((ip, 0))
            self.contact = f"sip:{user}@{self.host}:{self.door.getsockname()[1]};transport=tcp"
        if kind == "nat":
            self.host = "192.168.77.7"
            self.contact = f"sip:{user}@{self.host}:{self.port}"
        self.register()

    def _via(self):
        return super()._via().replace(f" {self.ip}:", f" {self.host}:")

    def in_dialog(self, dialog, method, **given):
        uri = dialog.routes[0] if dialog.routes else dialog.target
        host, port, transport = hop_of(uri.strip("<>"))
        self.hop = None
        if not self.is_proxied:
            if transport != self.transport or (transport == "tcp" and (host, port) != self.far):
                raise LabError(f"{self.user}: {method} has to go to {uri}, which is not for a {self.transport} phone")
            self.hop = (host, port)
        return super().in_dialog(dialog, method, **given)

    def poll(self, timeout):
        """Connections to its own port take the place of the one it made, for what comes in."""
        if not self.door:
            return super().poll(timeout)
        if not self.own:
            self.own = self.socket
        ready = select.select([self.door, self.own, *([self.inward] if self.inward else [])], [], [], timeout)[0]
        if self.door in ready:
            self.inward = self.door.accept()[0]
            return True
        for source in ready:
            self.socket = source
            super().poll(0)
            self.socket = self.own
        return bool(ready)

    def answer(self, request, status, *words, **given):
        """By the connection that the node made, if it made one."""
        own, self.socket = self.socket, self.inward or self.socket
        super().answer(request, status, *words, **given)
        self.socket = own

    def close(self):
        for one in (self.door, self.inward):
            if one:
                one.close()
        super().close()

    def send_raw(self, data, to=None):
        super().send_raw(data, to or self.hop)
        self.hop = None


def in_turn(one, dialog, other, method, number):
    """A request inside the dialog, answered, acknowledged."""
    sent = one.in_dialog(dialog, method, body=one.sdp(number))
    other.answer(other.expect_request(method, 2), 200, "OK", body=other.sdp(number))
    one.expect_status(200, method, 2)
    if method == "INVITE":
        one.in_dialog(dialog, "ACK", sequence=int(sent["CSeq"].split()[0]))
        other.expect_request("ACK", 2)


def hang_up(one, dialog, other):
    one.in_dialog(dialog, "BYE")
    other.answer(other.expect_request("BYE", 2), 200, "OK")
    one.expect_status(200, "BYE", 2)


def nothing_is_left(*phones):
    for phone in phones:
        while phone.poll(0.01):
            pass
        left = [m.start for m in phone.waiting if not (m.is_response and m.status == 100)]
        if left:
            raise LabError(f"{phone.user} still has {left}")


def talk(caller, callee, by_callee):
    """Answered, acknowledged, refreshed by both ends and in both ways, hung up by one of them."""
    up, down, _ = establish(caller, callee)
    in_turn(caller, up, callee, "INVITE", 3)
    in_turn(callee, down, caller, "INVITE", 4)
    in_turn(caller, up, callee, "UPDATE", 5)
    in_turn(callee, down, caller, "UPDATE", 6)
    if by_callee:
        hang_up(callee, down, caller)
    else:
        hang_up(caller, up, callee)
    nothing_is_left(caller, callee)


def calls_of(places, is_proxied=False):
    """All kinds of phones at two places; every failure is told.  Two phones that take connections send to each
    other without us."""
    failed = []
    pairs = [(one, two) for one in KINDS for two in KINDS if is_proxied or one != "listening" or two != one]
    for number, (one, two) in enumerate(pairs):
        phones = []
        try:
            phones.append(Placed(one, f"{PHONES}.1", "anna", places[0], is_proxied))
            phones.append(Placed(two, f"{PHONES}.2", "bert", places[1], is_proxied))
            talk(*phones, by_callee=number % 2 == 1)
        except (LabError, OSError) as problem:
            failed.append(f"{one} to {two}: {problem}")
        for phone in phones:
            if phone.transport == "udp" or not failed:
                try:
                    phone.register(0)
                except (LabError, OSError):
                    pass
            phone.close()
    if failed:
        raise LabError("; ".join(failed))


def run_places(tests, ways, places=PLACES, prefix="", is_second=False):
    """Calls from and to each of the places; each of @ways: is all sent by the own node?"""
    wanted = sys.argv[1:]
    nodes = Nodes((f"pastry@{GATEWAY}=gateway", f"pastry@{PEER}{'=gateway' if is_second else ''}", f"pastry@{OTHER}",
                   f"chord@{FAR}=gateway", f"chord@{FAR_PEER}"))
    for is_proxied, pair in itertools.product(ways, places):
        name = f"{prefix}calls from {pair[0]} to {pair[1]}{', all by the own node' if is_proxied else ''}"
        if not wanted or any(word in name for word in wanted):
            tests.run(name, calls_of, pair, is_proxied)
    tests.run(f"{prefix}all ends cleanly", lambda: nodes.end())


def main():
    tests = Tests()
    run_places(tests, [False])
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
