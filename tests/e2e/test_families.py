#!/usr/bin/env python3
"""One ring of IPv4 and IPv6 overlays: calls in both directions, hung up from both ends, refreshed, by UDP and TCP.

It runs in a network namespace of its own, whose loopback interface gets the IPv6 addresses.
"""
import socket
import sys

from common import Tests, lab_of
from lab import LabError
from namespace import add_addresses, run_inside
from agent import Agent, end_call, establish

V4, V6 = "127.80.40", "fd00:77::"
PHONES4, PHONES6 = "127.80.41.", "fd00:77::1:"
ISLANDS = [("four", V4, 2), ("six", V6, 2)]


def phones(lab, transport):
    """(a phone of the IPv4 overlay, one of the IPv6 overlay), each at a node that is no gateway."""
    four, six = lab.islands
    one = Agent(f"{PHONES4}1", f"a-{transport}", four.domain, four.others()[0].sip, transport, 0)
    other = Agent(f"{PHONES6}1", f"b-{transport}", six.domain, six.others()[0].sip, transport, 0)
    one.register()
    other.register()
    return one, other


def refresh(one, dialog, other, other_dialog):
    """A re-INVITE from one end, an UPDATE from the other."""
    sent = one.in_dialog(dialog, "INVITE", body=one.sdp(3))
    other.answer(other.expect_request("INVITE"), 200, "OK", body=other.sdp(4))
    one.expect_status(200)
    one.in_dialog(dialog, "ACK", sequence=int(sent["CSeq"].split()[0]))
    other.expect_request("ACK")
    other.in_dialog(other_dialog, "UPDATE")
    one.answer(one.expect_request("UPDATE"), 200, "OK")
    other.expect_status(200, "UPDATE")


def call(caller, callee, is_caller_first):
    dialog, far, _ = establish(caller, callee)
    refresh(caller, dialog, callee, far)
    if is_caller_first:
        end_call(caller, dialog, callee)
    else:
        end_call(callee, far, caller)


def cancel(caller, callee):
    sent = caller.request("INVITE", callee.uri, body=caller.sdp())
    invite = callee.expect_request("INVITE")
    callee.answer(invite, 180, "Ringing", "c")
    caller.expect_status(180)
    caller.cancel(callee.uri, sent)
    callee.answer(callee.expect_request("CANCEL"), 200, "OK")
    callee.answer(invite, 487, "Request Terminated", "c")
    callee.expect_request("ACK")
    caller.ack_failure(callee.uri, sent, caller.expect_status(487))


def all_calls(tests, lab):
    for transport in ("udp", "tcp"):
        four, six = phones(lab, transport)
        for name, caller, callee in (("IPv4 to IPv6", four, six), ("IPv6 to IPv4", six, four)):
            for is_caller_first in (True, False):
                who = "caller" if is_caller_first else "callee"
                tests.run(f"{name} by {transport}, the {who} hangs up", call, caller, callee, is_caller_first)
            tests.run(f"{name} by {transport}, cancelled", cancel, caller, callee)
        four.close()
        six.close()


def of_the_node_itself(lab, transport):
    """A program on the machine of a node registers a phone that listens at loopback: its packets come from the node's own address."""
    four, six = lab.islands
    node = six.others()[0]
    caller = Agent(f"{PHONES4}2", f"c-{transport}", four.domain, four.others()[0].sip, transport, 0)
    caller.register()
    registrar = Agent(node.ip, f"d-{transport}", six.domain, node.sip, transport, 0)
    door = socket.socket(socket.AF_INET6, socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM)
    door.bind(("::1", 0))
    contact = f"sip:d@[::1]:{door.getsockname()[1]};transport={transport}"
    registrar.register(contact=f"<{contact}>")
    if transport == "tcp":
        door.listen()
    registrar.close()  # a connection would be used while it is there
    caller.request("MESSAGE", registrar.uri, body="here", content_type="text/plain")
    door.settimeout(8)
    one = door.accept()[0] if transport == "tcp" else door
    one.settimeout(8)
    request = one.recv(65536).decode()
    if not request.startswith(f"MESSAGE {contact} "):
        raise LabError(request)
    for each in {one, door}:
        each.close()
    caller.close()


def main():
    run_inside()
    add_addresses([f"{V6}{i}" for i in (1, 2)] + [f"{PHONES6}{i}" for i in range(1, 9)])
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        all_calls(tests, lab)
        for transport in ("udp", "tcp"):
            tests.run(f"a phone of the node's own machine, {transport}", of_the_node_itself, lab, transport)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
