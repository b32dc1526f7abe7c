#!/usr/bin/env python3
"""Dialogs through two gateways, where an end does what RFC 3261 allows and few phones do."""
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent, end_call, establish, uri_of
import scenarios

ISLANDS = [("east", "127.91.0", 2), ("west", "127.92.0", 2)]
PHONES = "127.93.0"


def answered(caller, callee, tag="b1", offer=True):
    """INVITE and 200, without its ACK: (INVITE as sent, as it arrived, the caller's dialog, the callee's)."""
    sent = caller.request("INVITE", callee.uri, body=caller.sdp(1) if offer else "")
    invite = callee.expect_request("INVITE")
    callee.answer(invite, 200, "OK", tag, body=callee.sdp(2))
    dialog = caller.dialog_of_response(sent, caller.expect_status(200))
    return invite, dialog, callee.dialog_of_request(invite, tag)


def quiet(lab, *phones):
    """Nothing is left: no message that a phone has not taken, no call at a gateway."""
    for phone in phones:
        while phone.poll(0.05):
            pass
        left = [m.start for m in phone.waiting if not m.is_response or m.status != 100]
        phone.waiting.clear()
        if left:
            raise LabError(f"{phone.user} still has {left}")
    for node in lab.nodes():
        wait_for(f"{node.name}@{node.island.name} has no calls", lambda n=node: n.ctl("calls") == [], 10)


def ack_refusal(phone, dialog, sent, refused):
    phone.write("ACK", dialog.target,
                [("Via", sent["Via"]), ("Max-Forwards", "70"), ("From", dialog.local), ("To", refused.get("to")),
                 ("Call-ID", dialog.call_id), ("CSeq", f"{sent['CSeq'].split()[0]} ACK"),
                 *(("Route", r) for r in dialog.routes)])


# ---- overlapping INVITEs ------------------------------------------------------------------------------


def reinvite_before_ack(lab, a, b, offer=True):
    """The callee re-INVITEs right after its 200; the first ACK comes when the second INVITE is answered."""
    invite, one, other = answered(a, b, offer=offer)
    b.in_dialog(other, "INVITE", body=b.sdp(5))
    again = a.expect_request("INVITE")
    a.answer(again, 200, "OK", body=a.sdp(6))
    first = one.sequence
    a.in_dialog(one, "ACK", body="" if offer else a.sdp(3), sequence=first)
    ack = b.expect_request("ACK")
    scenarios.same("CSeq of the first ACK", ack.sequence, invite.sequence)
    scenarios.same("its body", ack.body, "" if offer else a.sdp(3))
    scenarios.same("the answer", b.expect_status(200).body, a.sdp(6))
    b.in_dialog(other, "ACK", sequence=other.sequence)
    scenarios.same("CSeq of the second ACK", a.expect_request("ACK").sequence, again.sequence)
    # each repeated 2xx gets its own ACK, from the B2BUA itself
    b.answer(invite, 200, "OK", "b1", body=b.sdp(2))
    ack = b.expect_request("ACK")
    scenarios.same("CSeq of the ACK to the repeated 200", ack.sequence, invite.sequence)
    scenarios.same("its body", ack.body, "" if offer else a.sdp(3))
    a.answer(again, 200, "OK", body=a.sdp(6))
    scenarios.same("CSeq of the ACK to the other", a.expect_request("ACK").sequence, again.sequence)
    end_call(b, other, a)
    quiet(lab, a, b)


def repeated_2xx_passes(lab, a, b):
    """A 2xx repeated while its ACK is awaited is passed on, though a later INVITE is under way."""
    invite, one, other = answered(a, b)
    sent = b.in_dialog(other, "INVITE", body=b.sdp(5))
    again = a.expect_request("INVITE")
    b.answer(invite, 200, "OK", "b1", body=b.sdp(2))
    scenarios.same("CSeq of the repeated 200", a.expect_status(200).sequence, one.sequence)
    a.in_dialog(one, "ACK", sequence=one.sequence)
    scenarios.same("CSeq of the ACK", b.expect_request("ACK").sequence, invite.sequence)
    a.answer(again, 491, "Request Pending")
    a.expect_request("ACK")
    ack_refusal(b, other, sent, b.expect_status(491))
    end_call(a, one, b)
    quiet(lab, a, b)


def glare(lab, a, b):
    """A second INVITE while one is under way: 500 with Retry-After to its sender, 491 to the other (14.2)."""
    one, other, _ = establish(a, b)
    a.in_dialog(one, "INVITE", body=a.sdp(5))
    pending, mine = b.expect_request("INVITE"), one.sequence
    sent = a.in_dialog(one, "INVITE", body=a.sdp(6))
    refused = a.expect_status(500)
    ack_refusal(a, one, sent, refused)
    if not 0 <= int(refused.get("retry-after", "99")) <= 10:
        raise LabError(f"Retry-After of the 500: {refused.get('retry-after')}")
    sent = b.in_dialog(other, "INVITE", body=b.sdp(7))
    ack_refusal(b, other, sent, b.expect_status(491))
    b.answer(pending, 200, "OK", body=b.sdp(8))
    scenarios.same("CSeq of the 200", a.expect_status(200).sequence, mine)
    a.in_dialog(one, "ACK", sequence=mine)
    scenarios.same("CSeq of the ACK", b.expect_request("ACK").sequence, pending.sequence)
    end_call(b, other, a)
    quiet(lab, a, b)


def refused_target(lab, a, b):
    """A refused re-INVITE leaves the remote target as it was (14.1); an accepted one moves it."""
    one, other, _ = establish(a, b)
    was, a.contact = a.contact, a.contact.replace("sip:alice", "sip:elsewhere")
    try:
        sent = a.in_dialog(one, "INVITE", body=a.sdp(5))
        b.answer(b.expect_request("INVITE"), 488, "Not Acceptable Here")
        ack_refusal(a, one, sent, a.expect_status(488))
        b.expect_request("ACK")
        b.in_dialog(other, "INFO")
        info = a.expect_request("INFO")
        scenarios.same("Request-URI after a refusal", info.uri, was)
        a.answer(info, 200, "OK")
        b.expect_status(200, "INFO")
        a.in_dialog(one, "INVITE", body=a.sdp(5))
        b.answer(b.expect_request("INVITE"), 200, "OK", body=b.sdp(6))
        a.expect_status(200)
        a.in_dialog(one, "ACK", sequence=one.sequence)
        b.expect_request("ACK")
        b.in_dialog(other, "BYE")
        bye = a.expect_request("BYE")
        scenarios.same("Request-URI afterwards", bye.uri, a.contact)
        a.answer(bye, 200, "OK")
        b.expect_status(200, "BYE")
    finally:
        a.contact = was
    quiet(lab, a, b)


# ---- BYE ----------------------------------------------------------------------------------------------


def refused_bye(lab, a, b, status):
    """A response to BYE that does not end the dialog is passed on: the call stays until it is said again."""
    one, other, _ = establish(a, b)
    for x, y, dialog in ((a, b, one), (b, a, other)):
        x.in_dialog(dialog, "BYE")
        y.answer(y.expect_request("BYE"), status, "Refused",
                 extra=[("Proxy-Authenticate", 'Digest realm="r", nonce="n"')] if status == 407 else ())
        refused = x.expect_status(status, "BYE")
        if status == 407 and "nonce" not in refused.get("proxy-authenticate"):
            raise LabError("the challenge of the 407 is lost")
    a.in_dialog(one, "INFO")
    b.answer(b.expect_request("INFO"), 200, "OK")
    a.expect_status(200, "INFO")
    a.in_dialog(one, "BYE", extra=[("Proxy-Authorization", 'Digest username="a", realm="r", nonce="n"')])
    bye = b.expect_request("BYE")
    if "nonce" not in bye.get("proxy-authorization"):
        raise LabError("the credentials of the second BYE are lost")
    b.answer(bye, 200, "OK")
    a.expect_status(200, "BYE")
    quiet(lab, a, b)


def bye_of_a_lost_dialog(lab, a, b, status):
    """408 and 481 say that the dialog is gone: so it is at both ends (12.2.1.2)."""
    one, _, _ = establish(a, b)
    a.in_dialog(one, "BYE")
    b.answer(b.expect_request("BYE"), status, "Gone")
    a.expect_status(status, "BYE")
    quiet(lab, a, b)


# ---- sizes --------------------------------------------------------------------------------------------


class Replaced:
    """What a phone sends is changed on its way: for messages that a phone should not send."""

    def __init__(self, phone, change):
        self.phone, self.change = phone, change

    def __enter__(self):
        plain = self.phone.send_raw
        self.phone.send_raw = lambda data, to=None: plain(self.change(data), to)

    def __exit__(self, *_):
        del self.phone.send_raw


class Contact:
    """Another Contact for a while."""

    def __init__(self, phone, contact):
        self.phone, self.was = phone, phone.contact
        phone.contact = contact

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.phone.contact = self.was


def long_contact(phone, size):
    return phone.contact + ";x=" + "y" * (size - len(phone.contact) - 3)


def refused_invite(lab, a, b, status, uri=None, extra=(), change=None):
    """An INVITE that is refused before there is a call; nobody hears of it."""
    with Replaced(a, change or (lambda data: data)):
        sent = a.request("INVITE", uri or b.uri, body=a.sdp(1), extra=extra)
    a.ack_failure(uri or b.uri, sent, a.expect_status(status))
    quiet(lab, a, b)


def many_early_dialogs(lab, a, b, count):
    """183s of many phones behind one, then the 200 of the last: it is never lost to the limit."""
    sent = a.request("INVITE", b.uri, body=a.sdp(1))
    invite = b.expect_request("INVITE")
    for n in range(count):
        b.answer(invite, 183, "Progress", f"t{n}")
    for _ in range(min(count, 32)):
        a.expect_status(183)
    b.answer(invite, 200, "OK", f"t{count - 1}", body=b.sdp(2))
    one = a.dialog_of_response(sent, a.expect_status(200))
    a.in_dialog(one, "ACK")
    b.expect_request("ACK")
    other = b.dialog_of_request(invite, f"t{count - 1}")
    end_call(b, other, a)
    quiet(lab, a, b)


def long_contacts(lab, a, b, size):
    """Both ends have a long Contact: requests of either reach it whole."""
    with Contact(a, long_contact(a, size)), Contact(b, long_contact(b, size)):
        one, other, _ = establish(a, b)
        for x, y, dialog in ((a, b, one), (b, a, other)):
            x.in_dialog(dialog, "INFO")
            info = y.expect_request("INFO")
            scenarios.same("Request-URI", info.uri, y.contact)
            y.answer(info, 200, "OK")
            x.expect_status(200, "INFO")
        end_call(b, other, a)
    quiet(lab, a, b)


def long_route_set(lab, a, b, count):
    """An INVITE behind many proxies: the callee's BYE takes all of them."""
    routes = [f"<sip:p{n}@{a.ip}:{a.port};transport=tcp;lr;x={'z' * 140}>" for n in range(count)]
    sent = a.request("INVITE", b.uri, body=a.sdp(1), extra=[("Record-Route", r) for r in routes])
    invite = b.expect_request("INVITE")
    b.answer(invite, 200, "OK", "b1", body=b.sdp(2))
    answer = a.expect_status(200)
    routed = [r.strip() for line in answer.all("record-route") for r in line.split(",")]
    scenarios.same("Record-Route of the 200", routed[-count:], routes)
    one = a.dialog_of_response(sent, answer)
    one.routes = one.routes[count:]
    a.in_dialog(one, "ACK")
    b.expect_request("ACK")
    b.in_dialog(b.dialog_of_request(invite, "b1"), "BYE")
    bye = a.expect_request("BYE")
    scenarios.same("Route of the BYE", [r.strip() for line in bye.all("route") for r in line.split(",")], routes)
    a.answer(bye, 200, "OK")
    b.expect_status(200, "BYE")
    quiet(lab, a, b)


# ---- messages without what they need --------------------------------------------------------------------


def without(header, value=None):
    """A message without a header field, or with another value of it."""
    def change(data):
        lines = data.split("\r\n")
        end = lines.index("")
        return "\r\n".join([one if not one.startswith(header + ":") else f"{header}: {value}"
                            for one in lines[:end] if value or not one.startswith(header + ":")] + lines[end:])
    return change


def untagged(header):
    """A message whose From or To has no tag."""
    def change(data):
        return "\r\n".join(one.split(";tag=")[0] if one.startswith(header + ":") else one
                           for one in data.split("\r\n"))
    return change


def unusable_200(lab, a, b, status, change=None, extra=()):
    """A 200 that no dialog can be made of: ACK and BYE to its sender, a refusal to the caller.  A BYE that nobody
    says he has heard comes once more."""
    sent = a.request("INVITE", b.uri, body=a.sdp(1))
    invite = b.expect_request("INVITE")
    with Replaced(b, change or (lambda data: data)):
        b.answer(invite, 200, "OK", "b1", body=b.sdp(2), extra=extra)
    a.ack_failure(b.uri, sent, a.expect_status(status))
    b.expect_request("ACK")
    first = b.expect_request("BYE")
    b.answer(first, 503, "Service Unavailable")
    second = b.expect_new("BYE")
    assert int(second.get("cseq").split()[0]) == int(first.get("cseq").split()[0]) + 1, second.get("cseq")
    b.answer(second, 200, "OK")
    quiet(lab, a, b)


def ringing_without_tag(lab, a, b):
    """A 180 without a tag makes no dialog; the 200 does."""
    sent = a.request("INVITE", b.uri, body=a.sdp(1))
    invite = b.expect_request("INVITE")
    b.answer(invite, 180, "Ringing")
    a.expect_status(180)
    b.answer(invite, 200, "OK", "b1", body=b.sdp(2))
    one = a.dialog_of_response(sent, a.expect_status(200))
    a.in_dialog(one, "ACK")
    b.expect_request("ACK")
    end_call(b, b.dialog_of_request(invite, "b1"), a)
    quiet(lab, a, b)


def tags_of_none(lab, a, b):
    """No tag in From or in the 200's To: null tags, and either end can end the call (12.1.1, 12.1.2)."""
    for ender in (a, b):
        with Replaced(a, untagged("From")):
            sent = a.request("INVITE", b.uri, body=a.sdp(1))
        sent["From"] = sent["From"].split(";tag=")[0]
        invite = b.expect_request("INVITE")
        b.answer(invite, 200, "OK", body=b.sdp(2))
        one = a.dialog_of_response(sent, a.expect_status(200))
        a.in_dialog(one, "ACK")
        scenarios.same("tag of the ACK", b.expect_request("ACK").tag("to"), "")
        other = b.dialog_of_request(invite, "")
        other.local = invite.get("to")
        if ender is a:
            end_call(a, one, b)
        else:
            end_call(b, other, a)
        quiet(lab, a, b)


# ---- the gateway's Contact -------------------------------------------------------------------------------


def replaces_of(dialog):
    """What a Replaces header field says of a dialog, as its owner knows it: (Call-ID, to-tag, from-tag)."""
    tag = lambda value: value.split(";tag=")[1].split(";")[0]  # noqa: E731
    return dialog.call_id, tag(dialog.remote), tag(dialog.local)


def attended_transfer(lab, a, b, c):
    """RFC 5589 7: a, who talks with b of the other overlay, refers c to b's Contact, with Replaces."""
    one, other, _ = establish(a, b)
    with_c, of_c, _ = establish(a, c, "c1")
    call_id, to_tag, from_tag = replaces_of(one)
    a.in_dialog(with_c, "REFER", extra=[
        ("Refer-To", f"<{one.target}?Replaces={call_id.replace('@', '%40')}%3Bto-tag%3D{to_tag}%3Bfrom-tag%3D{from_tag}>")])
    refer = c.expect_request("REFER")
    c.answer(refer, 202, "Accepted")
    a.expect_status(202, "REFER")
    uri, _, query = uri_of(refer.get("refer-to")).partition("?")
    value = query.partition("Replaces=")[2].replace("%3B", ";").replace("%3D", "=").replace("%40", "@")
    sent = c.request("INVITE", uri, body=c.sdp(7), extra=[("Replaces", value)])
    invite = b.expect_request("INVITE")
    got = invite.get("replaces")
    scenarios.same("Replaces", got.split(";")[0], other.call_id)
    for name, tag in zip(("to-tag", "from-tag"), (replaces_of(other)[2], replaces_of(other)[1])):
        if f"{name}={tag}" not in got:
            raise LabError(f"Replaces says {got}, {name}={tag} was expected")
    b.answer(invite, 200, "OK", "b2", body=b.sdp(8))
    new = c.dialog_of_response(sent, c.expect_status(200))
    c.in_dialog(new, "ACK", sequence=new.sequence)
    b.expect_request("ACK")
    c.in_dialog(of_c, "NOTIFY", body="SIP/2.0 200 OK", content_type="message/sipfrag",
                extra=[("Event", "refer"), ("Subscription-State", "terminated;reason=noresource")])
    a.answer(a.expect_request("NOTIFY"), 200, "OK")
    c.expect_status(200, "NOTIFY")
    end_call(b, other, a)  # the replaced call
    end_call(a, with_c, c)
    end_call(b, b.dialog_of_request(invite, "b2"), c)
    quiet(lab, a, b, c)


def transfer_to_a_colleague(lab, a, b, c):
    """RFC 5589 7: a consults c of its own overlay, and refers b of the other to c's Contact, with Replaces; nobody there can call
    that: it becomes his name."""
    one, other, _ = establish(a, b)
    with_c, of_c, _ = establish(a, c, "c1")
    scenarios.same("the Contact of a colleague", with_c.target, c.contact)
    call_id, to_tag, from_tag = replaces_of(with_c)
    for contact, wanted in ((c.contact, c.uri), (c.contact.replace("sip:", "sip:no"), None), (f"sip:{c.user}@192.0.2.1", None)):
        query = f"?Replaces={call_id.replace('@', '%40')}%3Bto-tag%3D{to_tag}%3Bfrom-tag%3D{from_tag}"
        a.in_dialog(one, "REFER", extra=[("Refer-To", f"<{contact}{query}>")])
        refer = b.expect_request("REFER")
        b.answer(refer, 202, "Accepted")
        a.expect_status(202, "REFER")
        scenarios.same("Refer-To", uri_of(refer.get("refer-to")).partition("?")[0], wanted or contact)
        for part in (to_tag, from_tag):
            if part not in refer.get("refer-to"):
                raise LabError(f"Refer-To: {refer.get('refer-to')}")
    sent = b.request("INVITE", c.uri, body=b.sdp(7), extra=[("Replaces", f"{call_id};to-tag={to_tag};from-tag={from_tag}")])
    invite = c.expect_request("INVITE")
    scenarios.same("Replaces", invite.get("replaces").split(";")[0], of_c.call_id)
    c.answer(invite, 200, "OK", "c2", body=c.sdp(8))
    new = b.dialog_of_response(sent, b.expect_status(200))
    b.in_dialog(new, "ACK", sequence=new.sequence)
    c.expect_request("ACK")
    for _ in range(3):
        b.in_dialog(other, "NOTIFY", body="SIP/2.0 200 OK", content_type="message/sipfrag",
                    extra=[("Event", "refer"), ("Subscription-State", "terminated;reason=noresource")])
        a.answer(a.expect_request("NOTIFY"), 200, "OK")
        b.expect_status(200, "NOTIFY")
    end_call(c, of_c, a)
    end_call(a, one, b)
    end_call(b, new, c)
    quiet(lab, a, b, c)


def contact_outlives_the_call(lab, a, b, c):
    """The Contact of a call that has just ended still reaches the phone; somebody else's user may not use it."""
    one, other, _ = establish(a, b)
    targets = one.target, other.target
    end_call(a, one, b)
    c.request("MESSAGE", targets[0], body="late", content_type="text/plain")
    b.answer(b.expect_request("MESSAGE"), 200, "OK", "m1")
    c.expect_status(200, "MESSAGE")
    b.request("MESSAGE", targets[1], body="later", content_type="text/plain")
    a.answer(a.expect_request("MESSAGE"), 200, "OK", "m2")
    b.expect_status(200, "MESSAGE")
    c.request("MESSAGE", targets[0], body="no", from_uri=b.uri, content_type="text/plain")
    c.expect_status(403, "MESSAGE")
    c.request("MESSAGE", targets[0].replace("sip:", "sip:a"), body="no", content_type="text/plain")
    c.expect_status(404, "MESSAGE")
    quiet(lab, a, b, c)


def contact_parameters(lab, a, b):
    """What a Contact says of the phone (RFC 3840, 4579) arrives at the other end, in either direction."""
    said = ';isfocus;methods="INVITE,BYE";+sip.instance="<urn:uuid:0>"'
    more = lambda data: data.replace(">\r\nContent", f">{said}\r\nContent") if "Contact" in data else data  # noqa: E731
    with Replaced(a, more), Replaced(b, more):
        sent = a.request("INVITE", b.uri, body=a.sdp(1))
        invite = b.expect_request("INVITE")
        b.answer(invite, 200, "OK", "b1", body=b.sdp(2))
        answer = a.expect_status(200)
    for message in (invite, answer):
        for one in ("isfocus", 'methods="INVITE,BYE"', "+sip.instance="):
            if one not in message.get("contact"):
                raise LabError(f"{one} is lost in {message.get('contact')}")
    one = a.dialog_of_response(sent, answer)
    a.in_dialog(one, "ACK")
    b.expect_request("ACK")
    end_call(a, one, b)
    quiet(lab, a, b)


def named_dialogs(lab, a, b):
    """Join and Target-Dialog name the dialog as the other end knows it (RFC 3911, 4538)."""
    one, other, _ = establish(a, b)
    call_id, to_tag, from_tag = replaces_of(one)
    wanted = replaces_of(other)
    for name, mine, theirs in (("Join", "to-tag", "from-tag"), ("Target-Dialog", "local-tag", "remote-tag")):
        sent = a.request("OPTIONS" if name != "Join" else "INVITE", b.uri,
                         extra=[(name, f"{call_id};{theirs}={from_tag};{mine}={to_tag}")])
        request = b.expect_request("OPTIONS" if name != "Join" else "INVITE")
        got = request.get(name.lower())
        for part in (wanted[0], f"{mine}={wanted[2]}", f"{theirs}={wanted[1]}"):
            if part not in got:
                raise LabError(f"{name}: {got}, {part} was expected")
        if name == "Join":
            b.answer(request, 486, "Busy", "j1")
            b.expect_request("ACK")
            a.ack_failure(b.uri, sent, a.expect_status(486))
        else:
            b.answer(request, 200, "OK", "t1")
            a.expect_status(200, "OPTIONS")
    end_call(a, one, b)
    a.waiting.clear()
    quiet(lab, a, b)


def bad(tests, transport, lab, a, b):
    """Messages that no dialog can be made of, in both directions."""
    contacts = [("no Contact", without("Contact")), ("Contact: *", without("Contact", "*")),
                ("Contact: <tel:5>", without("Contact", "<tel:5>")),
                ("two Contacts", without("Contact", f"<{a.contact}>, <{b.contact}>")),
                ("a Contact that is none", without("Contact", "<sip:"))]
    routes = [("Record-Route: <tel:5>", "<tel:5>"), ("a Record-Route that is none", "<sip:")]
    for title, change in contacts:
        if transport == "udp" or "none" not in title:  # the library closes a connection with its 400
            tests.run(f"{transport}: INVITE, {title}", refused_invite, lab, a, b, 400, change=change)
        tests.run(f"{transport}: 200, {title}", unusable_200, lab, a, b, 502, change)
    for title, value in routes:
        extra = [("Record-Route", value)]
        if transport == "udp" or "none" not in title:
            tests.run(f"{transport}: INVITE, {title}", refused_invite, lab, a, b, 400, extra=extra)
        if "none" not in title:  # a proxy before us has dropped that
            tests.run(f"{transport}: 200, {title}", unusable_200, lab, a, b, 502, extra=extra)


def contacts(tests, transport, lab, a, b):
    """c is of the caller's overlay, d of the callee's, each at the gateway itself: all ways to the Contact."""
    c = Agent(f"{PHONES}.{11 if transport == 'udp' else 13}", "carol", a.domain, lab.islands[0].gateway().sip, transport)
    d = Agent(f"{PHONES}.{12 if transport == 'udp' else 14}", "dave", b.domain, lab.islands[1].gateway().sip, transport)
    for phone in (c, d):
        phone.register()
    tests.run(f"{transport}: attended transfer inside", attended_transfer, lab, a, b, c)
    tests.run(f"{transport}: attended transfer, the other end's gateway", attended_transfer, lab, b, a, d)
    tests.run(f"{transport}: attended transfer by the gateway's phone", attended_transfer, lab, c, b, a)
    tests.run(f"{transport}: attended transfer across", attended_transfer, lab, a, b, d)
    tests.run(f"{transport}: attended transfer to a colleague", transfer_to_a_colleague, lab, a, b, c)
    tests.run(f"{transport}: attended transfer to a colleague of the callee", transfer_to_a_colleague, lab, b, a, d)
    tests.run(f"{transport}: a Contact after the call", contact_outlives_the_call, lab, a, b, c)
    tests.run(f"{transport}: Contact parameters", contact_parameters, lab, a, b)
    tests.run(f"{transport}: Join and Target-Dialog", named_dialogs, lab, a, b)
    for phone in (c, d):
        phone.register(0)
        phone.close()


def sizes(tests, lab, a, b):
    """URIs to 2 kB and route sets to 8 kB are carried, what is larger is refused before the call."""
    for size in (280, 1900):
        tests.run(f"Contacts of {size} bytes", long_contacts, lab, a, b, size)
    for count in (6, 35):
        tests.run(f"{count} Record-Routes", long_route_set, lab, a, b, count)
    with Contact(a, long_contact(a, 3000)):
        tests.run("a Contact of 3,000 bytes", refused_invite, lab, a, b, 513)
    tests.run("a Request-URI of 3,000 bytes", refused_invite, lab, a, b, 414, uri=b.uri + ";x=" + "y" * 3000)
    routes = [("Record-Route", f"<sip:p{n}@{a.ip}:{a.port};lr;x={'z' * 150}>") for n in range(60)]
    tests.run("60 Record-Routes of 200 bytes", refused_invite, lab, a, b, 513, extra=routes)
    with Contact(b, long_contact(b, 3000)):
        tests.run("a 200 with a Contact of 3,000 bytes", unusable_200, lab, a, b, 500)


def late_twin(lab, a, b):
    """The same INVITE by another way, when the call is up: as of a gateway that was cut off and replaced, and is back."""
    sent = a.request("INVITE", b.uri, body=a.sdp(1))
    invite = b.expect_request("INVITE")
    b.answer(invite, 200, "OK", "late", body=b.sdp(2))
    dialog = a.dialog_of_response(sent, a.expect_status(200))
    a.in_dialog(dialog, "ACK")
    b.expect_request("ACK")
    again, far = dict(sent, Via=a._via()), a.far  # pylint: disable=protected-access
    a.far = (lab.islands[0].gateway().ip, far[1])
    a.write("INVITE", b.uri, again.items(), a.sdp(1))
    refused = a.expect_status(482)
    a.ack_failure(b.uri, again, refused)
    a.far = far
    b.expect_nothing("another ring", lambda m: m.method == "INVITE" and not m.is_response, 0.3)
    end_call(a, dialog, b)
    quiet(lab, a, b)


def main():
    tests = Tests()
    begin = time.monotonic()
    with lab_of(tests, ISLANDS) as lab:
        east, west = lab.islands
        for number, transport in enumerate(("udp", "tcp")):
            a = Agent(f"{PHONES}.{2 * number + 1}", "alice", east.domain, east.others()[0].sip, transport)
            b = Agent(f"{PHONES}.{2 * number + 2}", "bob", west.domain, west.others()[0].sip, transport)
            for phone in (a, b):
                phone.register()
            for test in (reinvite_before_ack, repeated_2xx_passes, glare, refused_target):
                tests.run(f"{transport}: {test.__name__}", test, lab, a, b)
                a.waiting.clear()
                b.waiting.clear()
            for status in (401, 407, 500):
                tests.run(f"{transport}: BYE, {status}", refused_bye, lab, a, b, status)
            for status in (408, 481):
                tests.run(f"{transport}: BYE, {status}", bye_of_a_lost_dialog, lab, a, b, status)
            tests.run(f"{transport}: the same with a late offer", reinvite_before_ack, lab, b, a, False)
            tests.run(f"{transport}: ten early dialogs", many_early_dialogs, lab, a, b, 10)
            tests.run(f"{transport}: forty early dialogs", many_early_dialogs, lab, a, b, 40)
            tests.run(f"{transport}: ringing without a tag", ringing_without_tag, lab, a, b)
            tests.run(f"{transport}: null tags", tags_of_none, lab, a, b)
            bad(tests, transport, lab, a, b)
            contacts(tests, transport, lab, a, b)
            if transport == "tcp":
                sizes(tests, lab, a, b)
            else:
                tests.run("the same INVITE by another way, late", late_twin, lab, a, b)
            for phone in (a, b):
                phone.register(0)
                phone.close()
    print(f"{time.monotonic() - begin:.0f} s")
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
