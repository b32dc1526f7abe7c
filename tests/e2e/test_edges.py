#!/usr/bin/env python3
"""Calls at the edges: sips, forked subscriptions, flows of one phone, edge proxies, Contacts as addresses."""
import re
import sys

from common import Tests, lab_of
from lab import LabError
from agent import Agent, end_call, establish

ISLANDS = [("north", "127.71.0", 2), ("south", "127.72.0", 2)]
PHONES = "127.73.0"


class Phones:
    """Phones of one test: addresses of their own, all closed at its end."""
    last = 0

    def __init__(self):
        self.all = []

    def at(self, node, user, transport="udp", register=True, **options):
        Phones.last += 1
        phone = Agent(f"{PHONES}.{Phones.last}", user, node.island.domain, node.sip, transport)
        self.all.append(phone)
        if register:
            phone.register(**options)
        return phone

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for phone in self.all:
            phone.close()


def places(island):
    """A node that is no gateway, and the gateway."""
    gateway = island.gateway()
    return next(n for n in island.nodes if n is not gateway), gateway


def nothing_at(phone, within=0.3):
    phone.expect_nothing("a request", lambda m: not m.is_response, within)


# ---- sips ---------------------------------------------------------------------------------------------

def is_sips_refusal(response):
    assert re.match(r'380 \S+ "SIPS Not Allowed"$', response.get("warning")), (response.start, response.headers)


def refused_as_sips(caller, uri, method):
    sent = caller.request(method, uri, body=caller.sdp() if method == "INVITE" else "")
    response = caller.expect_status(480, method)
    is_sips_refusal(response)
    if method == "INVITE":
        caller.ack_failure(uri, sent, response)


def sips_is_not_sent(north, south):
    """RFC 5630 section 5.3: no sips request to a phone without TLS, whoever asks and however the phone is bound."""
    with Phones() as phones:
        for transport in ("udp", "tcp"):
            bob = phones.at(places(north)[0], f"bob-{transport}", transport)
            secure = phones.at(places(north)[0], f"secure-{transport}", transport, register=False)
            secure.register(contact=f"<{secure.contact.replace('sip:', 'sips:')}>")
            alias = phones.at(places(north)[1], f"alias-{transport}", transport, register=False)
            alias.register(contact=f"<{bob.uri.replace('sip:', 'sips:')}>")
            callers = [phones.at(node, f"caller-{transport}{k}") for k, node in enumerate((*places(north), *places(south)))]
            for caller in callers:
                for method in ("INVITE", "MESSAGE"):
                    refused_as_sips(caller, bob.uri.replace("sip:", "sips:"), method)
                    refused_as_sips(caller, secure.uri, method)
                    refused_as_sips(caller, secure.uri.replace("sip:", "sips:"), method)
                    refused_as_sips(caller, alias.uri, method)
            for phone in (bob, secure, alias):
                nothing_at(phone)


def sips_in_a_dialog(caller, callee):
    """The callee's Contact is sips: requests to it are refused, and it hangs up itself."""
    contact = callee.contact
    sent = caller.request("INVITE", callee.uri, body=caller.sdp(1))
    invite = callee.expect_request("INVITE")
    callee.contact = contact.replace("sip:", "sips:")
    callee.answer(invite, 200, "OK", "b1", body=callee.sdp(2))
    callee.contact = contact
    answer = caller.expect_status(200)
    dialog = caller.dialog_of_response(sent, answer)
    if not dialog.routes and dialog.target.startswith("sips:"):
        raise LabError("the call does not go by a node")
    caller.in_dialog(dialog, "ACK")
    caller.in_dialog(dialog, "INFO")
    is_sips_refusal(caller.expect_status(480, "INFO"))
    callee.expect_nothing("ACK or INFO", lambda m: not m.is_response, 0.3)
    other = callee.dialog_of_request(invite, "b1")
    end_call(callee, other, caller)


# ---- forked subscriptions --------------------------------------------------------------------------------

EVENT = ("Event", "presence")


def accept_subscribe(phone, tag, expires=120):
    """Its SUBSCRIBE answered; its dialog."""
    request = phone.expect_request("SUBSCRIBE")
    phone.answer(request, 200, "OK", tag, extra=[("Expires", str(expires))])
    dialog = phone.dialog_of_request(request, tag)
    dialog.sequence = 5000 if tag == "n1" else 10  # each counts for itself
    return dialog


def notify(phone, dialog, caller, state="active;expires=120", status=200):
    """A NOTIFY that reaches the caller; the caller's dialog by it."""
    sent = phone.in_dialog(dialog, "NOTIFY", extra=[EVENT, ("Subscription-State", state)])
    if status != 200:
        phone.expect_status(status, "NOTIFY")
        return None
    request = caller.expect_request("NOTIFY")
    caller.answer(request, 200, "OK")
    phone.expect_status(200, "NOTIFY")
    assert sent["CSeq"].split()[1] == "NOTIFY"
    return caller.dialog_of_request(request, request.tag("to")), request


def forked_subscribe(caller, pair, notify_first, ends):
    """RFC 6665 sections 4.1.2.4 and 4.4.1: each phone's NOTIFY makes a dialog of its own."""
    uri = pair[0].uri
    sent = caller.request("SUBSCRIBE", uri, extra=[EVENT, ("Expires", "120")])
    ways = []
    if notify_first:  # a NOTIFY that outruns its 200
        requests = [phone.expect_request("SUBSCRIBE") for phone in pair]
        ways = [phone.dialog_of_request(request, f"n{k}") for k, (phone, request) in enumerate(zip(pair, requests))]
    else:
        ways = [accept_subscribe(phone, f"n{k}") for k, phone in enumerate(pair)]
        caller.expect_status(200, "SUBSCRIBE")
    seen = [notify(phone, way, caller) for phone, way in zip(pair, ways)]
    if notify_first:
        for k, (phone, request) in enumerate(zip(pair, requests)):
            phone.answer(request, 200, "OK", f"n{k}", extra=[("Expires", "120")])
        caller.expect_status(200, "SUBSCRIBE")
    tags = {request.tag("from") for _, request in seen}
    assert len(tags) == 2, tags
    for dialog, request in seen:
        dialog.local, dialog.remote = sent["From"], request.get("from")
        dialog.sequence = int(sent["CSeq"].split()[0])
    for _ in range(2):  # more of them, and refreshes, in each
        for (dialog, _), phone, way in zip(seen, pair, ways):
            caller.in_dialog(dialog, "SUBSCRIBE", extra=[EVENT, ("Expires", "100")])
            request = phone.expect_request("SUBSCRIBE")
            phone.answer(request, 200, "OK", extra=[("Expires", "100")])
            caller.expect_status(200, "SUBSCRIBE")
            notify(phone, way, caller)
    order = list(zip(seen, pair, ways))
    for (dialog, _), phone, way in order if ends == "first" else order[::-1]:
        notify(phone, way, caller, "terminated;reason=timeout")
        if caller.domain == phone.domain:
            continue  # no node keeps its state
        caller.in_dialog(dialog, "SUBSCRIBE", extra=[EVENT, ("Expires", "100")])
        caller.expect("its end", lambda m: m.is_response and m.method == "SUBSCRIBE" and m.status in (404, 481))
        notify(phone, way, caller, status=481)


# ---- flows of one phone ----------------------------------------------------------------------------------

def flow_of(phones, node, name, transport, number):
    phone = phones.at(node, name, transport, register=False)
    phone.register(contact=f'<{phone.contact}>;+sip.instance="<urn:uuid:{name}>";reg-id={number}',
                   extra=[("Supported", "path, outbound")])
    return phone


def flows_of_one_phone(caller, nodes, transport):
    """RFC 5626 section 7: one flow at a time, the newest first; the next one on 430 and 408."""
    name = f"flows-{caller.user}-{transport}-{nodes[0].name}{nodes[1].name}"
    with Phones() as phones:
        old, new = (flow_of(phones, node, name, transport, k + 1) for k, node in enumerate(nodes))
        other = phones.at(nodes[0], name, transport, contact=None)  # another phone of this user rings all the same
        for answers in ((486,), (430, 486), (408, 480), (430, 430)):
            sent = caller.request("INVITE", old.uri, body=caller.sdp())
            ringing = other.expect_request("INVITE")
            other.answer(ringing, 404, "Not Found", "o")
            invites = []
            for k, (phone, status) in enumerate(zip((new, old), answers)):
                invites.append(phone.expect_request("INVITE"))
                if k == 0:
                    nothing_at(old, 0.1)
                phone.answer(invites[-1], status, "X", f"f{k}")
            response = caller.expect("a final response", lambda m: m.is_response and m.status >= 200)
            caller.ack_failure(old.uri, sent, response)
            assert response.status == 404, response.start
            for phone in (old, new, other):
                phone.expect_nothing("INVITE", lambda m: not m.is_response and m.method == "INVITE", 0.05)
                phone.waiting.clear()
        if transport == "tcp":  # a flow that is gone: what is left of the phone rings
            new.close()
            phones.all.remove(new)
            other.register(0)
            one, two, _ = establish(caller, old)
            end_call(old, two, caller)
            assert one


# ---- callers that cannot be reached by their Contact --------------------------------------------------------

def unreachable_contact(caller, callee):
    """A true Via, and a Contact with a private address: requests of the callee reach it where it sends from."""
    contact = caller.contact
    caller.contact = re.sub(r"@[^:;]+:\d+", "@192.168.7.7:5060", contact)
    one, two, _ = establish(caller, callee)
    for method in ("INFO", "INVITE", "UPDATE"):
        callee.in_dialog(two, method, body=callee.sdp(4) if method == "INVITE" else "")
        request = caller.expect_request(method)
        assert request.uri.split(";")[0] == caller.contact.split(";")[0] or callee.domain != caller.domain, request.start
        caller.answer(request, 200, "OK", body=caller.sdp(5) if method == "INVITE" else "")
        callee.expect_status(200, method)
        if method == "INVITE":
            callee.in_dialog(two, "ACK")
            caller.expect_request("ACK")
    caller.in_dialog(one, "INFO")
    callee.answer(callee.expect_request("INFO"), 200, "OK")
    caller.expect_status(200, "INFO")
    end_call(callee, two, caller)
    caller.contact = contact


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        north, south = lab.islands
        tests.run("sips is not sent to a phone without TLS", sips_is_not_sent, north, south)
        for transport in ("udp", "tcp"):
            with Phones() as phones:
                ann = phones.at(places(north)[0], f"ann-{transport}", "tcp")
                near = phones.at(places(north)[1], f"near-{transport}", transport)
                far = phones.at(places(south)[0], f"far-{transport}", transport)
                tests.run(f"sips in a dialog, {transport}, inside", sips_in_a_dialog, ann, near)
                tests.run(f"sips in a dialog, {transport}, between overlays", sips_in_a_dialog, ann, far)
        for caller_at, callees_at in ((north, south), (south, north), (north, north)):
            for transport in ("udp", "tcp"):
                with Phones() as phones:
                    name = f"{transport}-{caller_at.name}-{callees_at.name}"
                    pair = [phones.at(node, f"fork-{name}", transport) for node in places(callees_at)]
                    caller = phones.at(places(caller_at)[0], f"watcher-{name}", transport)
                    for notify_first in (False, True):
                        for ends in ("first", "last"):
                            tests.run(f"forked SUBSCRIBE, {name}, {'NOTIFY' if notify_first else '200'} first, "
                                      f"{ends} ends first", forked_subscribe, caller, pair, notify_first, ends)
        for caller_at in (places(north)[0], places(north)[1], places(south)[0]):
            for transport in ("udp", "tcp"):
                for nodes in (places(north), places(north)[1:] * 2):
                    with Phones() as phones:
                        caller = phones.at(caller_at, f"c{caller_at.island.name}{caller_at.name[:3]}", transport)
                        tests.run(f"flows of one phone, {transport}, at {nodes[0].name} and {nodes[1].name}, from "
                                  f"{caller_at.island.name}/{caller_at.name}", flows_of_one_phone, caller, nodes, transport)
        for caller_at in places(north):
            for callee_at in (*places(north), *places(south)):
                for transport in ("udp", "tcp"):
                    with Phones() as phones:
                        name = f"{caller_at.name[:3]}-{callee_at.island.name}-{callee_at.name[:3]}-{transport}"
                        caller = phones.at(caller_at, f"private-{name}", transport)
                        callee = phones.at(callee_at, f"public-{name}", transport)
                        tests.run(f"a Contact that leads nowhere, {name}", unreachable_contact, caller, callee)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
