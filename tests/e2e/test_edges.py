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
            other.answer(ringing, 403, "Forbidden", "o")
            invites = []
            for k, (phone, status) in enumerate(zip((new, old), answers)):
                invites.append(phone.expect_request("INVITE"))
                if k == 0:
                    nothing_at(old, 0.1)
                phone.answer(invites[-1], status, "X", f"f{k}")
            response = caller.expect("a final response", lambda m: m.is_response and m.status >= 200)
            caller.ack_failure(old.uri, sent, response)
            assert response.status == 403, response.start
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


# ---- edge proxies ------------------------------------------------------------------------------------------

def behind_edge_proxies(node, callers, transport):
    """RFC 3327: Path is stored, returned, and the Route of what goes to the phone."""
    with Phones() as phones:
        name = f"edge-{transport}-{callers[0].user}"
        edge = phones.at(node, name, "udp", register=False)
        phone = phones.at(node, name, transport, register=False)  # who sends the REGISTER is not who is in the Path
        contact = "sip:private@192.168.1.20:5060"
        path = [f"<sip:t1@{edge.ip}:5060;lr>", "<sip:t2;x=1@edge.invalid;lr;ob>"]
        supported = ("Supported", "path")
        for values in (path[:1], path):
            listed = phone.register(contact=f"<{contact}>", extra=[supported, *(("Path", value) for value in values)])
            assert ",".join(listed.all("path")).replace(", ", ",") == ",".join(values), listed.headers
            for caller in callers:
                sent = caller.request("INVITE", phone.uri, body=caller.sdp())
                invite = edge.expect_request("INVITE")
                routes = [r.strip() for line in invite.all("route") for r in line.split(",")]
                assert invite.uri == contact and routes == values, (invite.start, routes)
                edge.answer(invite, 180, "Ringing", "e1")
                caller.expect_status(180)
                caller.cancel(phone.uri, sent)
                cancel = edge.expect_request("CANCEL")
                assert [r.strip() for line in cancel.all("route") for r in line.split(",")] == values
                edge.answer(cancel, 200, "OK")
                edge.answer(invite, 487, "Request Terminated", "e1")
                caller.ack_failure(phone.uri, sent, caller.expect_status(487))
                edge.expect_request("ACK")
        listed = phone.register(contact=f"<{contact}>;expires=0", extra=[supported, ("Path", path[0])])
        assert not listed.get("contact")


def paths_that_are_none(node):
    with Phones() as phones:
        phone = phones.at(node, "nopath", register=False)
        supported = ("Supported", "path")
        good = f"<sip:t@{phone.ip};lr>"
        refusal = phone.register(expect=420, extra=[("Path", good)])
        assert refusal.get("unsupported") == "path", refusal.headers
        for bad in ("<sip:edge.invalid;lr>", "<tel:123>", f"<sips:{phone.ip};lr>", f"<sip:{node.sip};lr>"):
            phone.register(expect=400, extra=[supported, ("Path", bad)])
        phone.register(expect=513, extra=[supported, ("Path", ", ".join(f"<sip:{'t' * 200}@{phone.ip};lr>" for _ in range(11)))])
        assert not [r for r in node.ctl("registrations") if r["aor"] == phone.uri[4:]]


# ---- Contacts as addresses ------------------------------------------------------------------------------------

def a_contact_is_called(caller, phone, transferor):
    """RFC 3515: Refer-To is the bare Contact of a phone of the overlay, as another has seen it in a dialog."""
    one, _, _ = establish(transferor, caller)
    transferor.in_dialog(one, "REFER", extra=[("Refer-To", f"<{phone.contact}>")])
    refer = caller.expect_request("REFER")
    caller.answer(refer, 202, "Accepted")
    transferor.expect_status(202, "REFER")
    target = re.search(r"<(.*)>", refer.get("refer-to")).group(1)
    assert target == phone.contact, target
    sent = caller.request("INVITE", target, body=caller.sdp())
    invite = phone.expect_request("INVITE")
    phone.answer(invite, 200, "OK", "c1", body=phone.sdp())
    answer = caller.expect_status(200)
    dialog = caller.dialog_of_response(sent, answer)
    caller.in_dialog(dialog, "ACK")
    phone.expect_request("ACK")
    end_call(caller, dialog, phone)
    end_call(transferor, one, caller)


def addresses_that_are_no_contacts(caller, phone):
    """Nobody sends through us to an address of his choice: what no user of that name has registered is 404."""
    stranger = Agent(f"{PHONES}.249", phone.user, phone.domain, phone.proxy)
    try:
        for uri in (f"sip:{phone.user}@{stranger.ip}:5060", f"sip:other@{phone.ip}:{phone.port}", f"sip:{phone.ip}:{phone.port}",
                    f"sip:{phone.user}@{phone.ip}:{phone.port};transport=sctp", f"sip:overlay@{phone.ip}"):
            for method in ("INVITE", "MESSAGE"):
                sent = caller.request(method, uri, body=caller.sdp() if method == "INVITE" else "")
                response = caller.expect_status(404, method)
                if method == "INVITE":
                    caller.ack_failure(uri, sent, response)
        nothing_at(stranger)
        nothing_at(phone, 0.1)
    finally:
        stranger.close()


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
        with Phones() as phones:
            callers = [phones.at(node, f"outside{k}") for k, node in enumerate((*places(north), *places(south)))]
            for node in places(north):
                for transport in ("udp", "tcp"):
                    tests.run(f"behind edge proxies, {transport}, {node.name}", behind_edge_proxies, node, callers, transport)
        tests.run("Paths that are none", paths_that_are_none, places(north)[0])
        for transport in ("udp", "tcp"):
            for k, nodes in enumerate((places(north), places(north)[::-1], places(north)[:1] * 2)):
                with Phones() as phones:
                    caller, phone, transferor = (phones.at(node, f"{who}{k}-{transport}", transport)
                                                 for who, node in zip(("xa", "xb", "xc"), (*nodes, nodes[0])))
                    tests.run(f"a bare Contact is called, {transport}, from {nodes[0].name} at {nodes[1].name}",
                              a_contact_is_called, caller, phone, transferor)
                    tests.run(f"an address that is no Contact, {transport}, from {nodes[0].name}",
                              addresses_that_are_no_contacts, caller, phone)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
