#!/usr/bin/env python3
"""Contacts that nothing can be sent to, and names that nobody has."""
import itertools
import sys

from common import Tests, lab_of
from lab import LabError
from agent import Agent, end_call, establish

ISLANDS = [("north", "127.74.0", 2), ("south", "127.75.0", 2)]
HOSTS = itertools.count(1)
NOWHERE = ("{user}@{ip}:0", "{user}@{ip}:65536", "{user}@{ip}:{port};transport=tls", "{user}@{ip}:{port};transport=ws",
           "{user}@{ip}:{port};maddr=224.0.0.1", "%00%0D%0A@{ip}:{port}")


def phone_at(node, user, transport="udp"):
    return Agent(f"127.76.0.{next(HOSTS)}", user, node.island.domain, node.sip, transport)


def contacts_of(phone):
    stream = ";transport=tcp" if phone.transport == "tcp" else ""
    for form in NOWHERE:
        text = form.format(user=phone.user, ip=phone.ip, port=phone.port)
        yield "sip:" + text + ("" if "transport" in text else stream)


def hung_up(caller, callee, by_caller, contact):
    try:
        one, two, _ = establish(caller, callee)
        end_call(*((caller, one, callee) if by_caller else (callee, two, caller)))
    except LabError as problem:
        raise LabError(f"{contact}: {problem}") from problem


def callers_contact(caller, callee):
    """The callee's BYE goes where the caller sends from (RFC 3261 section 12.2.1.1 has nothing better)."""
    good = caller.contact
    for contact in contacts_of(caller):
        caller.contact = contact
        hung_up(caller, callee, False, contact)
    caller.contact = good


def registered_contact(caller, callee):
    """A binding that nothing can be sent to is its flow."""
    good = callee.contact
    callee.register(0, "*")
    for contact in contacts_of(callee):
        callee.contact = contact
        callee.register()
        hung_up(caller, callee, True, contact)
        callee.register(0, "*")
    callee.contact = good
    callee.register()


def a_name_for_contact(caller, callee):
    """An end whose Contact is its own name: ACK and BYE go to it as any request for that name (section 16.5)."""
    for named in (callee, caller):
        good = named.contact
        named.contact = named.uri
        try:
            hung_up(caller, callee, named is callee, named.uri)
        finally:
            named.contact = good


def names_of_nobody(caller, callee):
    """404 to what no user and no domain is called, 403 where the far gateway could not be told whose call it is."""
    domain = callee.domain
    for uri in (f"sip:@{domain}", "sip:bob@..", f"sip:bob@.{domain}", f"sip:bob@x..{domain}"):
        for method in ("INVITE", "MESSAGE"):
            sent = caller.request(method, uri, body=caller.sdp() if method == "INVITE" else "")
            response = caller.expect_status(404, method)
            assert not response.get("retry-after"), response.headers
            if method == "INVITE":
                caller.ack_failure(uri, sent, response)
    caller.request("MESSAGE", callee.uri, from_uri=f"sip:{caller.domain}")
    if caller.domain == domain:
        callee.answer(callee.expect_request("MESSAGE"), 200, "OK", "m")
    caller.expect_status(200 if caller.domain == domain else 403, "MESSAGE")
    caller.request("MESSAGE", callee.uri, extra=[("Proxy-Require", "")])
    callee.answer(callee.expect_request("MESSAGE"), 200, "OK", "m")
    caller.expect_status(200, "MESSAGE")
    callee.expect_nothing("a request", lambda m: not m.is_response and m.method not in ("ACK", "BYE"), 0.1)


def unreadable_path(node, transport):
    """RFC 3327 section 5.3: it is not as if it were not there."""
    phone = phone_at(node, f"path-{transport}", transport)
    try:
        for path in ("garbage<", "<sip:", "<sip:x;lr>, <"):
            refused = phone.register(expect=400, extra=[("Supported", "path"), ("Path", path)])
            assert "Path" in refused.start, refused.start
        assert not [r for r in node.ctl("registrations") if r["aor"] == phone.uri[4:]]
        phone.register()
    finally:
        phone.close()


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        north, south = lab.islands
        gateway = north.gateway()
        node = north.others()[0]
        for caller_at in (node, gateway):
            for callee_at in (node, south.others()[0]):
                for transports in (("udp", "tcp"), ("tcp", "udp")):
                    name = f"{caller_at.name} to {callee_at.island.name}/{callee_at.name}, {' to '.join(transports)}"
                    caller, callee = phone_at(caller_at, "ann", transports[0]), phone_at(callee_at, "bob", transports[1])
                    for phone in (caller, callee):
                        phone.register()
                    tests.run(f"a caller's Contact, {name}", callers_contact, caller, callee)
                    tests.run(f"a registered Contact, {name}", registered_contact, caller, callee)
                    tests.run(f"a name for a Contact, {name}", a_name_for_contact, caller, callee)
                    tests.run(f"names of nobody, {name}", names_of_nobody, caller, callee)
                    for phone in (caller, callee):
                        phone.register(0)
                        phone.close()
        for transport in ("udp", "tcp"):
            tests.run(f"a Path that cannot be read, {transport}", unreadable_path, node, transport)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
