#!/usr/bin/env python3
"""Users' names as data, and whose word is taken for them: odd names call and are called, control
characters go nowhere, no header field that only gateways may set comes from a phone, who hides his
name is known to the gateways and to no phone.
"""
import itertools
import sys

from common import Tests, lab_of
from lab import GATEWAY_PORT, LabError, wait_for
from agent import Agent, end_call, establish
from test_trust_sip import Spies, TlsAgent, expect, SPY

ISLANDS = [("east", "127.83.5", 2), ("west", "127.83.6", 2)]
PHONES = "127.83.7"
ODD = (("+49;ext=5", "%2B49%3Bext%3d5"), ("joe%20b", "j%6Fe%20%62"), ("joe%3Bx", "joe;x"),
       ("%C3%BCmit%40home", "%c3%bcmit%40h%6fme"), ("Case!~*'()&=$,?/", "Case!~*'()%26%3D$%2C%3F%2f"))
PRIVATE = (("Overlay-ID", "<sip:overlay@west>"), ("Node-ID", "<sip:carol@site.west>"), ("Gateway-Term", "7"),
           ("gateway-TERM", "9"), ("Phone-Via", "SIP/2.0/UDP 127.83.9.9:5060;branch=z9hG4bK1"),
           ("P-Asserted-Identity", "<sip:boss@site.west>"),
           ("P-Asserted-Identity", "<sip:alice@site.east>, <tel:+1>"),
           ("P-Preferred-Identity", "<sip:alice@site.east>"), ("Remote-Party-ID", "<sip:boss@site.east>"))
PRIVATE_NAMES = {name.lower() for name, _ in PRIVATE}


HOSTS = itertools.count(1)


def phone(user, node, transport="udp", register=True):
    """A phone on a host of its own: each source has its share of requests a second."""
    agent = Agent(f"{PHONES}.{next(HOSTS)}", user, node.island.domain, node.sip, transport)
    if register:
        agent.register()
    return agent


def close(*phones):
    for agent in phones:
        agent.register(0)
        agent.close()


def has_no_private(message, what):
    told = [f"{name}: {value}" for name, value in message.headers if name in PRIVATE_NAMES]
    if told:
        raise LabError(f"{what} came with {told}")


def call(caller, callee, uri):
    """A call to a spelling of the callee, ended by either end."""
    kept, callee.uri = callee.uri, uri
    try:
        mine, theirs, invite = establish(caller, callee)
    finally:
        callee.uri = kept
    has_no_private(invite, "INVITE")
    return mine, theirs


# ---- names ---------------------------------------------------------------------------------------------


def odd_names(node, far, user, other):
    """The user calls another overlay, and is called from it by each spelling of his name."""
    joe, bob = phone(user, node), phone("bob", far)
    try:
        mine, _ = call(joe, bob, bob.uri)
        end_call(joe, mine, bob)
        for spelling in (user, other):
            mine, theirs = call(bob, joe, f"sip:{spelling}@{node.island.domain.upper()}:5060")
            end_call(joe, theirs, bob)
    finally:
        close(joe, bob)


def case_counts(node, far):
    """A user's case is kept: another case is another user."""
    alice, bob = phone("Alice", node), phone("bob", far)
    try:
        expect(bob, (404,), "INVITE", f"sip:alice@{node.island.domain}")
        mine, _ = call(bob, alice, alice.uri)
        end_call(bob, mine, alice)
    finally:
        close(alice, bob)


CONTROLS = ("a%0D%0AX-Evil:%20yes", "a%3E%0D%0A%0D%0ABYE%20sip%3Ax%40B%20SIP/2.0%0D%0Al%3A60000%0D%0A%0D%0A",
            "a%00", "%1b%5b31m", "a%7Fb", "a%0a")

UNESCAPED = "a%3E%0D%0A%0D%0ABYE%20sip:x@B%20SIP/2.0%0D%0Al:60000%0D%0A%0D%0A"


def control_characters(node, far, transport):
    """Wherever a user is named: 400, and nothing is said to the far gateway."""
    alice, bob = phone("alice", node, transport), phone("bob", far)
    domain = node.island.domain
    try:
        for user in CONTROLS:
            evil = f"sip:{user}@{domain}"
            for method in ("INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS"):
                expect(alice, (400,), method, bob.uri, from_uri=evil)
                expect(alice, (400,), method, f"sip:{user}@{far.island.domain}")
            expect(alice, (400,), "REFER", bob.uri, extra=[("Refer-To", f"<sip:{user}@{far.island.domain}>")])
            expect(alice, (400,), "MESSAGE", bob.uri, extra=[("Referred-By", f"<{evil}>")])
            kept, alice.uri = alice.uri, evil
            try:
                alice.register(expect=400)
            finally:
                alice.uri = kept
        for method in ("INVITE", "MESSAGE"):  # colons and another '@' that are not escaped
            expect(alice, (400,), method, bob.uri, from_uri=f"sip:{UNESCAPED}@{domain}")
        mine, _ = call(alice, bob, bob.uri)
        end_call(alice, mine, bob)
    finally:
        close(alice, bob)
    if node.ctl("registrations"):
        raise LabError(f"registered all the same: {node.ctl('registrations')}")


def reserved(node, far):
    """overlay@NAME is nobody's, however it is spelt."""
    alice = phone("alice", node)
    name, domain = node.island.name, alice.domain
    try:
        for user in ("overlay", "%6Fverlay", "%6f%76%65%72lay"):
            for host in (name, name.upper(), name + "."):
                uri = f"sip:{user}@{host}"
                expect(alice, (403,), "INVITE", f"sip:bob@{far.island.domain}", from_uri=uri)
                expect(alice, (404,), "INVITE", uri)
                kept, alice.uri, alice.domain = alice.uri, uri, name
                try:
                    alice.register(expect=403)
                finally:
                    alice.uri, alice.domain = kept, domain
            expect(alice, (404,), "MESSAGE", f"sip:{user}@{far.island.name}")
    finally:
        close(alice)


# ---- header fields -------------------------------------------------------------------------------------


def private_headers(caller_node, callee_node, transport):
    """In requests and responses, outside and inside the dialog, from both ends."""
    alice, bob = phone("alice", caller_node, transport), phone("bob", callee_node)
    try:
        sent = alice.request("INVITE", bob.uri, body=alice.sdp(1), extra=PRIVATE)
        invite = bob.expect_request("INVITE")
        has_no_private(invite, "INVITE")
        bob.answer(invite, 180, "Ringing", "b1", extra=PRIVATE)
        has_no_private(alice.expect_status(180), "180")
        bob.answer(invite, 200, "OK", "b1", body=bob.sdp(2), extra=PRIVATE)
        answer = alice.expect_status(200)
        has_no_private(answer, "200")
        mine, theirs = alice.dialog_of_response(sent, answer), bob.dialog_of_request(invite, "b1")
        alice.in_dialog(mine, "ACK", extra=PRIVATE)
        has_no_private(bob.expect_request("ACK"), "ACK")
        for one, dialog, other in ((alice, mine, bob), (bob, theirs, alice)):
            for method in ("UPDATE", "INFO"):
                one.in_dialog(dialog, method, extra=PRIVATE)
                request = other.expect_request(method)
                has_no_private(request, method)
                other.answer(request, 200, "OK", extra=PRIVATE)
                has_no_private(one.expect_status(200, method), f"200 to {method}")
        end_call(alice, mine, bob)
        sent = alice.request("MESSAGE", bob.uri, body="hello", extra=PRIVATE, content_type="text/plain")
        request = bob.expect_request("MESSAGE")
        has_no_private(request, "MESSAGE")
        bob.answer(request, 486, "Busy", "b2", extra=PRIVATE)
        has_no_private(alice.expect_status(486, "MESSAGE"), "486")
    finally:
        close(alice, bob)


# ---- anonymous callers ---------------------------------------------------------------------------------

HIDDEN = "sip:anonymous@anonymous.invalid"


def anonymous_call(caller_node, callee_node, transport, extra):
    """The callee learns nothing; the call is refreshed and ended by either end."""
    alice, bob = phone("alice", caller_node, transport), phone("bob", callee_node)
    try:
        alice.uri, kept = HIDDEN, alice.uri
        for ender in ("caller", "callee"):
            mine, theirs, invite = establish(alice, bob, extra=extra)
            if "anonymous" not in invite.get("from") or kept in str(invite.headers).replace(alice.contact, ""):
                raise LabError(f"INVITE tells {invite.headers}")
            has_no_private(invite, "INVITE")
            if ender == "caller":
                end_call(alice, mine, bob)
            else:
                end_call(bob, theirs, alice)
        alice.request("MESSAGE", bob.uri, body="hello", content_type="text/plain")
        request = bob.expect_request("MESSAGE")
        has_no_private(request, "MESSAGE")
        bob.answer(request, 200, "OK", "b2")
        alice.expect_status(200, "MESSAGE")
    finally:
        alice.uri = kept
        close(alice, bob)


def anonymous_unknown(node, far, transport):
    """Nobody registered from there, or two users: 403."""
    alice = phone("alice", node, transport, register=False)
    second = Agent(alice.ip, "second", alice.domain, node.sip, "udp", 5099)
    bob = phone("bob", far)
    try:
        expect(alice, (403,), "INVITE", bob.uri, from_uri=HIDDEN)
        second.register()  # from the same host by another port: somebody else
        expect(alice, (403,), "INVITE", bob.uri, from_uri=HIDDEN)
        alice.register()
        alice.uri, alice.registration, kept = f"sip:other@{alice.domain}", "second@x", alice.uri
        alice.register()
        expect(alice, (403,), "INVITE", bob.uri, from_uri=HIDDEN)
        alice.register(0)
        alice.uri = kept
        sent = alice.request("INVITE", bob.uri, body=alice.sdp(), from_uri=HIDDEN)
        bob.answer(bob.expect_request("INVITE"), 486, "Busy", "b1")
        alice.ack_failure(bob.uri, sent, alice.expect_status(486))
        alice.registration = "third@x"
        alice.register(0, contact="*")
        expect(alice, (403,), "INVITE", bob.uri, from_uri=HIDDEN)
    finally:
        close(second, bob)
        alice.close()


def told_gateway(tests, far, spies):
    """What a far gateway may say of its callers, and what reaches the phone of it."""
    node = far.gateway()
    bob = phone("bob", far.others()[0])
    agent = TlsAgent(SPY, "x", "site.east", f"{node.ip}:{GATEWAY_PORT}", spies.gateway)

    def arrives(node_id, from_uri, extra, wanted):
        agent.request("MESSAGE", bob.uri, body="x", from_uri=from_uri, content_type="text/plain",
                      extra=[("Overlay-ID", "<sip:overlay@east>"), ("Node-ID", f"<{node_id}>"), *extra])
        request = bob.expect_request("MESSAGE")
        told = [value for name, value in request.headers if name in PRIVATE_NAMES]
        bob.answer(request, 200, "OK", "b1")
        agent.expect_status(200, "MESSAGE")
        if told != wanted:
            raise LabError(f"came with {told}, not {wanted}")

    def refused(node_id, from_uri):
        extra = [("Overlay-ID", "<sip:overlay@east>")] + ([("Node-ID", f"<{node_id}>")] if node_id else [])
        expect(agent, (403,), "MESSAGE", bob.uri, from_uri=from_uri, extra=extra)

    plain, own = "sip:x@site.east", ("P-Asserted-Identity", "<sip:boss@site.east>")
    try:
        tests.run("far gateway: anonymous, Node-ID is its user's", arrives, plain, HIDDEN,
                  [("P-Asserted-Identity", f"<{plain}>"), ("Privacy", "id")], [])
        tests.run("far gateway: anonymous without Privacy", arrives, plain, HIDDEN, [own], [])
        tests.run("far gateway: an identity of its overlay", arrives, plain, plain, [own], [own[1]])
        tests.run("far gateway: the same with Privacy", arrives, plain, plain, [own, ("Privacy", "id")], [])
        for value in ("<sip:bob@site.west>", "<sip:x@example.org>", "<tel:+15551>", "sip:a@noteast", "???",
                      "<sip:boss@site.east>, <sip:bob@site.west>"):
            tests.run(f"far gateway: the identity {value}", arrives, plain, plain,
                      [("P-Asserted-Identity", value), ("Remote-Party-ID", value)], [])
        for node_id in (None, HIDDEN, "sip:bob@site.west", "sip:x@example.org", "sip:overlay@east", "sip:@east"):
            tests.run(f"far gateway: anonymous, Node-ID {node_id}", refused, node_id, HIDDEN)
    finally:
        agent.close()
        close(bob)


# ---- what no phone has the state of --------------------------------------------------------------------


def own_agents(node):
    """One's own mailbox and published state are an agent's, not another phone's of the same user."""
    alice, bob = phone("alice", node), phone("bob", node)
    try:
        for event in ("message-summary", "presence.winfo"):
            expect(alice, (489,), "SUBSCRIBE", alice.uri, extra=[("Event", event)])
        for event in ("presence", "dialog"):
            expect(alice, (489,), "PUBLISH", f"sip:%61lice@{node.island.domain}", extra=[("Event", event)])
        alice.expect_nothing("a request", lambda m: not m.is_response, 0.2)
        alice.request("SUBSCRIBE", bob.uri, extra=[("Event", "presence")])
        bob.answer(bob.expect_request("SUBSCRIBE"), 200, "OK", "b1", extra=[("Expires", "60")])
        alice.expect_status(200, "SUBSCRIBE")
    finally:
        close(alice, bob)


# ---- why an INVITE is cancelled (RFC 3326) -------------------------------------------------------------

WHY = [("Reason", 'SIP;cause=487;text="not, now"'), ("Reason", 'Q.850;cause=16;text="Normal, really", X;cause=1')]
ALL_OF_WHY = 'SIP;cause=487;text="not, now",Q.850;cause=16;text="Normal, really",X;cause=1'


def reason_of(cancel):
    return ",".join(cancel.all("reason")).replace(", Q", ",Q").replace(", X", ",X").replace(" ;", ";")


def cancelled(phone, invite, tag):
    """The phone takes its CANCEL; the Reason that stands in it."""
    cancel = phone.expect_request("CANCEL")
    phone.answer(cancel, 200, "OK", tag)
    phone.answer(invite, 487, "Request Terminated", tag)
    phone.expect_request("ACK")
    return reason_of(cancel)


def reason_is_kept(caller_node, callee_node, transport, is_early):
    """The caller's, whether or not the callee has answered anything when he cancels."""
    alice, bob = phone("alice", caller_node, transport), phone("bob", callee_node)
    try:
        sent = alice.request("INVITE", bob.uri, body=alice.sdp())
        invite = bob.expect_request("INVITE")
        if not is_early:
            bob.answer(invite, 180, "Ringing", "b1")
            alice.expect_status(180)
        alice.cancel(bob.uri, sent, WHY)
        alice.expect_status(200, "CANCEL")
        if is_early:
            bob.expect_nothing("CANCEL", lambda m: m.method == "CANCEL", 0.3)
            bob.answer(invite, 180, "Ringing", "b1")
        expect_equal("Reason", cancelled(bob, invite, "b1"), ALL_OF_WHY)
        alice.ack_failure(bob.uri, sent, alice.expect_status(487))
    finally:
        close(alice, bob)


def reason_of_a_fork(caller_node, callee_node, status, reason, is_early):
    """Two phones ring, one answers; the other hears why it stops."""
    alice, bob, other = phone("alice", caller_node), phone("bob", callee_node), phone("bob", callee_node)
    try:
        sent = alice.request("INVITE", bob.uri, body=alice.sdp())
        invite, lost = bob.expect_request("INVITE"), other.expect_request("INVITE")
        if not is_early:
            other.answer(lost, 180, "Ringing", "b2")
            alice.expect_status(180)
        bob.answer(invite, status, "X", "b1", body=bob.sdp() if status == 200 else "")
        if is_early:
            bob.expect_request("ACK") if status != 200 else alice.expect_status(200)
            other.answer(lost, 180, "Ringing", "b2")
        expect_equal("Reason", cancelled(other, lost, "b2"), reason)
        answer = alice.expect(str(status), lambda m: m.status == status) if not (is_early and status == 200) else None
        if status != 200:
            alice.ack_failure(bob.uri, sent, answer)
    finally:
        close(alice, bob, other)


def reason_of_a_reinvite(caller_node, callee_node, is_early):
    alice, bob = phone("alice", caller_node), phone("bob", callee_node)
    try:
        mine, _, _ = establish(alice, bob)
        sent = alice.in_dialog(mine, "INVITE", body=alice.sdp(3))
        invite = bob.expect_request("INVITE")
        if not is_early:
            bob.answer(invite, 180, "Ringing")
            alice.expect_status(180)
        alice.write("CANCEL", mine.target, [(k, sent[k]) for k in ("Via", "Max-Forwards", "From", "To", "Call-ID")] +
                    [("CSeq", f"{mine.sequence} CANCEL"), *(("Route", r) for r in mine.routes), *WHY])
        alice.expect_status(200, "CANCEL")
        if is_early:
            bob.answer(invite, 180, "Ringing")
        expect_equal("Reason", cancelled(bob, invite, "b1"), ALL_OF_WHY)
        alice.ack_failure(mine.target, sent, alice.expect_status(487))
        end_call(alice, mine, bob)
    finally:
        close(alice, bob)


def expect_equal(what, got, wanted):
    if got != wanted:
        raise LabError(f"{what} is {got!r}, not {wanted!r}")


def reasons(tests, near, other, far):
    places = (("this node", near), ("another node", other), ("another overlay", far))
    for where, callee in places:
        for is_early in (True, False):
            when = "before" if is_early else "after"
            tests.run(f"Reason of CANCEL {when} the 180, to {where}", reason_is_kept, near, callee,
                      "tcp" if callee is other else "udp", is_early)
        for status, reason in ((200, 'SIP;cause=200;text="Call completed elsewhere"'),
                               (603, 'SIP;cause=603;text="Decline"')):
            tests.run(f"Reason where another phone says {status}, to {where}", reason_of_a_fork, near, callee,
                      status, reason, callee is near)
    for is_early in (True, False):
        tests.run(f"Reason of a cancelled re-INVITE, {'before' if is_early else 'after'} its 180",
                  reason_of_a_reinvite, near, far, is_early)


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        east, west = lab.islands
        spies = Spies(lab)
        for node, other in ((east.nodes[0], west), (east.nodes[1], west), (west.nodes[0], east)):
            wait_for(f"{node.name} finds {other.name}",
                     lambda n=node, o=other: n.ctl("resolve", f"sip:overlay@{o.name}"), 20)
        near, far = east.others()[0], west.others()[0]
        for user, other in ODD:
            tests.run(f"the user {user}", odd_names, near, far, user, other)
        tests.run("a user's case", case_counts, near, far)
        for transport in ("udp", "tcp"):
            tests.run(f"control characters, {transport}", control_characters, near, far, transport)
        tests.run("overlay@NAME", reserved, near, far)
        for where, callee in (("another overlay", far), ("this node", near), ("the gateway", east.gateway())):
            tests.run(f"what only gateways say, to {where}", private_headers, near, callee,
                      "tcp" if callee is near else "udp")
            tests.run(f"an anonymous call to {where}", anonymous_call, near, callee,
                      "tcp" if callee is far else "udp", [("Privacy", "id")] if callee is far else [])
        tests.run("an anonymous call from the gateway's node", anonymous_call, east.gateway(), far, "udp", [])
        for transport in ("udp", "tcp"):
            tests.run(f"anonymous, unknown or ambiguous, {transport}", anonymous_unknown, near, far, transport)
        told_gateway(tests, west, spies)
        tests.run("mailbox and published state", own_agents, near)
        reasons(tests, near, east.gateway(), far)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
