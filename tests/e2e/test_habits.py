#!/usr/bin/env python3
"""What real phones do inside a call (baresip, Linphone, Twinkle), by scripted ends: names and places that the gateway translates."""
import re
import sys

from common import Tests, lab_of
from agent import Agent, end_call, establish
from lab import LabError

PHONES = "127.81.41"
ISLANDS = [("east", "127.81.40", 2), ("west", "127.81.42", 2)]
FIRST = 7000  # where an end begins to count: the other leg's numbers are others


def event_id(message):
    found = re.search(r";\s*id=([^;\s]+)", message.get("event"))
    return found.group(1) if found else ""


def same_id(what, message, wanted):
    if event_id(message) != str(wanted):
        raise LabError(f"{what}: Event {message.get('event')!r}, id {wanted} expected")


def refer(one, dialog, other):
    """A REFER that is accepted: (CSeq as it was sent, CSeq as it came)."""
    one.in_dialog(dialog, "REFER", extra=[("Refer-To", f"<sip:carol@{one.domain}>")])
    request = other.expect_request("REFER")
    other.answer(request, 202, "Accepted")
    one.expect_status(202, "REFER")
    return dialog.sequence, request.sequence


def notify(other, far, number, one, state="active", parameter=""):
    """A NOTIFY of that REFER, as the referrer gets it."""
    other.in_dialog(far, "NOTIFY", body="SIP/2.0 100 Trying\r\n", content_type="message/sipfrag",
                    extra=[("Event", f"refer;id={number}{parameter}"), ("Subscription-State", state)])
    request = one.expect_request("NOTIFY")
    one.answer(request, 200, "OK")
    other.expect_status(200, "NOTIFY")
    return request


def refer_is_named(one, dialog, other, far):
    """Event names a REFER by the CSeq that its reader knows: RFC 3515 section 2.4.6."""
    dialog.sequence = FIRST
    for _ in range(2):
        sent, came = refer(one, dialog, other)
        if sent == came:
            raise LabError(f"both legs count alike ({sent}): this shows nothing")
        same_id("NOTIFY", notify(other, far, came, one), sent)
        one.in_dialog(dialog, "SUBSCRIBE", extra=[("Event", f"refer;id={sent}"), ("Expires", "60")])
        request = other.expect_request("SUBSCRIBE")
        same_id("SUBSCRIBE", request, came)
        other.answer(request, 200, "OK", extra=[("Expires", "60")])
        one.expect_status(200, "SUBSCRIBE")
        last = notify(other, far, came, one, "terminated;reason=noresource", ";x=y")
        same_id("last NOTIFY", last, sent)
        if not last.get("event").endswith(";x=y"):
            raise LabError(f"other parameters of Event: {last.get('event')}")
    same_id("an id of no REFER", notify(other, far, 987654, one), 987654)


def contact_is_added(one, dialog, other, far):
    """A NOTIFY that came without Contact has the gateway's: RFC 3265 section 7.1."""
    _, came = refer(one, dialog, other)
    far.sequence += 1
    other.write("NOTIFY", far.target,
                [("Via", other._via()), ("Max-Forwards", "70"), ("From", far.local), ("To", far.remote),
                 ("Call-ID", far.call_id), ("CSeq", f"{far.sequence} NOTIFY"), ("Event", f"refer;id={came}"),
                 ("Subscription-State", "terminated;reason=noresource"), *(("Route", r) for r in far.routes)],
                "SIP/2.0 200 OK\r\n", "message/sipfrag")
    request = one.expect_request("NOTIFY")
    if [c.split("@")[0] for c in request.all("contact")] != ["<" + dialog.target.split("@")[0]]:
        raise LabError(f"Contact {request.all('contact')}, {dialog.target} expected")
    one.answer(request, 200, "OK")
    other.expect_status(200, "NOTIFY")


def in_a_call(deed, a, b, is_caller):
    """Does it in a call from a to b, to one end or the other."""
    one, other, _ = establish(a, b)
    if is_caller:
        deed(a, one, b, other)
    else:
        deed(b, other, a, one)
    end_call(a, one, b)
    for phone in (a, b):
        left = [m.start for m in phone.waiting if m.status not in (100, 180)]
        if left:
            raise LabError(f"{phone.user}: {left} is left")


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        east, west = lab.islands
        for number, transport in enumerate(("udp", "tcp")):
            a = Agent(f"{PHONES}.{2 * number + 1}", "alice", east.domain, east.others()[0].sip, transport)
            b = Agent(f"{PHONES}.{2 * number + 2}", "bob", west.domain, west.others()[0].sip, transport)
            for phone in (a, b):
                phone.register()
            for deed in (refer_is_named, contact_is_added):
                for is_caller in (True, False):
                    who = "caller" if is_caller else "callee"
                    tests.run(f"{transport}: {deed.__name__}, REFER of the {who}", in_a_call, deed, a, b, is_caller)
                    a.waiting.clear()
                    b.waiting.clear()
            for phone in (a, b):
                phone.register(0)
                phone.close()
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
