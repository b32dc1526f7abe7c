#!/usr/bin/env python3
"""Responses that are malformed or large reach whoever waits for them, at one node, at two, and across overlays."""
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent
import scenarios

ISLANDS = [("east", "127.57.0", 3), ("west", "127.58.0", 2)]
PHONES = "127.59.0"
SHIFT = {"one node": 0, "two nodes": 40, "two overlays": 80}


def line(text):
    """A response with a line more, above its others."""
    return lambda data: data.replace("From:", text + "\r\nFrom:", 1)


def under(text):
    """The same below them."""
    return lambda data: data.replace("\r\n\r\n", f"\r\n{text}\r\n\r\n", 1)


def without_contact(data):
    at = data.index("Contact:")
    return data[:at] + "Contact: <sip:" + data[data.index("\r\n", at):]


# those that make no difference to the dialog: the call comes about
CARRIED = [("Record-Route of rubbish", line('Record-Route: "unterminated <sip:x>')),
           ("Record-Route without an end", line("Record-Route: <sip:127.59.0.200;lr")),
           ("empty Record-Route", line("Record-Route: <>")),
           ("a second To", under("To: <sip:x@example.org>;tag=zz")),
           ("a second Call-ID", under("Call-ID: zz")),
           ("a second CSeq", under("CSeq: 99 BYE")),
           ("a second Content-Type", under("Content-Type: text/plain")),
           ("two Session-Expires", line("Session-Expires: 1800\r\nSession-Expires: 90")),
           ("two Max-Forwards", line("Max-Forwards: 1\r\nMax-Forwards: 2")),
           ("malformed Require", line("Require: ;;,")),
           ("a line that is none", line("Rou;rport"))]


def answered(a, b, change, status=200):
    """The INVITE of a as b got it, and what a hears of b's 200."""
    sent = a.request("INVITE", b.uri, body=a.sdp(1))
    invite = b.expect_request("INVITE")
    plain = b.send_raw
    b.send_raw = lambda data, to=None: plain(change(data), to)
    try:
        b.answer(invite, 200, "OK", "b1", body=b.sdp(2))
    finally:
        del b.send_raw
    return sent, invite, a.expect_status(status)


def end(phone, dialog, other):
    phone.in_dialog(dialog, "BYE")
    other.answer(other.expect_request("BYE"), 200, "OK")
    phone.expect_status(200, "BYE")


def quiet(*phones):
    for phone in phones:
        while phone.poll(0.05):
            pass
        left = [m.start for m in phone.waiting if not m.is_response or m.status > 180]
        phone.waiting.clear()
        if left:
            raise LabError(f"{phone.user} still has {left}")


def no_calls(lab):
    for node in lab.nodes():
        wait_for(f"{node.name}@{node.island.name} has no calls", lambda n=node: n.ctl("calls") == [], 10)


def carried(a, b, change):
    """The call comes about, and either end can end it."""
    for ender in (a, b):
        sent, invite, response = answered(a, b, change)
        scenarios.same("body", response.body, b.sdp(2))
        one, other = a.dialog_of_response(sent, response), b.dialog_of_request(invite, "b1")
        one.routes = [route for route in one.routes if ":" in route]
        a.in_dialog(one, "ACK")
        b.expect_request("ACK")
        if ender is a:
            end(a, one, b)
        else:
            end(b, other, a)
        quiet(a, b)


def no_contact(a, b):
    """A 200 without a Contact that can be read: a proxy forwards it, and b, who hears no ACK, ends the call."""
    _, invite, _ = answered(a, b, without_contact)
    end(b, b.dialog_of_request(invite, "b1"), a)
    a.waiting.clear()
    b.waiting.clear()
    quiet(a, b)


def large(a, b, size):
    """An offer, and then an answer, of so many bytes."""
    more = "".join(f"a=x:{'z' * 94}\r\n" for _ in range(size // 100))
    for offer, answer in ((more, ""), ("", more)):
        sent = a.request("INVITE", b.uri, body=a.sdp(1) + offer)
        invite = b.expect_request("INVITE")
        scenarios.same("the offer", invite.body, a.sdp(1) + offer)
        b.answer(invite, 200, "OK", "b1", body=b.sdp(2) + answer)
        response = a.expect_status(200)
        scenarios.same("the answer", response.body, b.sdp(2) + answer)
        one = a.dialog_of_response(sent, response)
        a.in_dialog(one, "ACK")
        b.expect_request("ACK")
        end(a, one, b)
        quiet(a, b)


def pair(title, number, near, far, transport):
    """alice at @near and bob at @far, by addresses of their own."""
    first = SHIFT[title] + 2 * number
    phones = [Agent(f"{PHONES}.{first + 1}", "alice", near.island.domain, near.sip, transport),
              Agent(f"{PHONES}.{first + 2}", "bob", far.island.domain, far.sip, transport)]
    for phone in phones:
        phone.register()
    return phones


def main():
    tests = Tests()
    begin = time.monotonic()
    with lab_of(tests, ISLANDS) as lab:
        here, there = lab.islands[0].others()[:2]
        abroad = lab.islands[1].others()[0]
        for title, near, far in (("one node", here, here), ("two nodes", here, there), ("two overlays", here, abroad)):
            for number, transport in enumerate(("udp", "tcp")):
                a, b = pair(title, number, near, far, transport)
                for what, change in CARRIED:
                    tests.run(f"{title}, {transport}: {what}", carried, a, b, change)
                    a.waiting.clear()
                    b.waiting.clear()
                if far is not abroad:
                    tests.run(f"{title}, {transport}: no Contact", no_contact, a, b)
                if transport == "tcp":
                    for size in (40000, 62000):
                        tests.run(f"{title}: {size} bytes", large, a, b, size)
                tests.run(f"{title}, {transport}: no call is left", no_calls, lab)
                for phone in (a, b):
                    phone.register(0)
                    phone.close()
    print(f"{time.monotonic() - begin:.0f} s")
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
