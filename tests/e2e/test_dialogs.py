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
            for phone in (a, b):
                phone.register(0)
                phone.close()
    print(f"{time.monotonic() - begin:.0f} s")
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
