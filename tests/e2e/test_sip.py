#!/usr/bin/env python3
"""Registrar, proxy and their limits, on SIP nodes without an overlay (tests/e2e/sip_nodes.c)."""
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time

from common import Tests

BUILD = os.environ.get("RINGWAY_BUILD", "build/release")
GATEWAY, PEER, FAR = "127.30.101.1", "127.30.101.2", "127.30.102.1"
DOMAIN, FAR_DOMAIN = "site.pastry", "site.chord"
PHONES = "127.30.109"
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


def token(prefix=""):
    return f"{prefix}{random.getrandbits(48):x}"


class Message:
    """A SIP message taken apart as far as a test asks."""

    def __init__(self, data):
        head, _, self.body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        self.start, *lines = head.split("\r\n")
        self.fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
        self.status = int(self.start[8:11]) if self.start.startswith("SIP/2.0 ") else 0
        self.method = "" if self.status else self.start.split(" ")[0]
        self.uri = "" if self.status else self.start.split(" ")[1]

    def all(self, name):
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def one(self, name):
        values = self.all(name)
        return values[0] if values else ""


class Phone:
    """A phone at one address that says what it is told to say."""

    def __init__(self, name, last, stream_to=None, domain=DOMAIN):
        self.name, self.domain, self.ip = name, domain, f"{PHONES}.{last}"
        self.transport = "TCP" if stream_to else "UDP"
        kind = socket.SOCK_STREAM if stream_to else socket.SOCK_DGRAM
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.bind((self.ip, 0))
        if stream_to:
            self.socket.connect((stream_to, 5060))
        self.port = self.socket.getsockname()[1]
        self.contact = f"sip:{name}@{self.ip}:{self.port}" + (";transport=tcp" if stream_to else "")
        self.aor = f"sip:{name}@{domain}"
        self.buffer = b""
        self.cseq = 0
        self.call_id = self.peer = ""
        self.register_id = token("r")

    def close(self):
        self.socket.close()

    def send(self, text, to):
        data = text.encode()
        if self.transport == "TCP":
            self.socket.sendall(data)
        else:
            self.socket.sendto(data, (to, 5060))

    def via(self, branch=None):
        return f"SIP/2.0/{self.transport} {self.ip}:{self.port};branch={branch or token('z9hG4bK')};rport"

    def request(self, method, uri, to, fields=(), body="", **given):
        """Sends a request; given: frm, to_field, call_id, cseq, max_forwards, branch."""
        self.cseq = given.get("cseq", self.cseq + 1)
        self.call_id, self.peer = given.get("call_id") or token("c"), to
        lines = [f"{method} {uri} SIP/2.0", f"Via: {self.via(given.get('branch'))}",
                 f"Max-Forwards: {given.get('max_forwards', 70)}",
                 f"From: {given.get('frm') or f'<{self.aor}>;tag={self.name}'}",
                 f"To: {given.get('to_field') or f'<{uri}>'}",
                 f"Call-ID: {self.call_id}", f"CSeq: {self.cseq} {method}"]
        lines += list(fields) + [f"Content-Length: {len(body)}", "", body]
        self.send("\r\n".join(lines), to)

    def answer(self, request, status, fields=(), body="", to=None, tag="t1"):
        phrase = {180: "Ringing", 200: "OK", 486: "Busy Here", 487: "Terminated", 603: "Decline"}.get(status, "-")
        to_field = request.one("To") + ("" if ";tag=" in request.one("To") else f";tag={tag}")
        lines = [f"SIP/2.0 {status} {phrase}"] + [f"Via: {via}" for via in request.all("Via")]
        lines += [f"Record-Route: {route}" for route in request.all("Record-Route")]
        lines += [f"From: {request.one('From')}", f"To: {to_field}", f"Call-ID: {request.one('Call-ID')}",
                  f"CSeq: {request.one('CSeq')}"] + list(fields)
        lines += [f"Content-Length: {len(body)}", "", body]
        sent_by = re.search(r"SIP/2.0/\w+ ([\d.]+)", request.one("Via")).group(1)
        self.send("\r\n".join(lines), to or sent_by)

    def receive(self, timeout=3.0):
        """The next message, None when there is none in time or the connection ends."""
        end = time.monotonic() + timeout
        while True:
            data = self.take()
            if data:
                return Message(data)
            self.socket.settimeout(max(end - time.monotonic(), 0.001))
            try:
                more = self.socket.recv(65536)
            except OSError:
                return None
            if not more:
                return None
            self.buffer += more

    def take(self):
        """One whole message of what has arrived."""
        if self.transport == "UDP":
            data, self.buffer = self.buffer, b""
            return data
        head, gap, rest = self.buffer.partition(b"\r\n\r\n")
        if not gap:
            return b""
        length = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1))
        if len(rest) < length:
            return b""
        self.buffer = rest[length:]
        return head + gap + rest[:length]

    def final(self, timeout=4.0):
        """The final answer to the last request, acknowledged if it refuses an INVITE; provisional ones and
        repeated answers to earlier requests are passed over."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            message = self.receive(end - time.monotonic())
            if not message or message.status < 200 or message.one("Call-ID") != self.call_id:
                continue
            if message.status >= 300 and message.one("CSeq").endswith("INVITE"):
                self.acknowledge(message)
            return message
        raise AssertionError("no final answer")

    def acknowledge(self, refusal):
        lines = [f"ACK {self.aor} SIP/2.0", f"Via: {refusal.one('Via')}", f"From: {refusal.one('From')}",
                 f"To: {refusal.one('To')}", f"Call-ID: {refusal.one('Call-ID')}",
                 f"CSeq: {refusal.one('CSeq').split()[0]} ACK", "Content-Length: 0", "", ""]
        self.send("\r\n".join(lines), self.peer)

    def incoming(self, method, timeout=4.0):
        """The next request of this method; anything else is passed over."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            message = self.receive(end - time.monotonic())
            if message and message.method == method:
                return message
        raise AssertionError(f"{self.name} got no {method}")

    def quiet(self, seconds=0.4):
        message = self.receive(seconds)
        assert message is None, f"{self.name} got {message and message.start}"

    def register(self, at, contacts=None, expires=300, expect=200, **given):
        fields = [f"Contact: {contact}" for contact in (contacts if contacts is not None else [f"<{self.contact}>"])]
        if expires is not None:
            fields.append(f"Expires: {expires}")
        given.setdefault("call_id", self.register_id)
        given.setdefault("to_field", f"<{self.aor}>")
        domain = given.pop("domain", self.domain)
        self.request("REGISTER", f"sip:{domain}", at, fields, **given)
        reply = self.final()
        assert reply.status == expect, reply.start
        return reply

    def invite(self, uri, at, fields=(), **given):
        self.request("INVITE", uri, at, [f"Contact: <{self.contact}>", "Content-Type: application/sdp", *fields],
                     SDP, **given)

    def ask(self, method, uri, at, fields=(), **given):
        self.request(method, uri, at, fields, **given)
        return self.final().status


class Nodes:
    """The process under test."""

    def __init__(self, nodes=(f"pastry@{GATEWAY}=gateway", f"pastry@{PEER}", f"chord@{FAR}=gateway")):
        self.folder = tempfile.TemporaryDirectory(prefix="ringway-sip-")
        self.process = subprocess.Popen(
            [f"{BUILD}/tests/e2e/sip_nodes", self.folder.name, *nodes],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self.folder.name + "/log", "w"), text=True)
        assert self.process.stdout.readline() == "ready\n", self.log()

    def log(self):
        return open(self.folder.name + "/log").read()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        if not line.startswith("advance"):
            assert self.process.stdout.readline() == line + "\n"

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("the nodes do not end") from None
        assert self.process.returncode == 0, f"exit {self.process.returncode}: {self.log()[-3000:]}"
        assert "ERROR: " not in self.log(), self.log()[-3000:]


# ---- registrar ---------------------------------------------------------------------------------------


def contacts_are_kept_and_listed(_nodes):
    phone = Phone("reg1", 1)
    first, second = f"<{phone.contact}>", f"<sip:reg1@{phone.ip}:9>;q=0.25;expires=120"
    reply = phone.register(PEER, [first, second])
    listed = ", ".join(reply.all("Contact"))
    assert f"{first};expires=300" in listed and "q=0.25;expires=120" in listed, listed
    reply = phone.register(PEER, [], None)
    assert ", ".join(reply.all("Contact")).count("<sip:") == 2
    reply = phone.register(PEER, [f"<{phone.contact.upper().replace('SIP:REG1', 'sip:reg1')}>"], 0)
    assert ", ".join(reply.all("Contact")).count("<sip:") == 1, "hosts compare without regard to case"
    reply = phone.register(PEER, ["*"], 0)
    assert not reply.all("Contact")
    phone.close()


def rules_of_register_hold(_nodes):
    phone = Phone("reg2", 1)
    phone.register(PEER, ["*"], 60, expect=400)
    phone.register(PEER, ["*", f"<{phone.contact}>"], 0, expect=400)
    reply = phone.register(PEER, expires=10, expect=423)
    assert reply.one("Min-Expires") == "60"
    phone.register(PEER, cseq=20)
    phone.register(PEER, cseq=20, expires=100, expect=500)
    phone.register(PEER, cseq=19, expires=100, expect=500)
    phone.register(PEER, cseq=5, call_id=token("other"))
    reply = phone.register(PEER, expires=99999, cseq=30)
    assert "expires=7200" in reply.one("Contact"), reply.one("Contact")
    phone.register(PEER, to_field="<sip:x@elsewhere.example>", expect=404)
    phone.register(PEER, frm="<sip:x@elsewhere.example>;tag=1", expect=403)
    phone.register(PEER, ["<mailto:x@y.example>"], expect=400)
    phone.register(PEER, [f"<sip:reg2@{phone.ip}:{port}>" for port in range(9000, 9011)], expect=500)
    phone.close()


def a_binding_expires(nodes):
    phone, caller = Phone("exp", 1), Phone("caller", 2)
    phone.register(PEER, expires=60)
    caller.invite(phone.aor, GATEWAY)
    phone.answer(phone.incoming("INVITE"), 486)
    assert caller.final().status == 486
    nodes.tell("advance 61000")
    time.sleep(2.2)  # the tick of the node, then the life of what others have cached
    caller.invite(phone.aor, GATEWAY)
    assert caller.final().status == 480
    phone.close()
    caller.close()


# ---- what is refused ---------------------------------------------------------------------------------


def requests_are_checked(_nodes):
    phone = Phone("check", 1)
    nobody = f"sip:nobody@{DOMAIN}"
    assert phone.ask("MESSAGE", nobody, PEER) == 404
    assert phone.ask("MESSAGE", nobody, PEER, frm="<sip:evil@elsewhere.example>;tag=1") == 403
    assert phone.ask("MESSAGE", nobody, PEER, max_forwards=0) == 483
    assert phone.ask("MESSAGE", nobody, PEER, ["Proxy-Require: wonder"]) == 420
    assert phone.ask("OPTIONS", "tel:+123", PEER) == 416
    assert phone.ask("MESSAGE", nobody, PEER, branch="short") == 400
    assert phone.ask("OPTIONS", f"sip:{DOMAIN}", PEER) == 200
    assert phone.ask("OPTIONS", f"sip:{PEER}", PEER, frm="<sip:x@elsewhere.example>;tag=1") == 200
    assert phone.ask("SUBSCRIBE", f"sip:{DOMAIN}", PEER, ["Event: wonder"]) == 489
    assert phone.ask("WONDER", f"sip:{DOMAIN}", PEER) == 501
    phone.close()


def it_is_no_open_relay(_nodes):
    phone, victim = Phone("relay", 1), Phone("victim", 2)
    assert phone.ask("MESSAGE", victim.contact, PEER) == 404
    assert phone.ask("BYE", victim.contact, PEER, to_field="<sip:v@x>;tag=7") == 481
    assert phone.ask("MESSAGE", f"sip:x@{DOMAIN}", PEER, [f"Route: <sip:{victim.ip}:{victim.port};lr>"]) == 403
    own = f"<sip:{PEER}:5060;lr>"
    assert phone.ask("BYE", victim.contact, PEER, [f"Route: {own}"], to_field="<sip:v@x>;tag=7") == 481
    forged = f"<sip:{'a' * 40}@{PEER}:5060;lr>, <sip:{victim.ip}:{victim.port};lr>"
    assert phone.ask("BYE", victim.contact, PEER, [f"Route: {forged}"], to_field="<sip:v@x>;tag=7") == 403
    victim.quiet()
    phone.close()
    victim.close()


def loops_end(_nodes):
    phone = Phone("looper", 1)
    phone.register(PEER, [f"<{phone.aor}>"])
    phone.invite(phone.aor, GATEWAY)
    assert phone.final().status in (482, 483)
    phone.register(PEER, [f"<sip:looper2@{DOMAIN}>"], call_id=token())
    phone.register(PEER, [f"<{phone.aor}>"], to_field=f"<sip:looper2@{DOMAIN}>", call_id=token())
    phone.invite(phone.aor, GATEWAY)
    assert phone.final().status in (482, 483)
    phone.close()


# ---- the proxy ---------------------------------------------------------------------------------------


def a_call_between_two_peers(_nodes):
    caller, callee = Phone("anna", 1), Phone("bert", 2)
    callee.register(GATEWAY)
    caller.invite(callee.aor, PEER, ["Overlay-ID: <sip:overlay@evil>", "Node-ID: <sip:evil@evil>", "X-Kept: yes"])
    assert caller.receive().status == 100
    invite = callee.incoming("INVITE")
    assert invite.uri == callee.contact and invite.body == SDP and invite.one("X-Kept") == "yes"
    assert not invite.one("Overlay-ID") and not invite.one("Node-ID"), "a phone may not set them"
    assert invite.one("Max-Forwards") == "68" and not invite.all("Record-Route") and not invite.all("Route")
    callee.answer(invite, 180)
    assert caller.receive().status == 180
    callee.answer(invite, 200, [f"Contact: <{callee.contact}>"], SDP)
    reply = caller.final()
    assert reply.status == 200 and len(reply.all("Via")) == 1
    dialog = {"to_field": reply.one("To"), "call_id": invite.one("Call-ID")}
    callee.answer(invite, 200, [f"Contact: <{callee.contact}>"], SDP)
    assert caller.final().status == 200, "a repeated 200 passes"
    caller.request("ACK", callee.contact, PEER, cseq=caller.cseq, **dialog)
    callee.incoming("ACK")
    caller.request("BYE", callee.contact, PEER, **dialog)
    bye = callee.incoming("BYE")
    callee.answer(bye, 200)
    assert caller.final().status == 200
    caller.close()
    callee.close()


def a_fork_takes_the_first_yes(_nodes):
    caller, one, two = Phone("carl", 1), Phone("fork", 2), Phone("fork", 3)
    one.register(PEER)
    two.register(GATEWAY)
    caller.invite(one.aor, PEER)
    first, second = one.incoming("INVITE"), two.incoming("INVITE")
    one.answer(first, 180)
    two.answer(second, 200, [f"Contact: <{two.contact}>"], SDP)
    assert caller.final().status == 200
    cancel = one.incoming("CANCEL")
    assert cancel.one("Via") == first.one("Via"), "CANCEL has the branch of its INVITE"
    one.answer(cancel, 200)
    one.answer(first, 487)
    one.incoming("ACK")
    caller.quiet(0.2)
    for phone in (caller, one, two):
        phone.close()


def the_best_answer_wins(_nodes):
    caller, one, two = Phone("carl", 1), Phone("best", 2), Phone("best", 3)
    one.register(PEER)
    two.register(GATEWAY)
    for answers, expected in (((486, 404), (404, 486)), ((500, 486), (486,)), ((180, 603), (603,)), ((503, 503), (500,))):
        caller.invite(one.aor, PEER)
        first, second = one.incoming("INVITE"), two.incoming("INVITE")
        one.answer(first, answers[0])
        time.sleep(0.05)
        two.answer(second, answers[1])
        if answers[0] == 180:
            one.answer(one.incoming("CANCEL"), 200)
            one.answer(first, 487)
        status = caller.final().status
        assert status in expected, f"{answers}: {status}"
    for phone in (caller, one, two):
        phone.close()


def cancel_reaches_the_callee(_nodes):
    caller, callee = Phone("cora", 1), Phone("dora", 2)
    callee.register(GATEWAY)
    branch, call_id = token("z9hG4bK"), token("c")
    caller.invite(callee.aor, PEER, branch=branch, call_id=call_id)
    invite = callee.incoming("INVITE")
    callee.answer(invite, 180)
    while caller.receive().status != 180:
        pass
    caller.request("CANCEL", callee.aor, PEER, branch=branch, call_id=call_id, cseq=caller.cseq)
    cancel = callee.incoming("CANCEL")
    callee.answer(cancel, 200)
    callee.answer(invite, 487)
    callee.incoming("ACK")
    answers = {(m.status, m.one("CSeq").split()[1]) for m in (caller.final(), caller.final())}
    assert answers == {(200, "CANCEL"), (487, "INVITE")}, answers
    caller.close()
    callee.close()


def a_phone_behind_a_connection(_nodes):
    caller, callee = Phone("emil", 1), Phone("fritz", 2, stream_to=GATEWAY)
    callee.register(GATEWAY)
    caller.invite(callee.aor, PEER)
    invite = callee.incoming("INVITE")
    routes = invite.all("Record-Route")
    assert len(routes) == 4, "both serving peers record themselves, on both sides"
    callee.answer(invite, 200, [f"Contact: <{callee.contact}>"], SDP)
    reply = caller.final()
    dialog = {"to_field": reply.one("To"), "call_id": invite.one("Call-ID")}
    back = [f"Route: {route}" for route in reversed(reply.all("Record-Route"))]
    caller.request("ACK", callee.contact, PEER, back, cseq=caller.cseq, **dialog)
    callee.incoming("ACK")
    callee.request("BYE", caller.contact, GATEWAY, [f"Route: {route}" for route in routes], cseq=7,
                   frm=reply.one("To"), to_field=invite.one("From"), call_id=invite.one("Call-ID"))
    bye = caller.incoming("BYE")
    assert not bye.all("Route"), bye.all("Route")
    caller.answer(bye, 200)
    assert callee.final().status == 200
    callee.close()
    time.sleep(2.3)
    caller.invite(callee.aor, PEER)
    assert caller.final().status == 480, "the connection is gone, and the phone with it"
    caller.close()


def nobody_answers(nodes):
    caller, callee = Phone("gerd", 1), Phone("hans", 2)
    callee.register(GATEWAY)
    caller.invite(callee.aor, GATEWAY)
    invite = callee.incoming("INVITE")
    callee.answer(invite, 180)
    while caller.receive().status != 180:
        pass
    nodes.tell("advance 186000")
    assert caller.final().status == 408
    callee.answer(callee.incoming("CANCEL"), 200)
    callee.answer(invite, 487)
    callee.incoming("ACK")
    caller.close()
    callee.close()


# ---- gateways, limits --------------------------------------------------------------------------------


def a_foreign_call_goes_through_the_gateway(_nodes):
    caller, callee = Phone("ida", 1), Phone("jan", 2, domain=FAR_DOMAIN)
    callee.register(FAR)
    caller.invite(callee.aor, PEER)
    invite = callee.incoming("INVITE")
    assert len(invite.all("Via")) == 1, "a B2BUA hides the way"
    assert f"<sip:ida@{DOMAIN}>" in invite.one("From")
    callee.answer(invite, 486)
    assert caller.final().status == 486
    assert caller.ask("MESSAGE", "sip:x@site.nowhere", PEER) in (404, 500)
    caller.close()
    callee.close()


def a_request_finds_the_new_gateway(nodes):
    caller, callee = Phone("kai", 1), Phone("lea", 2, domain=FAR_DOMAIN)
    callee.register(FAR)
    nodes.tell(f"gateway {PEER}")
    caller.invite(callee.aor, GATEWAY)
    callee.answer(callee.incoming("INVITE"), 486)
    assert caller.final().status == 486
    nodes.tell(f"gateway {GATEWAY}")
    caller.close()
    callee.close()


def a_gateway_that_hands_over_answers_what_it_has(nodes):
    """The news of another gateway come between a request and its answer."""
    caller, callee = Phone("uwe", 1), Phone("vera", 2, domain=FAR_DOMAIN)
    callee.register(FAR)
    caller.invite(callee.aor, PEER)
    invite = callee.incoming("INVITE")
    callee.answer(invite, 200, [f"Contact: <{callee.contact}>"], SDP)
    reply = caller.final()
    dialog = {"to_field": reply.one("To"), "call_id": reply.one("Call-ID")}
    route = [f"Route: {route}" for route in reversed(reply.all("Record-Route"))]
    target = re.search(r"<([^>]*)>", reply.one("Contact")).group(1)
    caller.request("ACK", target, PEER, route, cseq=caller.cseq, **dialog)
    callee.incoming("ACK")
    caller.request("BYE", target, PEER, route, **dialog)
    bye = callee.incoming("BYE")
    nodes.tell(f"gateway {PEER}")
    callee.answer(bye, 200)
    assert caller.final().status == 200
    callee.quiet()
    nodes.tell(f"gateway {GATEWAY}")
    caller.close()
    callee.close()


def a_gateway_nobody_told_of_may_call(nodes):
    """The first that a node sees of its new gateway is a call."""
    caller, callee = Phone("lou", 1, domain=FAR_DOMAIN), Phone("max", 2)
    caller.register(FAR)
    callee.register(GATEWAY)
    nodes.tell(f"quietly {PEER}")
    caller.invite(callee.aor, FAR)
    callee.answer(callee.incoming("INVITE"), 486)
    assert caller.final().status == 486
    nodes.tell(f"gateway {GATEWAY}")
    caller.close()
    callee.close()


def two_gateways_for_a_moment(nodes):
    """One that has not heard of its successor is served; one that nobody knows hears who is, not 403."""
    caller, callee = Phone("ute", 1, domain=FAR_DOMAIN), Phone("vera", 2, stream_to=PEER)  # by that peer alone
    caller.register(FAR)
    callee.register(PEER)

    def answered():
        caller.invite(callee.aor, FAR)
        callee.answer(callee.incoming("INVITE"), 486)
        assert caller.final().status == 486

    answered()  # the far gateway knows the way for a moment
    nodes.tell(f"deaf {GATEWAY}")
    nodes.tell(f"gateway {PEER}")
    answered()
    nodes.tell(f"hears {GATEWAY}")
    nodes.tell("advance 12000")
    nodes.tell(f"gateway {PEER}")
    nodes.tell(f"deaf {PEER}")
    nodes.tell(f"quietly {GATEWAY}")
    caller.invite(callee.aor, FAR)
    reply = caller.final(timeout=8)
    assert reply.status == 500 and reply.one("Retry-After"), reply.start
    nodes.tell(f"hears {PEER}")
    nodes.tell(f"gateway {GATEWAY}")
    answered()
    caller.close()
    callee.close()


def silent_connections_are_closed(nodes):
    silent, talking = Phone("mia", 1, stream_to=PEER), Phone("nils", 2, stream_to=PEER)
    assert talking.ask("OPTIONS", f"sip:{DOMAIN}", PEER) == 200
    nodes.tell("advance 11000")
    silent.socket.settimeout(4)
    assert silent.socket.recv(1) == b"", "the node hangs up"
    assert talking.ask("OPTIONS", f"sip:{DOMAIN}", PEER) == 200
    silent.close()
    talking.close()


def many_connections_come_and_go(_nodes):
    for _ in range(200):
        phone = Phone("oto", 1, stream_to=PEER)
        phone.send("OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP", PEER)
        phone.close()
    phone = Phone("oto", 1, stream_to=PEER)
    assert phone.ask("OPTIONS", f"sip:{DOMAIN}", PEER) == 200
    phone.close()


def a_node_that_is_gone(nodes):
    """The last check: its node stays down."""
    caller, callee, early = Phone("paul", 1), Phone("quin", 2, stream_to=GATEWAY), Phone("rosa", 3)
    callee.register(GATEWAY)
    early.register(PEER)
    caller.invite(early.aor, PEER)
    invite = early.incoming("INVITE")
    nodes.tell(f"drop {GATEWAY}")
    early.answer(invite, 486)
    assert caller.final().status == 486
    begin = time.monotonic()
    caller.invite(callee.aor, PEER)
    reply = caller.final()
    assert reply.status == 500 and reply.one("Retry-After"), reply.start
    assert time.monotonic() - begin < 2.5, "a serving peer that is gone holds a call for two seconds at most"
    caller.invite(f"sip:x@{FAR_DOMAIN}", PEER)
    reply = caller.final(timeout=6)
    assert reply.status == 500 and reply.one("Retry-After"), reply.start
    far = Phone("sven", 4, domain=FAR_DOMAIN)
    far.register(FAR)
    caller.invite(far.aor, PEER)
    far.quiet()
    nodes.tell(f"gateway {PEER}")  # the call has waited for it
    far.answer(far.incoming("INVITE"), 486)
    assert caller.final().status == 486
    caller.invite(far.aor, PEER)
    far.answer(far.incoming("INVITE"), 486)
    assert caller.final().status == 486, "this node is the gateway now"
    for phone in (caller, callee, early, far):
        phone.close()


CHECKS = (contacts_are_kept_and_listed, rules_of_register_hold, a_binding_expires, requests_are_checked,
          it_is_no_open_relay, loops_end, a_call_between_two_peers, a_fork_takes_the_first_yes, the_best_answer_wins,
          cancel_reaches_the_callee, a_phone_behind_a_connection, nobody_answers,
          a_foreign_call_goes_through_the_gateway, a_request_finds_the_new_gateway,
          a_gateway_that_hands_over_answers_what_it_has, a_gateway_nobody_told_of_may_call,
          two_gateways_for_a_moment, silent_connections_are_closed,
          many_connections_come_and_go, a_node_that_is_gone)


def main():
    wanted = sys.argv[1:]
    tests = Tests()
    nodes = Nodes()
    for check in CHECKS:
        if not wanted or check.__name__ in wanted:
            tests.run(check.__name__.replace("_", " "), check, nodes)
    tests.run("all ends cleanly", lambda: nodes.end())
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
