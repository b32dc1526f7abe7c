#!/usr/bin/env python3
"""Whom SIP believes: phones, nodes of the same overlay and gateways of others, each within its own.

The one who lies speaks SIP by hand: as a phone, and over TLS with real certificates that do not allow
what is said.
"""
import os
import re
import select
import socket
import ssl
import sys

from common import Tests, lab_of
from lab import GATEWAY_PORT, PEER_PORT, LabError, wait_for
from agent import Agent, establish, end_call

ISLANDS = [("east", "127.80.5", 2), ("west", "127.80.6", 1)]
PHONES, SPY = "127.80.7", "127.80.8.1"
BOTH = ("udp", "tcp")


class TlsAgent(Agent):
    """An agent on a TLS connection that it makes; credentials: a folder, or None."""

    def __init__(self, ip, user, domain, proxy, credentials):
        super().__init__(ip, user, domain, proxy, "tcp")
        self.transport = "tls"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if credentials:
            context.load_cert_chain(os.path.join(credentials, "cert.pem"),
                                    os.path.join(credentials, "key.pem"))
        self.socket = context.wrap_socket(self.socket)
        self.contact = f"sip:{user}@{ip}:{self.port};transport=tls"

    def poll(self, timeout):
        if not self.socket.pending() and not select.select([self.socket], [], [], timeout)[0]:
            return False
        data = self.socket.recv(262144)
        if not data:
            raise LabError(f"{self.user}: the connection was closed")
        self.stream += data
        self._take_stream()
        return True


class Spies:
    """Certificates that do not belong to any running node."""

    def __init__(self, lab):
        self.lab = lab
        east = lab.islands[0]
        again = os.path.join(lab.dir, "ca-again")
        lab.ctl_offline("ca", "init", again, "--overlay", "east")
        self.node = self.issue("spy-node", east.authority, "spy.site@east")
        self.gateway = self.issue("spy-gateway", lab.authority, "overlay@east")
        self.foreign = self.issue("spy-foreign", again, "spy.site@east")

    def issue(self, name, authority, user):
        out = os.path.join(self.lab.dir, name)
        self.lab.ctl_offline("ca", "issue", authority, "--address", SPY, "--user", user, "--out", out)
        return out


def answer_of(agent, method, uri, **options):
    """The final status of one request; a failed INVITE is acknowledged."""
    sent = agent.request(method, uri, body=agent.sdp() if method == "INVITE" else "", **options)
    found = agent.expect("a final response",
                         lambda m: m.is_response and m.status >= 200 and m.method == method)
    if method == "INVITE":
        agent.ack_failure(uri, sent, found)
    return found


def expect(agent, wanted, method, uri, **options):
    found = answer_of(agent, method, uri, **options)
    if found.status not in wanted:
        raise LabError(f"{method} {uri}: expected {wanted}, got {found.start}")


# ---- phones --------------------------------------------------------------------------------------------


def forged_by_phone(node, transport):
    """Nobody calls as a user of another island, or of none; a ping may come from anywhere."""
    phone = Agent(f"{PHONES}.1", "mallory", node.island.domain, node.sip, transport)
    try:
        local = f"sip:bob@{node.island.domain}"
        for forged in ("sip:bob@site.west", "sip:alice@example.org", "sip:alice@east.example.org",
                       "sip:alice@noteast", "tel:+15551234"):
            for method in ("INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS"):
                expect(phone, (403,), method, local, from_uri=forged)
        expect(phone, (403,), "INVITE", "sip:bob@site.west", from_uri="sip:carol@site.west")
        expect(phone, (403,), "REGISTER", f"sip:{node.island.domain}", from_uri="sip:bob@site.west")
        expect(phone, (200,), "OPTIONS", f"sip:{node.sip}", from_uri="sip:anyone@example.org")
    finally:
        phone.close()


def foreign_registration(node, transport):
    """A phone registers users of this overlay only, and only where From may speak for it."""
    phone = Agent(f"{PHONES}.2", "mallory", node.island.domain, node.sip, transport)
    try:
        for domain in ("site.west", "example.org"):
            phone.domain = domain
            phone.uri = f"sip:mallory@{domain}"
            phone.register(expect=403)
    finally:
        phone.close()
    if node.ctl("registrations"):
        raise LabError(f"registered all the same: {node.ctl('registrations')}")


LIES = (("Overlay-ID", "<sip:overlay@west>"), ("Node-ID", "<sip:carol@site.west>"))


def headers_stripped(caller_node, callee_node, transport):
    """What only gateways may say is not passed on."""
    alice = Agent(f"{PHONES}.3", "alice", caller_node.island.domain, caller_node.sip, transport)
    bob = Agent(f"{PHONES}.4", "bob", callee_node.island.domain, callee_node.sip, transport)
    try:
        alice.register()
        bob.register()
        for method in ("INVITE", "MESSAGE"):
            sent = alice.request(method, bob.uri, body=alice.sdp(), extra=LIES)
            request = bob.expect_request(method)
            told = request.all("overlay-id") + request.all("node-id")
            if any("west" in value for value in told):
                raise LabError(f"{method} came with {told}")
            bob.answer(request, 603, "Decline", "b1")
            alice.expect_status(603, method)
            if method == "INVITE":
                bob.expect_request("ACK")
                alice.ack_failure(bob.uri, sent, alice_answer(sent))
    finally:
        for phone in (alice, bob):
            phone.register(0)
            phone.close()


def alice_answer(sent):
    """Enough of a response to acknowledge: the proxy has acknowledged its own."""
    class Answer:
        @staticmethod
        def get(_name):
            return sent["To"]
    return Answer


# ---- TLS -----------------------------------------------------------------------------------------------


def refused_by_tls(node, port, credentials):
    """No SIP is spoken to one whose certificate is not of the right authority."""
    try:
        agent = TlsAgent(SPY, "spy", node.island.domain, f"{node.ip}:{port}", credentials)
    except (ssl.SSLError, ConnectionError):
        return
    try:
        agent.request("OPTIONS", f"sip:{node.ip}:{port}")
        agent.expect("the end of the connection", lambda m: True, 5)
    except (ssl.SSLError, ConnectionError):
        return
    except LabError as problem:
        if "was closed" in str(problem):
            return
        raise
    finally:
        agent.close()
    raise LabError("it was answered")


def refuses_strangers(tests, node, spies):
    for port, name, wrong in ((GATEWAY_PORT, "gateway-listen", spies.node),
                              (PEER_PORT, "peer-listen", spies.gateway)):
        for what, credentials in (("no certificate", None), ("another authority's", spies.foreign),
                                  ("the other side's", wrong)):
            tests.run(f"{name}, {what}", refused_by_tls, node, port, credentials)


def by_gateway(far, agent, said, **options):
    """One INVITE and one MESSAGE with what they should say, but for what is given."""
    values = dict(from_uri="sip:x@site.east", overlay="<sip:overlay@east>", node="<sip:x@site.east>")
    values.update(options)
    extra = [(name, values[key]) for name, key in (("Overlay-ID", "overlay"), ("Node-ID", "node"))
             if values[key]]
    for method in ("INVITE", "MESSAGE"):
        expect(agent, said, method, values.get("uri", f"sip:nobody@{far.domain}"),
               from_uri=values["from_uri"], extra=extra)


def forged_by_gateway(tests, far, spies):
    """A gateway of east speaks to the gateway of west."""
    node = far.gateway()
    agent = TlsAgent(SPY, "x", "site.east", f"{node.ip}:{GATEWAY_PORT}", spies.gateway)
    try:
        for title, said, options in (
                ("all as it should be: the user is not there", (404,), {}),
                ("From of the callee's overlay", (403,),
                 dict(from_uri="sip:x@site.west", node="<sip:x@site.west>")),
                ("From of no overlay", (403,), dict(from_uri="sip:x@example.org", node="<sip:x@example.org>")),
                ("From of an overlay within", (404,),
                 dict(from_uri="sip:x@deep.site.east", node="<sip:x@deep.site.east>")),
                ("From of a name that ends alike", (403,),
                 dict(from_uri="sip:x@site.noteast", node="<sip:x@site.noteast>")),
                ("From is a telephone number", (403,), dict(from_uri="tel:+15551234")),
                ("Overlay-ID of another overlay", (403,), dict(overlay="<sip:overlay@west>")),
                ("Overlay-ID is no address", (403,), dict(overlay="east")),
                ("Node-ID of another user", (403,), dict(node="<sip:y@site.east>")),
                ("no Overlay-ID", (403,), dict(overlay=None)),
                ("no Node-ID", (403,), dict(node=None)),
                ("a call that is to leave again", (403, 404, 482), dict(uri="sip:bob@site.east"))):
            tests.run(f"gateway: {title}", by_gateway, far, agent, said, **options)
        tests.run("gateway: REGISTER", expect, agent, (405,), "REGISTER", f"sip:{far.domain}",
                  from_uri=f"sip:bob@{far.domain}")
        tests.run("gateway: a ping", expect, agent, (200,), "OPTIONS", f"sip:{node.ip}:{GATEWAY_PORT}",
                  from_uri="sip:x@site.east")
    finally:
        agent.close()


def forged_by_node(tests, island, spies):
    """A node of east, no gateway, speaks to another node of east."""
    node = island.others()[0]
    agent = TlsAgent(SPY, "x", island.domain, f"{node.ip}:{PEER_PORT}", spies.node)
    try:
        nobody = f"sip:nobody@{island.domain}"
        for method in ("INVITE", "MESSAGE"):
            for forged in ("sip:x@site.west", "sip:x@example.org", "tel:+15551234"):
                tests.run(f"node: {method} from {forged}", expect, agent, (503,), method, nobody,
                          from_uri=forged)
            tests.run(f"node: {method} from a local user", expect, agent, (404,), method, nobody,
                      from_uri=f"sip:x@{island.domain}")
    finally:
        agent.close()


# ---- the log -------------------------------------------------------------------------------------------


def is_logged(lab):
    """Each liar is named, by what it did."""
    logs = "".join(node.log() for node in lab.nodes())
    for line in (rf"{PHONES}\.1:\d+: INVITE from bob@site\.west refused: From is not of this overlay",
                 rf"{SPY}:\d+: MESSAGE from x@site\.west refused: From is not of this overlay",
                 r"gateway of east: INVITE from x@example\.org refused: From is not of the sender's overlay",
                 r"gateway of east: MESSAGE from x@site\.east refused: From, Overlay-ID and certificate"):
        if not re.search("^remote: sip: " + line, logs, re.M):
            raise LabError(f"no line {line!r}")


def still_calls(lab):
    """After all this a call between the islands is a call."""
    east, west = lab.islands
    alice = Agent(f"{PHONES}.5", "alice", east.domain, east.others()[0].sip)
    bob = Agent(f"{PHONES}.6", "bob", west.domain, west.nodes[0].sip)
    try:
        alice.register()
        bob.register()
        mine, _, invite = establish(alice, bob)
        if alice.uri not in invite.get("from"):
            raise LabError(f"From is {invite.get('from')}")
        end_call(alice, mine, bob)
    finally:
        for phone in (alice, bob):
            phone.register(0)
            phone.close()


def main():
    socket.setdefaulttimeout(10)
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        east, west = lab.islands
        spies = Spies(lab)
        for node, other in ((east.nodes[0], west), (east.nodes[1], west), (west.nodes[0], east)):
            wait_for(f"{node.name} finds {other.name}",
                     lambda n=node, o=other: n.ctl("resolve", f"sip:overlay@{o.name}"), 20)
        for transport in BOTH:
            tests.run(f"phone, {transport}: forged From", forged_by_phone, east.nodes[0], transport)
            tests.run(f"phone, {transport}: users of others", foreign_registration, east.nodes[0], transport)
            for callee, where in ((east.nodes[0], "this node"), (east.nodes[1], "another node"),
                                  (west.nodes[0], "another island")):
                tests.run(f"phone, {transport}: what gateways say, to {where}", headers_stripped,
                          east.nodes[0], callee, transport)
        refuses_strangers(tests, east.gateway(), spies)
        forged_by_gateway(tests, west, spies)
        forged_by_node(tests, east, spies)
        tests.run("who lied is in the log", is_logged, lab)
        tests.run("a call between the islands", still_calls, lab)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
