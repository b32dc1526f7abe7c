"""Calls as phones make them: each function is one scenario between two agents, and raises LabError.

They know nothing of what lies between the two ends.
"""
from agent import end_call, establish
from lab import LabError


def same(what, got, wanted):
    if got != wanted:
        raise LabError(f"{what}: {got!r}, {wanted!r} was expected")


def basic(a, b):
    """Call, answer, hang up; the body arrives as it was sent."""
    one, _, invite = establish(a, b)
    same("offer", invite.body, a.sdp(1))
    end_call(a, one, b)


def hang_up_by_callee(a, b):
    _, other, _ = establish(a, b)
    end_call(b, other, a)


def late_offer(a, b):
    """No body in the INVITE: the answer stands in the ACK."""
    sent = a.request("INVITE", b.uri)
    invite = b.expect_request("INVITE")
    same("body of the INVITE", invite.body, "")
    b.answer(invite, 200, "OK", "b1", body=b.sdp(2))
    dialog = a.dialog_of_response(sent, a.expect_status(200))
    a.in_dialog(dialog, "ACK", body=a.sdp(3))
    same("body of the ACK", b.expect_request("ACK").body, a.sdp(3))
    end_call(a, dialog, b)


def hiding(a, b):
    """Neither end learns of the other's addresses (Via, Route, Contact, Call-ID)."""
    sent = a.request("INVITE", b.uri, body="", extra=[("Subject", "unknown fields pass"),
                                                      ("X-Strange", "a;b=c,\"d\"")])
    invite = b.expect_request("INVITE")
    same("Subject", invite.get("subject"), "unknown fields pass")
    same("X-Strange", invite.get("x-strange"), 'a;b=c,"d"')
    text = "\n".join(f"{k}: {v}" for k, v in invite.headers)
    for secret in (f"{a.ip}:{a.port}", sent["Call-ID"]):
        if secret in text:
            raise LabError(f"the caller's {secret} reached the callee:\n{text}")
    b.answer(invite, 200, "OK", "b1", body=b.sdp(2))
    dialog = a.dialog_of_response(sent, a.expect_status(200))
    a.in_dialog(dialog, "ACK", body=a.sdp(3))
    b.expect_request("ACK")
    end_call(a, dialog, b)


def early_media(a, b):
    sent = a.request("INVITE", b.uri, body=a.sdp(1))
    invite = b.expect_request("INVITE")
    b.answer(invite, 183, "Session Progress", "b1", body=b.sdp(2))
    same("body of the 183", a.expect_status(183).body, b.sdp(2))
    b.answer(invite, 200, "OK", "b1", body=b.sdp(2))
    dialog = a.dialog_of_response(sent, a.expect_status(200))
    a.in_dialog(dialog, "ACK")
    b.expect_request("ACK")
    end_call(a, dialog, b)


def reliable_provisional(a, b):
    """100rel: 183 with RSeq, PRACK with RAck, both answered end to end (RFC 3262)."""
    sent = a.request("INVITE", b.uri, body=a.sdp(1), extra=[("Supported", "100rel")])
    invite = b.expect_request("INVITE")
    b.answer(invite, 183, "Session Progress", "b1", body=b.sdp(2),
             extra=[("Require", "100rel"), ("RSeq", "4711")])
    progress = a.expect_status(183)
    dialog = a.dialog_of_response(sent, progress)
    a.in_dialog(dialog, "PRACK", extra=[("RAck", f"{progress.get('rseq')} {sent['CSeq']}")])
    prack = b.expect_request("PRACK")
    same("RAck", prack.get("rack"), f"4711 {invite.get('cseq')}")
    b.answer(prack, 200, "OK")
    a.expect_status(200, "PRACK")
    b.answer(invite, 200, "OK", "b1")
    a.expect_status(200)
    a.in_dialog(dialog, "ACK", sequence=int(sent["CSeq"].split()[0]))
    b.expect_request("ACK")
    end_call(a, dialog, b)


def hold_and_resume(a, b):
    """re-INVITE from both ends."""
    one, other, _ = establish(a, b)
    for x, y, dialog in ((a, b, one), (b, a, other)):
        x.in_dialog(dialog, "INVITE", body=x.sdp(5))
        again = y.expect_request("INVITE")
        same("offer", again.body, x.sdp(5))
        y.answer(again, 200, "OK", body=y.sdp(6))
        same("answer", x.expect_status(200).body, y.sdp(6))
        x.in_dialog(dialog, "ACK", sequence=dialog.sequence)
        y.expect_request("ACK")
    end_call(a, one, b)


def refused_reinvite(a, b):
    """A refused re-INVITE leaves the call up."""
    one, other, _ = establish(a, b)
    sent = a.in_dialog(one, "INVITE", body=a.sdp(5))
    b.answer(b.expect_request("INVITE"), 488, "Not Acceptable Here")
    refused = a.expect_status(488)
    a.write("ACK", one.target, [("Via", sent["Via"]), ("Max-Forwards", "70"), ("From", one.local),
                                ("To", refused.get("to")), ("Call-ID", one.call_id),
                                ("CSeq", f"{one.sequence} ACK"), *(("Route", r) for r in one.routes)])
    b.expect_request("ACK")
    end_call(b, other, a)


def in_dialog_requests(a, b):
    """UPDATE and INFO both ways."""
    one, other, _ = establish(a, b)
    for x, y, dialog in ((a, b, one), (b, a, other)):
        for method, kind in (("UPDATE", "application/sdp"), ("INFO", "application/dtmf-relay")):
            x.in_dialog(dialog, method, body="Signal=1\r\n" if method == "INFO" else x.sdp(7),
                        content_type=kind)
            request = y.expect_request(method)
            same("content type", request.get("content-type"), kind)
            y.answer(request, 200, "OK")
            x.expect_status(200, method)
    end_call(b, other, a)


def cancel(a, b):
    sent = a.request("INVITE", b.uri, body=a.sdp(1))
    invite = b.expect_request("INVITE")
    b.answer(invite, 180, "Ringing", "b1")
    a.expect_status(180)
    a.cancel(b.uri, sent)
    a.expect_status(200, "CANCEL")
    b.answer(b.expect_request("CANCEL"), 200, "OK")
    b.answer(invite, 487, "Request Terminated", "b1")
    a.ack_failure(b.uri, sent, a.expect_status(487))
    b.expect_request("ACK")


def refused(status, reason):
    def scenario(a, b):
        sent = a.request("INVITE", b.uri, body=a.sdp(1))
        invite = b.expect_request("INVITE")
        b.answer(invite, status, reason, "b1")
        b.expect_request("ACK")
        a.ack_failure(b.uri, sent, a.expect_status(status))
    scenario.__name__ = f"refused_with_{status}"
    return scenario


def nobody(a, b):
    """404 for a user that never was."""
    uri = f"sip:nobody-here@{b.domain}"
    sent = a.request("INVITE", uri, body=a.sdp(1))
    a.ack_failure(uri, sent, a.expect_status(404))


def no_such_overlay(a, _):
    uri = "sip:bob@site.nowhere-at-all"
    sent = a.request("INVITE", uri, body=a.sdp(1))
    a.ack_failure(uri, sent, a.expect_status(404))


def outside_dialogs(a, b):
    """MESSAGE and OPTIONS to a phone."""
    a.request("MESSAGE", b.uri, body="hello, grüezi", content_type="text/plain;charset=utf-8")
    message = b.expect_request("MESSAGE")
    same("text", message.body, "hello, grüezi")
    b.answer(message, 200, "OK", "b1")
    a.expect_status(200, "MESSAGE")
    a.request("OPTIONS", b.uri)
    b.answer(b.expect_request("OPTIONS"), 200, "OK", "b1", extra=[("Allow", "INVITE, BYE")])
    same("Allow", a.expect_status(200, "OPTIONS").get("allow"), "INVITE, BYE")


def no_hops_left(a, b):
    sent = a.request("INVITE", b.uri, body=a.sdp(1), max_forwards=0)
    a.ack_failure(b.uri, sent, a.expect_status(483))


def bye_of_nothing(a, b):
    """A BYE that belongs to no dialog: refused on the way, or by the phone."""
    a.request("BYE", b.uri, to_tag=";tag=nobody")
    for _ in range(2):
        for one in (a, b):
            one.poll(0.5)
        for stray in [m for m in b.waiting if m.method == "BYE"]:
            b.waiting.remove(stray)
            b.answer(stray, 481, "Call/Transaction Does Not Exist")
    found = a.expect("a final answer to BYE", lambda m: m.is_response and m.status >= 200)
    if found.status not in (404, 481):
        raise LabError(f"BYE without a dialog: {found.start}")


def big_body(a, b):
    body = a.sdp(1) + "".join(f"a=x-line:{n:04d}-{'x' * 60}\r\n" for n in range(100))
    sent = a.request("INVITE", b.uri, body=body)
    invite = b.expect_request("INVITE")
    same("length", len(invite.body), len(body))
    b.answer(invite, 486, "Busy Here", "b1")
    b.expect_request("ACK")
    a.ack_failure(b.uri, sent, a.expect_status(486))


ALL = [basic, hang_up_by_callee, late_offer, early_media, reliable_provisional, hold_and_resume,
       refused_reinvite, in_dialog_requests, cancel, refused(486, "Busy Here"), refused(603, "Decline"),
       nobody, outside_dialogs, no_hops_left, bye_of_nothing, big_body]
BETWEEN_ISLANDS = [hiding, no_such_overlay]
