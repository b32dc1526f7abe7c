#!/usr/bin/env python3
"""Who opens many connections locks nobody out but himself, and none that somebody needs is closed.

Idle connections by the hundred to the phones' port while another overlay's gateway dies, one address over its limit, silence on connections with and without a binding or a dialog.
"""
import contextlib
import resource
import select
import socket
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from namespace import run_inside
from agent import Agent, Message, end_call, establish
from test_transport import Line, metrics, request

ISLANDS = [("east", "127.80.60", 1), ("west", "127.80.61", 2)]
PHONES = "127.80.62"
IDLE_S = 32
SIP = f"connection-idle = {IDLE_S}"
ADDRESSES, EACH = 11, 100
PER_SOURCE = 256


def is_closed(line):
    """Has the far end closed it?  What it sent before is read and forgotten."""
    while select.select([line.socket], [], [], 0)[0]:
        try:
            if not line.socket.recv(65536):
                return True
        except ConnectionError:
            return True
    return False


def options(line, uri="sip:site.east"):
    line.send(request("OPTIONS", uri, f"SIP/2.0/TCP {line.me}"))


def opened(stack, node, address, count):
    """@count connections from one address, an OPTIONS on each; those that were refused are in it."""
    lines = []
    for _ in range(count):
        line = Line(node, address, "tcp")
        stack.callback(line.close)
        with contextlib.suppress(ConnectionError):
            options(line)
        lines.append(line)
    return lines


def value_of(node, name):
    return next(float(line.split()[-1]) for line in metrics(node).splitlines() if line.startswith(name))


def call_within(caller, callee, seconds):
    """A call that works, dialled until it does."""
    end = time.monotonic() + seconds
    while True:
        for phone in (caller, callee):  # what is left of an earlier attempt is no part of this one
            while phone.poll(0.2):
                pass
            phone.waiting.clear()
        try:
            dialog, _, _ = establish(caller, callee)
            end_call(caller, dialog, callee)
            return
        except LabError:
            if time.monotonic() > end:
                raise


def locked_out(lab, caller, callee):
    """Connections of eleven addresses, each with its OPTIONS; the far gateway dies; calls by its successor, both ways."""
    node, west = lab.islands[0].nodes[0], lab.islands[1]
    with contextlib.ExitStack() as stack:
        for i in range(ADDRESSES):
            opened(stack, node, f"{PHONES}.{100 + i}", EACH)
        wait_for("the limit of phones is reached", lambda: value_of(node, 'ringway_sip_connections{side="phones"}') >= 1000, 20)
        west.gateway().kill()
        lab.wait_gateway(west)
        lab.wait_resolves(node, callee.uri)
        call_within(callee, caller, 20)  # over a connection that the new gateway makes
        call_within(caller, callee, 20)
        if value_of(node, 'ringway_sip_connections_refused_total{side="gateways"}'):
            raise LabError("a gateway was refused")


def one_source(node):
    """Its own limit is all that one address reaches; another address is served."""
    with contextlib.ExitStack() as stack:
        lines = opened(stack, node, f"{PHONES}.60", PER_SOURCE + 20)
        wait_for("those over the limit are closed", lambda: all(is_closed(line) for line in lines[-20:]), 10)
        left = sum(not is_closed(line) for line in lines)
        if left != PER_SOURCE:
            raise LabError(f"{left} of one address are open, not {PER_SOURCE}")
        other = Line(node, f"{PHONES}.61", "tcp")
        stack.callback(other.close)
        options(other)
        if not other.first_line(5).startswith("SIP/2.0 200"):
            raise LabError("another address is not served")


def room_again(node):
    """Closed connections are forgotten: the address has its room back."""
    def question():
        line = Line(node, f"{PHONES}.60", "tcp")
        try:
            options(line)
            return line.first_line(1).startswith("SIP/2.0 200")
        except ConnectionError:
            return False
        finally:
            line.close()
    wait_for("the address is served again", question, 10)


def idle(stack, node, caller):
    """Connections of before: each said something, then nothing.  Returns those that nobody needs."""
    only_options = opened(stack, node, f"{PHONES}.70", 1)[0]
    bogus = Line(node, f"{PHONES}.71", "tcp")
    refused = Line(node, f"{PHONES}.72", "tcp")
    for line, contact in ((bogus, "Contact: *\r\n"), (refused, "Expires: 1\r\n")):
        stack.callback(line.close)
        text = request("REGISTER", f"sip:{caller.domain}", f"SIP/2.0/TCP {line.me}", extra=contact)
        line.send(text.replace(f"To: <sip:{caller.domain}>", f"To: <sip:a@{caller.domain}>"))
        found = line.first_line(5)
        if not found.startswith("SIP/2.0 4"):
            raise LabError(f"the REGISTER was to be refused, got {found!r}")
    return {"OPTIONS only": only_options, "Contact: *, with another": bogus, "too brief": refused}


def answering(stack, caller, user, ip, node):
    """A call to a phone that registers by UDP and gets a long INVITE by TCP; it rings over a connection of its own, as Linphone does.

    Returns the agent on that connection, the INVITE as it came, and as the caller sent it."""
    phone = Agent(ip, user, caller.domain, node.sip)
    server = stack.enter_context(socket.create_server((ip, phone.port)))
    stack.callback(phone.close)
    phone.register()
    sent = caller.request("INVITE", phone.uri, body=caller.sdp() + "a=x:" + "y" * 1300 + "\r\n")
    server.settimeout(5)
    stream = stack.enter_context(server.accept()[0])
    stream.settimeout(5)
    data = b""
    while not data.endswith(b"yy\r\n"):
        data += stream.recv(65536)
    invite = Message(data.decode())
    own = Agent(ip, user, caller.domain, node.sip, "tcp")
    stack.callback(own.close)
    own.answer(invite, 180, "Ringing", "t")
    caller.expect_status(180)
    return own, invite, sent


def answer(caller, own, invite, sent):
    """The phone answers over its connection; returns the caller's dialog."""
    own.answer(invite, 200, "OK", "t", body=own.sdp())
    dialog = caller.dialog_of_response(sent, caller.expect_status(200))
    caller.in_dialog(dialog, "ACK")
    own.expect_request("ACK")
    return dialog


def rings_and_talks(caller, own, invite, sent):
    """It has rung for long."""
    end_call(caller, answer(caller, own, invite, sent), own)


def main():
    run_inside()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    tests = Tests()
    with contextlib.ExitStack() as stack, lab_of(tests, ISLANDS, sip_extra=SIP) as lab:
        east, west = lab.islands
        node = east.nodes[0]
        begin = time.monotonic()
        bound = Agent(f"{PHONES}.1", "bound", east.domain, node.sip, "tcp")
        unbound = Agent(f"{PHONES}.2", "unbound", east.domain, node.sip, "tcp")
        caller = Agent(f"{PHONES}.3", "caller", east.domain, node.sip)
        far = Agent(f"{PHONES}.4", "far", west.domain, west.others()[0].sip)
        for phone in (bound, caller, far):
            phone.register()
        dialog, _, _ = establish(unbound, far)
        near, _, _ = establish(caller, bound)
        rung = answering(stack, caller, "rung", f"{PHONES}.5", node)
        talker, *heard = answering(stack, caller, "talker", f"{PHONES}.6", node)
        talk = answer(caller, talker, *heard)
        unneeded = idle(stack, node, caller)
        tests.run("one address over its limit", one_source, node)
        tests.run("its room is given back", room_again, node)
        tests.run("a dead gateway's successor is let in past 1,100 idle phones", locked_out, lab, caller, far)
        left = max(0.0, IDLE_S + 10 - (time.monotonic() - begin))
        for name, line in unneeded.items():
            tests.run(f"an idle connection is closed: {name}", wait_for, "it is closed", lambda one=line: is_closed(one), left + 5)
        tests.run("a call over an idle connection without a binding is hung up", end_call, unbound, dialog, far)
        tests.run("a call over a bound connection is hung up", end_call, caller, near, bound)
        tests.run("a phone that only sent a 180 over its connection answers over it", rings_and_talks, caller, *rung)
        tests.run("a call answered over a connection of the callee's is hung up", end_call, caller, talk, talker)
        tests.run("a phone is called over its idle connection", call_within, caller, bound, 1)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
