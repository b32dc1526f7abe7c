#!/usr/bin/env python3
"""Call flows as RFCs print them, inside an overlay and between two, by UDP and TCP.

What the flows of RFC 3665, 5359 and 5589 do at their edges: a call that is cancelled at once, two
challenges of two phones, a dialog named by a request outside of it.  After each no call is left.
"""
import socket
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent, end_call, establish, uri_of

ISLANDS = [("flow", "127.93.5", 2), ("wolf", "127.93.6", 2)]
PHONES = "127.93.9"
CALLS = 24
MERGED = [("www-authenticate", "first"), ("proxy-authenticate", "second")]


class Places:
    """Phones at a node, and where the other end of their calls is."""

    def __init__(self, lab, name, transport):
        flow, wolf = lab.islands
        gateway = flow.gateway()
        here = flow.others()[0]
        self.lab, self.transport, self.count = lab, transport, 0
        self.here = here
        self.there = {"at one node": here, "at two nodes": gateway, "to another overlay": wolf.others()[0]}[name]
        self.open = []

    def phone(self, user, node):
        Places.address = getattr(Places, "address", 0) + 1
        phone = Agent(f"{PHONES}.{Places.address}", user, node.island.domain, node.sip, self.transport)
        phone.register()
        self.open.append(phone)
        return phone

    def close(self):
        for phone in self.open:
            phone.waiting.clear()
            phone.register(0)
            phone.close()
        for node in self.lab.nodes():
            wait_for(f"{node.name} has no call", lambda n=node: n.ctl("calls") == [], 8)


def final(phone, method="INVITE"):
    return phone.expect(f"final response to {method}", lambda m: m.is_response and m.method == method and m.status >= 200)


def failed(caller, uri, sent, status):
    response = final(caller)
    caller.ack_failure(uri, sent, response)
    if response.status != status:
        raise LabError(f"expected {status}, got {response.start}")
    return response


def ring_and_be_cancelled(phone):
    """What it is asked: it rings, hears CANCEL, and says so."""
    phone.poll(0)
    for message in [m for m in phone.waiting if not m.is_response and m.method == "INVITE"]:
        phone.waiting.remove(message)
        phone.answer(message, 180, "Ringing", "h")
        phone.answer(phone.expect_request("CANCEL"), 200, "OK")
        phone.answer(message, 487, "Request Terminated", "h")


def cancelled_at_once(places):
    """CANCEL in the same moment as its INVITE: the connections of phone, peers and gateways stay."""
    a, b = places.phone("hasty", places.here), places.phone("patient", places.there)
    dialog, _, _ = establish(a, b)  # all connections are there
    end_call(a, dialog, b)
    a.waiting.clear()
    for number in range(CALLS):
        if b.transport == "tcp":  # its kernel takes its time to acknowledge, as behind a slow link
            b.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        sent = a.request("INVITE", b.uri, body=a.sdp())
        if number % 2:
            a.expect_status(100)
        a.cancel(b.uri, sent)
        end = time.monotonic() + 8
        while not any(m.is_response and m.method == "INVITE" and m.status >= 200 for m in a.waiting):
            if time.monotonic() > end:
                raise LabError(f"no final response, {[m.start for m in a.waiting]}")
            a.poll(0.05)
            ring_and_be_cancelled(b)
        a.ack_failure(b.uri, sent, final(a))
    a.expect("200 to CANCEL", lambda m: m.method == "CANCEL" and m.status == 200)
    a.waiting.clear()
    b.waiting.clear()
    dialog, _, _ = establish(a, b, extra=[("Subject", "after them")])  # the last of them may reach b only now
    end_call(a, dialog, b)
    for node in places.lab.nodes():
        if "reset: nothing comes back" in node.log():
            raise LabError(f"{node.name} reset a connection that nothing was wrong with")


def two_challenges(places):
    """Two phones of one AOR want credentials: the caller hears both challenges."""
    a = places.phone("asked", places.here)
    for nodes in ((places.there, places.there), (places.there, places.there.island.nodes[0]),
                  (places.there, places.there.island.nodes[1])):
        phones = [places.phone("twice", node) for node in nodes]
        sent = a.request("INVITE", phones[0].uri, body=a.sdp())
        for phone, status, field, realm in zip(phones, (401, 407), ("WWW-Authenticate", "Proxy-Authenticate"),
                                               ("first", "second")):
            invite = phone.expect_request("INVITE")
            phone.answer(invite, status, "Who?", realm, extra=[(field, f'Digest realm="{realm}", nonce="1"')])
            phone.expect_request("ACK")
        response = final(a)
        a.ack_failure(phones[0].uri, sent, response)
        for field, realm in MERGED:
            if response.status not in (401, 407) or [realm in v for v in response.all(field)] != [True]:
                raise LabError(f"{response.start}: {field}: {response.all(field)}")
        for phone in phones:
            phone.register(0)


def tag_of(value):
    return value.split(";tag=")[1].split(";")[0]


def transferred_outside(places):
    """RFC 5589 section 6.1: REFER to the Contact, outside of the call that Target-Dialog names."""
    a, b = places.phone("transferee", places.here), places.phone("transferor", places.there)
    one, other, _ = establish(a, b)
    names = f"{other.call_id};local-tag={tag_of(other.remote)};remote-tag={tag_of(other.local)}"
    b.request("REFER", other.target, extra=[("Refer-To", f"<{b.uri}>"), ("Target-Dialog", names)])
    request = a.expect_request("REFER")
    if not request.get("target-dialog").startswith(one.call_id):
        raise LabError(f"Target-Dialog: {request.get('target-dialog')}")
    a.answer(request, 202, "Accepted", "r")
    accepted = final(b, "REFER")
    a.in_dialog(a.dialog_of_request(request, "r"), "NOTIFY", body="SIP/2.0 200 OK\r\n", content_type="message/sipfrag",
                extra=[("Event", "refer"), ("Subscription-State", "terminated;reason=noresource")])
    notify = b.expect_request("NOTIFY")
    if accepted.status != 202 or tag_of(notify.get("from")) != tag_of(accepted.get("to")):
        raise LabError(f"{accepted.start}, NOTIFY of {notify.get('from')}")
    b.answer(notify, 200, "OK")
    a.expect_status(200, "NOTIFY")
    for wrong in (names.replace("local-tag=", "local-tag=x"), names.replace("remote-tag=", "remote-tag=x"), "x" + names):
        b.request("REFER", "sip:x@" + a.host + f":{a.port}", extra=[("Refer-To", f"<{b.uri}>"), ("Target-Dialog", wrong)])
        refused = final(b, "REFER")
        if refused.status != 404:
            raise LabError(f"a dialog that is none: {refused.start}")
    end_call(a, one, b)


def picked_up(places):
    """RFC 5359 section 2.16: a third phone takes the call that rings, and either end hangs up."""
    a, b, c = (places.phone("caller", places.here), places.phone("rings", places.there),
               places.phone("picker", places.there))
    for is_by_caller in (True, False):
        sent = a.request("INVITE", b.uri, body=a.sdp())
        invite = b.expect_request("INVITE")
        b.answer(invite, 180, "Ringing", "p")
        a.expect_status(180)
        names = f"{invite.get('call-id')};to-tag={invite.tag('from')};from-tag=p;early-only"
        taken = c.request("INVITE", uri_of(invite.get("contact")), body=c.sdp(),
                          extra=[("Replaces", names), ("Require", "replaces")])
        second = a.expect_request("INVITE")
        if not second.get("replaces").startswith(sent["Call-ID"]) or "early-only" not in second.get("replaces"):
            raise LabError(f"Replaces: {second.get('replaces')}")
        a.answer(second, 200, "OK", "q", body=a.sdp(2))
        dialog = c.dialog_of_response(taken, c.expect_status(200))
        c.in_dialog(dialog, "ACK")
        a.expect_request("ACK")
        a.cancel(b.uri, sent)
        b.answer(b.expect_request("CANCEL"), 200, "OK")
        b.answer(invite, 487, "Request Terminated", "p")
        failed(a, b.uri, sent, 487)
        if is_by_caller:
            end_call(a, a.dialog_of_request(second, "q"), c)
        else:
            end_call(c, dialog, a)


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        for transport in ("udp", "tcp"):
            for name in ("at one node", "at two nodes", "to another overlay"):
                for flow in (cancelled_at_once, two_challenges, transferred_outside, picked_up):
                    places = Places(lab, name, transport)
                    tests.run(f"{flow.__name__} {name}, {transport}", flow, places)
                    tests.run("and nothing is left", places.close)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
