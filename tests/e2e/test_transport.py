#!/usr/bin/env python3
"""Who cannot be answered is not served, who can is answered, and nothing that is sent ends a node.

In a network namespace, so that an address without a route is one.  Requests by hand, over UDP and TCP: Vias that lead nowhere, responses that cannot be sent and their ACKs, other versions of SIP, methods
that are any token, a Via that names another transport than the one it came by.
"""
import random
import select
import socket
import struct
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from namespace import run_inside
from agent import Agent, end_call, establish

ISLANDS = [("east", "127.80.50", 1), ("west", "127.80.51", 1)]
PHONES = "127.80.52"
NOWHERE = ("1.2.3.4:0", "1.2.3.4:00", "1.2.3.4;maddr=255.255.255.255", "1.2.3.4;maddr=240.0.0.1", "1.2.3.4;maddr=224.0.1.75;ttl=1",
           "1.2.3.4;maddr=0.0.0.0", "1.2.3.4;maddr=198.51.100.7", "1.2.3.4;maddr=[::1]", "1.2.3.4;maddr=host.invalid", "[2001:db8::1]:0")
SILENCE_S = 0.4


class Line:
    """A socket at a node's phones' port; messages are text."""

    def __init__(self, node, ip, transport):
        host, port = node.sip.split(":")
        self.far, self.transport = (host, int(port)), transport
        if transport == "udp":
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind((ip, 0))
        else:
            self.socket = socket.create_connection(self.far, 5, source_address=(ip, 0))
        self.me = "%s:%d" % self.socket.getsockname()

    def send(self, text):
        if self.transport == "udp":
            self.socket.sendto(text.encode("latin-1"), self.far)
        else:
            self.socket.sendall(text.encode("latin-1"))

    def first_line(self, within=3.0):
        """The next message's first line, "" if nothing came, "closed"."""
        if not select.select([self.socket], [], [], within)[0]:
            return ""
        data = self.socket.recv(65536)
        return data.split(b"\r\n")[0].decode("latin-1") if data else "closed"

    def answer(self, within=3.0):
        """The next message whole."""
        return self.socket.recv(65536).decode("latin-1") if select.select([self.socket], [], [], within)[0] else ""

    def close(self):
        self.socket.close()


def request(method, uri, via, names=None, version="SIP/2.0", extra="", domain="site.east", to_tag=""):
    n = names or f"{random.getrandbits(48):x}"
    branch = "" if ";branch=" in via else f";branch=z9hG4bK{n}"
    return (f"{method} {uri} {version}\r\nVia: {via}{branch}\r\nMax-Forwards: 70\r\nFrom: <sip:a@{domain}>;tag={n}\r\n"
            f"To: <{uri}>{to_tag}\r\nCall-ID: {n}\r\nCSeq: 1 {method}\r\nContact: <sip:a@127.0.0.1>\r\n{extra}Content-Length: 0\r\n\r\n")


def lives(node):
    if not node.is_running():
        raise LabError(f"{node.name} has ended: {node.log()[-1500:]}")
    line = Line(node, f"{PHONES}.9", "udp")
    line.send(request("OPTIONS", f"sip:{node.island.domain}", f"SIP/2.0/UDP {line.me};rport", domain=node.island.domain))
    found = line.first_line(5)
    line.close()
    if not found.startswith("SIP/2.0 200"):
        raise LabError(f"{node.name} answers an OPTIONS with {found!r}")


def unanswerable(node, uri):
    """Nothing comes back, not even for the ACK of a response that was never sent, and the node lives."""
    line = Line(node, f"{PHONES}.1", "udp")
    for where in NOWHERE:
        names = f"{random.getrandbits(48):x}"
        line.send(request("INVITE", uri, f"SIP/2.0/UDP {where}", names))
        time.sleep(0.05)  # the input: an ACK that comes when the response would have been sent
        line.send(request("ACK", uri, f"SIP/2.0/UDP {where}", names, to_tag=";tag=x"))
    found = line.first_line(SILENCE_S)
    line.close()
    if found:
        raise LabError(f"expected no response, got {found!r}")
    lives(node)


def lost_after_connection(node, uri):
    """An INVITE over TCP whose sender is gone before the response, and cannot be connected to; its ACK by another connection."""
    for n in range(6):
        names = f"{random.getrandbits(48):x}"
        via = f"SIP/2.0/TCP 127.80.52.2:{n % 2}"
        line = Line(node, f"{PHONES}.2", "tcp")
        line.send(request("INVITE", uri, via, names))
        if n % 3:  # else it is closed in order
            line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()
        other = Line(node, f"{PHONES}.2", "tcp")
        for _ in range(10):
            other.send(request("ACK", uri, via, names, to_tag=";tag=x"))
            time.sleep(0.02)  # the input: at some time in the life of the transaction
        other.close()
    lives(node)


def served(node, transport, via, status=200):
    line = Line(node, f"{PHONES}.3", transport)
    via = via.format(me=line.me)
    line.send(request("OPTIONS", f"sip:{node.island.domain}", via, domain=node.island.domain))
    found = line.answer()
    line.close()
    if not found.startswith(f"SIP/2.0 {status}"):
        raise LabError(f"expected {status}, got {found[:60]!r}")
    if f"Via: {via.split(';')[0]}" not in found:
        raise LabError(f"the response repeats another Via: {found}")


def version(node, transport, text):
    line = Line(node, f"{PHONES}.4", transport)
    line.send(request("INVITE", "sip:nobody@site.east", f"SIP/2.0/{transport.upper()} {line.me}", version=text))
    found = line.first_line()
    line.close()
    if not found.startswith("SIP/2.0 505"):
        raise LabError(f"expected 505, got {found!r}")


def odd_method(node, callee, transport, method):
    """It reaches the phone as it is, and its response comes back."""
    line = Line(node, f"{PHONES}.5", transport)
    line.send(request(method, callee.uri, f"SIP/2.0/{transport.upper()} {line.me}"))
    arrived = callee.expect(method, lambda m: not m.is_response and m.start.startswith(method + " "))
    callee.answer(arrived, 501, "Not Implemented", "x")
    found = line.first_line()
    while found.startswith("SIP/2.0 1"):
        found = line.first_line()
    line.close()
    if not found.startswith("SIP/2.0 501"):
        raise LabError(f"expected 501, got {found!r}")


def no_method(node, transport):
    """What is no token is no request: it is discarded, and the node lives."""
    line = Line(node, f"{PHONES}.5", transport)
    line.send(request("B{AD", "sip:nobody@site.east", f"SIP/2.0/{transport.upper()} {line.me}"))
    line.close()
    lives(node)


def short_branch(node, transport):
    line = Line(node, f"{PHONES}.6", transport)
    for branch in ("z", "z9hG4b", "z9hG4bK"):
        via = f"SIP/2.0/{transport.upper()} {line.me};rport;branch={branch}"
        line.send(request("OPTIONS", "sip:site.east", via))
        found = line.first_line()
        if not found.startswith("SIP/2.0 400"):
            raise LabError(f"branch {branch!r}: expected 400, got {found!r}")
    line.close()


def length_that_lies(node):
    """A second message in one segment, whose Content-Length is no such: the library's limit held for the first one alone."""
    for length in ("65537", "1000000", "2147483647", "2147483648", "4294901760", "4294967290", "4294967295", "4294967296", "-1"):
        line = Line(node, f"{PHONES}.6", "tcp")
        first = request("OPTIONS", "sip:site.east", f"SIP/2.0/TCP {line.me}")
        second = request("OPTIONS", "sip:site.east", f"SIP/2.0/TCP {line.me}").replace("Content-Length: 0", f"Content-Length: {length}")
        line.send(first + second + "x" * 100)
        line.first_line()
        line.close()
        lives(node)


def repeated_field(node, callee, transport):
    """A header field that may stand once stands twice: refused, and the node that would have passed it on lives."""
    for field in ("Max-Forwards: 5", "Content-Type: text/plain", "Content-Length: 0", "Expires: 5", "CSeq: 9 INFO", "Call-ID: another"):
        line = Line(node, f"{PHONES}.6", transport)
        line.send(request("INFO", callee.uri, f"SIP/2.0/{transport.upper()} {line.me}", extra=f"Content-Type: text/plain\r\nExpires: 9\r\n{field}\r\n"))
        found = line.first_line()
        line.close()
        if not found.startswith("SIP/2.0 400"):
            raise LabError(f"{field} twice: expected 400, got {found!r}")
        lives(node)


def unreadable_line(node, callee):
    """A line that is no header field goes no further than the node that read it."""
    line = Line(node, f"{PHONES}.6", "udp")
    line.send(request("INFO", callee.uri, f"SIP/2.0/UDP {line.me}", extra="Rou;rport\r\nX-Passes: yes\r\n"))
    arrived = callee.expect_request("INFO")
    callee.answer(arrived, 200, "OK", "x")
    line.close()
    if arrived.get("x-passes") != "yes" or any("rport" in name for name, _ in arrived.headers):
        raise LabError(f"arrived as {arrived.headers}")


REQUEST_LINES = ("OPTIONS sip: SIP/2.0", "OPTIONS  SIP/2.0", "OPTIONS sip:site.east SIP/2.0 x", "OPTIONS sip:a b SIP/2.0",
                 "OPTIONS sip:a@[::1 SIP/2.0", "OPTIONS sip:a@b:port SIP/2.0", "OPTIONS sip:%@site.east SIP/2.0",
                 "INVITE sip: SIP/2.0")
SILENT_LINES = ("ACK sip: SIP/2.0", "SIP/2.0 abc OK", "SIP/2.0", "SIP/2.0 0 x", "SIP/2.0 99 x", "SIP/2.0 700 x", "SIP/2.0 99999 OK")


def first_lines(node, transport):
    """Answered with 400, or not at all; what is said next over the same connection is answered."""
    line = Line(node, f"{PHONES}.4", transport)
    try:
        good = "OPTIONS sip:site.east SIP/2.0"
        for text in REQUEST_LINES + SILENT_LINES:
            for first in (text, good):
                method = first.split()[0] if first.split()[0].isalpha() else "OPTIONS"
                rest = request(method, "sip:site.east", f"SIP/2.0/{transport.upper()} {line.me};rport")
                line.send(first + rest[rest.index("\r\n"):])
                if first in SILENT_LINES:
                    continue  # whatever came would be found in the place of the next answer
                got = line.answer()
                wanted = "SIP/2.0 200" if first == good else "SIP/2.0 400"
                if not got.startswith(wanted):
                    raise LabError(f"{first} after {text}: {got!r}")
    finally:
        line.close()


def other_languages(node):
    """A connection that does not speak of SIP is closed."""
    for text in ("\x16\x03\x01\x02\r\n\r\n", "x" * 100 + "\r\n\r\n", "OPTIONS sip:site.east\r\nTo: x\r\n\r\n"):
        line = Line(node, f"{PHONES}.4", "tcp")
        try:
            line.send(text)
            line.socket.settimeout(5)
            if line.socket.recv(100):
                raise LabError(f"{text!r} was answered")
        finally:
            line.close()


def no_via(node, domain):
    """A request by TCP that has no Via to answer along: its connection is closed, and what comes over it is not served."""
    for via in ("Via: garbage", "Via: SIP/2.0/TCP", "Via:", "Via: SIP/2.0/TCP ;branch=z9hG4bKx", "X-Via: none"):
        for method in ("OPTIONS", "INVITE", "ACK"):
            line = Line(node, f"{PHONES}.4", "tcp")
            try:
                good = request("OPTIONS", f"sip:{domain}", f"SIP/2.0/TCP {line.me};rport", domain=domain)
                bad = request(method, f"sip:{domain}", f"SIP/2.0/TCP {line.me};rport", domain=domain)
                line.send(good)
                if not line.answer().startswith("SIP/2.0 200"):
                    raise LabError("an OPTIONS is not answered")
                line.send("\r\n".join(via if field.startswith("Via:") else field for field in bad.split("\r\n")))
                line.socket.settimeout(5)
                if line.socket.recv(100):
                    raise LabError(f"{method} with {via!r} was answered")
                wait_for(f"{method} with {via!r}: the connection is closed both ways", lambda: refuses(line, good), 5)
            finally:
                line.close()


def refuses(line, text):
    try:
        line.send(text)
    except OSError:
        return True
    return False


def counted(node):
    """The lost and the discarded are in the metrics."""
    def question():
        text = metrics(node)
        return all(any(line.startswith(name) and float(line.split()[-1]) > 0 for line in text.splitlines())
                   for name in ("ringway_sip_unanswerable_total", "ringway_sip_responses_lost_total"))
    wait_for("both are counted", question, 5)


def metrics(node):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(node.socket)
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def call(caller, callee):
    dialog, _, _ = establish(caller, callee)
    end_call(caller, dialog, callee)


def all_of(tests, lab):
    east, west = lab.islands
    node = east.nodes[0]
    caller = Agent(f"{PHONES}.7", "caller", east.domain, node.sip)
    callee = Agent(f"{PHONES}.8", "callee", west.domain, west.nodes[0].sip)
    caller.register()
    callee.register()
    for uri in ("sip:nobody@site.east", "sip:nobody@site.west", "sip:x@nowhere.invalid"):
        tests.run(f"nobody can be answered, INVITE {uri}", unanswerable, node, uri)
        tests.run(f"the connection of an INVITE is gone, {uri}", lost_after_connection, node, uri)
    for via in ("SIP/2.0/UDP 1.2.3.4:0;rport", "SIP/2.0/UDP 1.2.3.4;maddr=255.255.255.255;rport", "SIP/2.0/TCP {me};rport", "SIP/2.0/TLS {me};rport",
                "SIP/3.0/UDP {me};rport"):
        tests.run(f"served by UDP: {via}", served, node, "udp", via)
    for via in ("SIP/2.0/TCP 1.2.3.4:0", "SIP/2.0/TCP 1.2.3.4;maddr=255.255.255.255", "SIP/2.0/UDP 1.2.3.4:0", "SIP/2.0/TLS 1.2.3.4", "SIP/2.0/SCTP 1.2.3.4"):
        tests.run(f"served by TCP: {via}", served, node, "tcp", via)
    for transport in ("udp", "tcp"):
        for text in ("SIP/3.0", "SIP/1.0", "SIP/2.00", "SIP/7"):
            tests.run(f"{text} by {transport}", version, node, transport, text)
        for method in ("FROBNICATE", "!interesting-Method0123456789_*+`.%indeed'~", "invite", "INVITEx"):
            tests.run(f"{method} by {transport} to another overlay", odd_method, node, callee, transport, method)
        tests.run(f"no method by {transport}", no_method, node, transport)
        tests.run(f"short branches by {transport}", short_branch, node, transport)
        tests.run(f"a field that may stand once stands twice, by {transport}", repeated_field, node, callee, transport)
        tests.run(f"first lines that cannot be read, by {transport}", first_lines, node, transport)
    tests.run("no SIP at all", other_languages, node)
    tests.run("no Via to answer along", no_via, node, east.domain)
    tests.run("lengths that lie, behind another message", length_that_lies, node)
    tests.run("a line that is none", unreadable_line, node, callee)
    tests.run("what was lost is counted", counted, node)
    tests.run("a call after all that", call, caller, callee)


def main():
    run_inside()
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        all_of(tests, lab)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
