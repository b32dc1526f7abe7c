#!/usr/bin/env python3
"""Old phones and routers that route strictly (RFC 3261 sections 16.4, 16.6 item 6, 16.12.1.2); SIP nodes without an overlay."""
import re
import sys

from common import Tests
from test_connection_lost import contact
from test_ringing import nothing_but, until
from test_sip import FAR, FAR_DOMAIN, GATEWAY, PEER, SDP, Nodes, Phone, token

# where the callee registers, its domain, does it have a connection of its own
WAYS = {"one node": (PEER, None, True), "one overlay": (GATEWAY, None, True), "two overlays": (FAR, FAR_DOMAIN, False),
        "two overlays, by connection": (FAR, FAR_DOMAIN, True)}


def uris(values):
    return [part.strip() for value in values for part in value.split(",")]


def bare(value):
    return re.search("<(.*?)>", value).group(1)


def in_dialog(phone, at, method, cseq, names, routes, target, *, strict, fields=(), body="", branch=None):
    """names: (From, To, Call-ID).  A strict router's request goes to its first route, the target stands last."""
    uri, rest = target, routes
    if strict and routes:
        uri, rest = bare(routes[0]), routes[1:] + [f"<{target}>"]
    phone.request(method, uri, at, [f"Route: {route}" for route in rest] + contact(phone) + list(fields), body, frm=names[0],
                  to_field=names[1], call_id=names[2], cseq=cseq, branch=branch)


class Call:
    """One call that is up, and what each end knows of the way to the other."""

    def __init__(self, number, at, domain, has_connection, behind_strict=False):
        self.caller = Phone(f"alice{number}", 10 + number)
        given = {"domain": domain} if domain else {}
        self.callee = Phone(f"bob{number}", 60 + number, stream_to=at if has_connection else None, **given)
        self.at = at
        self.callee.register(at, expires=3600)
        self.router = f"<sip:strict@{self.callee.ip}:{self.callee.port}{';transport=tcp' if has_connection else ''}>"
        self.caller.invite(self.callee.aor, PEER)
        invite = self.callee.incoming("INVITE")
        if behind_strict:
            invite.fields.insert(0, ("Record-Route", self.router))
        self.callee.answer(invite, 200, contact(self.callee), SDP)
        answer = until(self.caller, "SIP/2.0 200")
        self.cseq = self.caller.cseq
        self.from_caller = ((answer.one("From"), answer.one("To"), answer.one("Call-ID")),
                            uris(answer.all("Record-Route"))[::-1], bare(answer.one("Contact")))
        self.from_callee = ((invite.one("To") + ";tag=t1", invite.one("From"), invite.one("Call-ID")),
                            uris(invite.all("Record-Route")), bare(invite.one("Contact")))

    def caller_says(self, method, strict=True, cseq=None, **given):
        in_dialog(self.caller, PEER, method, cseq or self.cseq, *self.from_caller, strict=strict, **given)

    def callee_says(self, method, cseq, strict=True, **given):
        in_dialog(self.callee, self.at, method, cseq, *self.from_callee, strict=strict, **given)

    def close(self):
        nothing_but(self.callee, within=0.1)
        self.caller.close()
        self.callee.close()


def both_ends(_nodes, number, way):
    """ACK, INFO, a refused re-INVITE and BYE of strict ends."""
    call = Call(number, *way)
    call.caller_says("ACK")
    until(call.callee, "ACK")
    call.callee_says("INFO", 5)
    request = until(call.caller, "INFO")
    assert request.uri == call.caller.contact, f"INFO to {request.uri}"
    call.caller.answer(request, 200)
    until(call.callee, "SIP/2.0 200")
    branch = token("z9hG4bK")
    call.caller_says("INVITE", cseq=call.cseq + 1, body=SDP, fields=["Content-Type: application/sdp"], branch=branch)
    request = until(call.callee, "INVITE")
    assert request.uri == call.callee.contact, f"INVITE to {request.uri}"
    assert not request.all("Route"), request.all("Route")
    call.callee.answer(request, 488)
    refusal = until(call.caller, "SIP/2.0 488")
    call.caller_says("ACK", cseq=call.cseq + 1, branch=branch)
    assert refusal.one("Via").count(branch)
    until(call.callee, "ACK")
    nothing_but(call.caller, within=0.8)  # 488 is not repeated: its ACK was known
    call.callee_says("BYE", 6)
    request = until(call.caller, "BYE")
    call.caller.answer(request, 200)
    until(call.callee, "SIP/2.0 200")
    call.close()


def caller_ends(_nodes, number, way):
    call = Call(number, *way)
    call.caller_says("ACK")
    until(call.callee, "ACK")
    call.caller_says("BYE", cseq=call.cseq + 1)
    request = until(call.callee, "BYE")
    assert request.uri == call.callee.contact
    call.callee.answer(request, 200)
    assert until(call.caller, "SIP/2.0 200").one("CSeq").endswith("BYE")
    call.close()


def router_without_lr(_nodes, number, way):
    """A router behind the callee's node that has recorded itself without lr: it is named in the Request-URI."""
    call = Call(number, *way, behind_strict=True)
    for method in ("ACK", "BYE"):
        call.caller_says(method, strict=False, cseq=call.cseq + (method == "BYE"))
        request = until(call.callee, method)
        assert request.uri == bare(call.router), f"{method} to {request.uri}"
        assert bare(uris(request.all("Route"))[-1]) == call.callee.contact, request.all("Route")
    call.callee.answer(request, 200)
    until(call.caller, "SIP/2.0 200")
    call.close()


def made_up(_nodes):
    """A Request-URI that looks like a Record-Route of the node's opens no way."""
    phone = Phone("mallory", 59)
    for route in ("<sip:somebody@127.30.109.200:5070>", "<sip:127.30.101.1:5062;transport=tls;lr>", "<tel:5>", "<sip:x@[::1]>"):
        phone.request("INFO", f"sip:{'a' * 40}@{PEER}:5060;transport=udp;lr", PEER, [f"Route: {route}"])
        status = phone.final().status
        assert 400 <= status < 500, f"{route}: {status}"
        phone.request("INFO", f"sip:{'a' * 40}@{PEER}:5060;transport=udp;lr", PEER, [f"Route: {route}"],
                      to_field="<sip:x@y>;tag=1")
        status = phone.final().status
        assert 400 <= status < 500, f"{route}: {status}"
    phone.close()


def main():
    tests = Tests()
    nodes = Nodes()
    number = 0
    for name, way in WAYS.items():
        for check in (both_ends, caller_ends, router_without_lr):
            number += 1
            tests.run(f"{check.__name__.replace('_', ' ')}, {name}", check, nodes, number, way)
    tests.run("made up", made_up, nodes)
    tests.run("all ends cleanly", nodes.end)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
