#!/usr/bin/env python3
"""Calls at the limits of what is carried outlive their gateway; one that is too large to be copied is shown."""
import sys
import time

from common import Tests, lab_of
from lab import wait_for
from survive import (NO_UPDATE, UPDATE, Call, copied, gateway_of, hang_up, hold, no_calls, phones_at, quiet, restored,
                     spare_nodes, take_invite, take_update)
import scenarios

ISLANDS = [("east", "127.57.0", 3), ("west", "127.58.0", 3)]
PHONES = "127.59.0"


class Large(Call):
    """One with long URIs, both ends behind @count proxies that are themselves, and @early early dialogs before."""

    def __init__(self, a, b, count, early, allow, tag):
        self.phones = (a, b)
        sent = a.request("INVITE", b.uri + padding(2000), body=a.sdp(1), from_uri=a.uri + padding(2000),
                         extra=[*allow, *(("Record-Route", route) for route in proxies(a, count))])
        invite = b.expect_request("INVITE")
        for number in range(early):
            b.answer(invite, 183, "Progress", f"{tag}e{number}")
            a.expect_status(183)
        plain = b.send_raw
        b.send_raw = lambda data, to=None: plain(under_proxies(data, proxies(b, count)), to)
        try:
            b.answer(invite, 200, "OK", tag, body=b.sdp(2), extra=allow)
        finally:
            del b.send_raw
        one, other = a.dialog_of_response(sent, a.expect_status(200)), b.dialog_of_request(invite, tag)
        one.routes = one.routes[count:]
        self.dialog = {a: one, b: other}
        a.in_dialog(one, "ACK")
        b.expect_request("ACK")


def padding(size):
    return ";x=" + "y" * (size - 3)


def proxies(phone, count):
    return [f"<sip:p{n}@{phone.ip}:{phone.port};transport=tcp;lr;x={'z' * 140}>" for n in range(count)]


def under_proxies(data, routes):
    """A response as it comes through proxies: theirs stand above the Record-Routes of those before them."""
    at = data.index("Record-Route:" if "Record-Route:" in data else "From:")
    return data[:at] + "".join(f"Record-Route: {route}\r\n" for route in routes) + data[at:]


def with_sizes(test):
    """Both phones have a Contact of @contact_bytes meanwhile, and session descriptions of @sdp_bytes more."""
    def run(lab, a, b, *arguments, contact_bytes=2040, sdp_bytes=0, **options):
        was = {phone: phone.contact for phone in (a, b)}
        more = "".join(f"a=x:{'z' * 94}\r\n" for _ in range(sdp_bytes // 100))
        try:
            for phone in (a, b):
                phone.contact += padding(contact_bytes - len(phone.contact))
                if more:
                    phone.sdp = lambda n, body=type(phone).sdp, of=phone: body(of, n) + more
            test(lab, a, b, *arguments, **options)
        finally:
            for phone, contact in was.items():
                phone.contact = contact
                vars(phone).pop("sdp", None)
    return run


@restored
@with_sizes
def large(lab, a, b, island, count, early, allow=UPDATE):
    """Such a call is copied; each end hears of the next gateway, and may ask anew and hang up."""
    calls = [Large(a, b, count, early, allow, f"r{number}") for number in range(2)]
    for one in lab.islands:
        wait_for(f"the calls are copied in {one.name}", lambda i=one: copied(i, 2), 20)
        for line in gateway_of(one).ctl("calls"):
            scenarios.same("is_replicated", line["is_replicated"], True)
    gateway_of(island).kill()
    near = a if a.domain == island.domain else b
    for call in calls:
        if allow is UPDATE:
            take_update(near, call.dialog[near])
        else:
            take_invite(near, call.dialog[near], call.other(near).sdp(1 if near is b else 2))
    hold(calls[0], a)
    hold(calls[1], b)
    for call, phone in zip(calls, (a, b)):
        hang_up(call, phone)
    quiet(a, b)
    no_calls(lab)


@with_sizes
def not_replicated(lab, a, b):
    """A call whose record is over the limit is carried, counted, and shown until it ends."""
    call = Call(a, b, UPDATE, 7)
    gateway = gateway_of(lab.islands[0])
    wait_for("it is counted", lambda: gateway.ctl("status")["replicas"]["not_replicated"] == 1, 10)
    scenarios.same("election's", gateway.ctl("election")["replicas"]["not_replicated"], 1)
    scenarios.same("is_replicated", [line["is_replicated"] for line in gateway.ctl("calls")], [False])
    hang_up(call, b)
    quiet(a, b)
    no_calls(lab)
    wait_for("none is counted", lambda: gateway.ctl("status")["replicas"]["not_replicated"] == 0, 10)


def main():
    tests = Tests()
    begin = time.monotonic()
    with lab_of(tests, ISLANDS, hello_ms=500) as lab:
        east, west = lab.islands
        a, b = phones_at(lab, spare_nodes(lab), PHONES, transport="tcp")
        tests.run("a call too large to be copied", not_replicated, lab, a, b, contact_bytes=100, sdp_bytes=63900)
        tests.run("a call at the limits", large, lab, a, b, east, 41, 32, sdp_bytes=12500)
        tests.run("a call at the limits, without UPDATE", large, lab, a, b, west, 41, 2, NO_UPDATE, sdp_bytes=30000)
        for phone in (a, b):
            phone.close()
    print(f"{time.monotonic() - begin:.0f} s")
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
