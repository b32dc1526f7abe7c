#!/usr/bin/env python3
"""What a node remembers of requests that it has answered: the same response to a retransmission, retransmissions until the ACK, and
above the limit finals that are sent once and forgotten."""
import re
import select
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent, Message, end_call, establish
from test_transport import Line, metrics, request

ISLANDS = [("east", "127.80.53", 1), ("west", "127.80.54", 1)]
PHONES = "127.80.55"
LIMIT = 90  # of finals without an ACK; more than FINISHED_PER_DESTINATION


def gauge(node, name):
    found = re.search(rf"^{name} (\S+)$", metrics(node), re.M)
    return float(found.group(1)) if found else -1


def drain(line, within):
    """All messages of a UDP line that come within a time."""
    found, end = [], time.monotonic() + within
    while True:
        left = end - time.monotonic()
        if left <= 0 or not select.select([line.socket], [], [], left)[0]:
            return found
        found.append(Message(line.socket.recv(65536).decode("latin-1")))


def finals(messages, method="INVITE"):
    return [m for m in messages if m.is_response and m.status >= 200 and m.method == method]


def refuse(line, names, to_tag="", method="INVITE"):
    line.send(request(method, "sip:nobody@site.east", f"SIP/2.0/{line.transport.upper()} {line.me}", names, to_tag=to_tag))


def first_final(line, names):
    refuse(line, names)
    found = [m for m in finals(drain(line, 0.3)) if m.get("call-id") == names]
    if not found:
        raise LabError("an INVITE to nobody has no final response")
    return found[0]


def until_known(node):
    """Whether site.east is another overlay's name is known: until then an absent user waits for his 404."""
    line = Line(node, f"{PHONES}.7", "udp")
    refuse(line, "known", method="MESSAGE")
    end = time.monotonic() + 10
    while not finals(drain(line, 0.05), "MESSAGE"):
        if time.monotonic() > end:
            raise LabError("no final response in the first 10 s")
    line.close()


def acknowledge(line, names, final):
    refuse(line, names, f";tag={final.tag('to')}", "ACK")


def until_acknowledged(node):
    """Retransmitted at 0.5 and 1.5 s, the same bytes; not once the ACK has come; a late INVITE is not a new one."""
    line = Line(node, f"{PHONES}.1", "udp")
    final = first_final(line, "one")
    again = finals(drain(line, 1.6))
    if len(again) < 2 or any(m.headers != final.headers for m in again):
        raise LabError(f"expected the response twice more, got {[m.start for m in again]}")
    acknowledge(line, "one", final)
    if finals(drain(line, 2.2)):
        raise LabError("it is retransmitted after its ACK")
    refuse(line, "one")
    if drain(line, 0.3):
        raise LabError("an INVITE that comes after its ACK is served")
    line.close()


def same_response(node):
    """A retransmitted request hears the same response, whatever the method."""
    line = Line(node, f"{PHONES}.2", "udp")
    for method, uri in (("OPTIONS", "sip:site.east"), ("MESSAGE", "sip:nobody@site.east"), ("REGISTER", "sip:site.east"), ("INVITE", "sip:nobody@site.east")):
        text = request(method, uri, f"SIP/2.0/UDP {line.me}", f"same{method}", extra="Expires: 60\r\n" if method == "REGISTER" else "")
        if method == "REGISTER":
            text = text.replace("To: <sip:site.east>", "To: <sip:a@site.east>")
        heard = []
        for _ in range(3):
            line.send(text)
            heard += finals(drain(line, 0.3), method)[:1]
        if len(heard) != 3 or any(m.headers != heard[0].headers for m in heard):
            raise LabError(f"{method}: {[(m.start, m.get('to')) for m in heard]}")
    refuse(line, "sameINVITE", ";tag=x", "ACK")
    line.close()


def unacknowledged(node):
    return gauge(node, "ringway_sip_unacknowledged")


def per_destination(node, spare):
    """One address that acknowledges nothing is not sent more than its share again."""
    line = Line(node, f"{PHONES}.3", "udp")
    for i in range(LIMIT - spare):
        refuse(line, f"dest{i}")
    first = finals(drain(line, 0.4))
    again = finals(drain(line, 0.6))
    if len(first) < LIMIT - spare or len(again) > 64:
        raise LabError(f"{len(first)} responses, {len(again)} retransmitted")
    return line


def above_the_limit(node, held):
    """More than the limit, from many addresses: each is answered, the same way again, its ACK is discarded; nothing is retransmitted."""
    lines = [Line(node, f"{PHONES}.{i}", "udp") for i in range(10, 30)]
    heard = {}
    for k in range(3 * LIMIT):
        line = lines[k % len(lines)]
        refuse(line, f"many{k}")
        heard[k] = line
    wait_for("the count is at its limit", lambda: 0 < unacknowledged(node) <= LIMIT, 5)
    for line in lines:
        drain(line, 0.05)
    last = 3 * LIMIT - 1
    line = heard[last]
    final, second = first_final(line, f"many{last}"), first_final(line, f"many{last}")
    if final.headers != second.headers:
        raise LabError(f"two responses to one request: {final.get('to')} and {second.get('to')}")
    if [m for m in finals(drain(line, 1.2)) if m.get("call-id") == f"many{last}"]:
        raise LabError("finals above the limit are retransmitted")
    acknowledge(line, f"many{last}", final)
    refuse(line, f"many{last}", "", "CANCEL")
    for k, one in heard.items():
        refuse(one, f"many{k}", ";tag=x", "ACK")
    for i in range(LIMIT):
        refuse(held, f"dest{i}", ";tag=x", "ACK")
    for one in lines:
        one.close()
    held.close()
    wait_for("nothing waits for an ACK", lambda: unacknowledged(node) == 0, 5)


def over_connections(node):
    """The same over TCP: more INVITEs than the limit, their ACKs late."""
    line = Line(node, f"{PHONES}.5", "tcp")
    for i in range(2 * LIMIT):
        refuse(line, f"tcp{i}")
    answered = wait_for("the responses", lambda: line.answer(3).count("SIP/2.0 404"), 5)
    wait_for("the count is at its limit", lambda: 0 < unacknowledged(node) <= LIMIT, 5)
    for i in range(2 * LIMIT):
        refuse(line, f"tcp{i}", ";tag=x", "ACK")
    wait_for("nothing waits for an ACK", lambda: unacknowledged(node) == 0, 5)
    line.close()
    if not answered:
        raise LabError("no response")


def call(caller, callee):
    dialog, _, _ = establish(caller, callee)
    end_call(caller, dialog, callee)


def busy(caller, callee):
    """A refusal that comes from a phone of the other overlay, unacknowledged for a while."""
    sent = caller.request("INVITE", callee.uri, body=caller.sdp())
    invite = callee.expect_request("INVITE")
    callee.answer(invite, 486, "Busy Here", "busy")
    final = caller.expect_status(486)
    caller.expect("the response again", lambda m: m.is_response and m.status == 486, 3)
    caller.ack_failure(callee.uri, sent, final)


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS, sip_extra=f"max-unacknowledged = {LIMIT}\n  max-requests-per-source = 100000") as lab:
        node = lab.islands[0].nodes[0]
        caller = Agent(f"{PHONES}.8", "caller", "site.east", node.sip)
        callee = Agent(f"{PHONES}.9", "callee", "site.west", lab.islands[1].nodes[0].sip)
        caller.register()
        callee.register()
        tests.run("an absent user, right after the start", until_known, node)
        tests.run("a final response is retransmitted until its ACK", until_acknowledged, node)
        tests.run("a retransmission hears the same response", same_response, node)
        tests.run("busy, from the other overlay", busy, caller, callee)
        held = []
        tests.run("a destination's share", lambda: held.append(per_destination(node, 10)))
        tests.run("a call meanwhile", call, caller, callee)
        tests.run("above the limit", lambda: above_the_limit(node, held[0]))
        tests.run("over connections", over_connections, node)
        tests.run("a call after it", call, caller, callee)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
