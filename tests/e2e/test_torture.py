#!/usr/bin/env python3
"""The torture messages of RFC 4475 and RFC 5118 against a running node.

torture/expected.tsv says for each message what may come back.  Before and after each an OPTIONS is
answered.  What the node passes on to a phone must be well formed again.
"""
import os
import random
import re
import select
import socket
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent

ISLANDS = [("example.com", "127.80.10", 1)]
SENDER, PHONE = "127.80.11.9", "127.80.11.1"
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torture")
WAIT_S, WAIT_FINAL_S = 0.4, 5
START_LINE = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+ [^ <>\"\t]+ SIP/2\.0")


def expectations():
    """[(name, port in Via, {transport: {what may come}})]"""
    rows = []
    with open(os.path.join(FOLDER, "expected.tsv"), encoding="ascii") as table:
        for line in table:
            if line.strip() and not line.startswith("#"):
                name, port, udp, tcp = line.split()[:4]
                rows.append((name, int(port), {"udp": set(udp.split(",")),
                                               "tcp": set((udp if tcp == "=" else tcp).split(","))}))
    return rows


def read(name, transport):
    """The message, its topmost Via with the transport it is sent by: that is where answers go."""
    with open(os.path.join(FOLDER, name + ".dat"), "rb") as source:
        return re.sub(rb"(SIP\s*/\s*\d\.0\s*/\s*)\w+", rb"\1" + transport.upper().encode(), source.read(), count=1)


def start_line(data):
    return data.split(b"\r\n")[0].decode("utf-8", "replace")


def is_final(lines):
    return any(re.match(r"SIP/2\.0 [2-6]\d\d", line) for line in lines)


def call_id(data):
    found = re.search(rb"^(?:call-id|i)\s*:\s*([^\s]+)", data, re.M | re.I)
    return found and found.group(1)


def ack_of(data, answer):
    """Ends the retransmissions of the final response."""
    lines = [b"ACK " + data.lstrip().split(b" ")[1] + b" SIP/2.0"]
    for name in (b"via", b"from", b"to", b"call-id", b"cseq"):
        found = re.search(rb"^" + name + rb"\s*:[^\r]*", answer, re.M | re.I)
        lines.append(found.group(0) if found else b"X: x")
    lines[-1] = re.sub(rb"INVITE", b"ACK", lines[-1])
    return b"\r\n".join(lines + [b"Max-Forwards: 70", b"Content-Length: 0", b"", b""])


class Sender:
    """All ports that a Via may name, one address.  Answers to UDP go there (RFC 3261 section 18.2.2)."""

    def __init__(self, node, ports):
        host, port = node.sip.split(":")
        self.far = (host, int(port))
        self.sockets = {}
        for number in sorted({0, *ports}):
            self.sockets[number] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sockets[number].bind((SENDER, number))

    def close(self):
        for one in self.sockets.values():
            one.close()

    def ping(self):
        """Does the node answer an OPTIONS?"""
        ours = self.sockets[0]
        for _ in range(3):
            tag = f"{random.getrandbits(48):x}"
            ours.sendto((f"OPTIONS sip:{self.far[0]}:{self.far[1]} SIP/2.0\r\n"
                         f"Via: SIP/2.0/UDP {SENDER}:{ours.getsockname()[1]};branch=z9hG4bK{tag};rport\r\n"
                         f"Max-Forwards: 70\r\nFrom: <sip:ping@example.com>;tag={tag}\r\n"
                         f"To: <sip:{self.far[0]}>\r\nCall-ID: {tag}\r\nCSeq: 1 OPTIONS\r\n"
                         "Content-Length: 0\r\n\r\n").encode(), self.far)
            while select.select([ours], [], [], 1)[0]:
                answer = ours.recv(65536).decode("utf-8", "replace")
                if tag in answer:
                    return answer.startswith("SIP/2.0 200")
        return False

    def udp(self, data, port, look):
        """Send; the start lines of what comes back for it."""
        ours = self.sockets[port]
        ours.sendto(data, self.far)
        end, lines, mark = time.monotonic() + WAIT_S, [], call_id(data)
        while time.monotonic() < end and not is_final(lines):
            look()
            for one in select.select(list(self.sockets.values()), [], [], 0.02)[0]:
                answer = one.recv(65536)
                if mark and call_id(answer) != mark:
                    continue  # late, for another message
                lines.append(start_line(answer))
                end = time.monotonic() + WAIT_FINAL_S
        if data.lstrip().startswith(b"INVITE") and is_final(lines):
            ours.sendto(ack_of(data, answer), self.far)
        return lines

    def tcp(self, data, _port, look):
        """The same on a connection of its own; "close" stands for its end."""
        lines, stream = [], b""
        with socket.create_connection(self.far, 5, source_address=(SENDER, 0)) as one:
            one.sendall(data)
            end = time.monotonic() + WAIT_S
            while time.monotonic() < end and not is_final(lines):
                look()
                if not select.select([one], [], [], 0.02)[0]:
                    continue
                try:
                    got = one.recv(65536)
                except ConnectionError:
                    got = b""
                stream += got
                lines = [m.decode("utf-8", "replace") for m in
                         re.findall(rb"^SIP/2\.0 \d{3}[^\r\n]*", stream, re.M)]
                if lines:
                    end = max(end, time.monotonic() + WAIT_FINAL_S)
                if not got:
                    return lines + ["close"]
        return lines


def outcome(lines):
    """What came, in the words of the table."""
    finals = {line.split()[1] for line in lines if re.match(r"SIP/2\.0 [2-6]\d\d", line)}
    return finals or ({"close"} if "close" in lines else {"drop"})


def look_at_phone(phone):
    """What was passed on is well formed, and is answered so that it ends."""
    while phone.poll(0):
        pass
    for message in phone.waiting:
        if message.is_response or message.method == "ACK":
            continue
        if not START_LINE.fullmatch(message.start):
            raise LabError(f"the node passed on {message.start!r}")
        phone.answer(message, 486, "Busy Here", "t1")
    phone.waiting.clear()


def one(sender, phone, transport, name, port, accepted):
    """One message: the node lives before and after, and answers it as it should."""
    if not sender.ping():
        raise LabError("no answer to an OPTIONS before it")

    lines = getattr(sender, transport)(read(name, transport), port, lambda: look_at_phone(phone))
    if read(name, transport).startswith(b"REGISTER"):  # its contact is behind the sender's flow, and would ring there
        phone.register(0, contact="*")
        phone.register()
    if not sender.ping():
        raise LabError("no answer to an OPTIONS after it")
    if not outcome(lines) <= accepted:
        raise LabError(f"expected {sorted(accepted)}, came {lines or 'nothing'}")
    if os.environ.get("SHOW"):
        print("    ", lines)


def all_of(tests, node, transport):
    rows = expectations()
    sender = Sender(node, [port for _, port, _ in rows])
    phone = Agent(PHONE, "user", "example.com", node.sip)
    try:
        phone.register()
        for name, port, accepted in rows:
            tests.run(f"{name}, {transport}", one, sender, phone, transport, name, port,
                      accepted[transport])
    finally:
        phone.register(0)
        phone.close()
        sender.close()


def wait_settled(node):
    """Until the ring is known to lack an overlay: before, who asks for one waits for its answer."""
    phone = Agent(PHONE, "user", "example.com", node.sip)

    def is_settled():
        phone.request("OPTIONS", "sip:nobody@example.org")
        return phone.expect("a final response", lambda m: m.is_response and m.status >= 200).status == 404
    try:
        wait_for("the ring settles", is_settled)
    finally:
        phone.close()


def main():
    tests = Tests()
    for transport in ("udp", "tcp"):
        with lab_of(tests, ISLANDS) as lab:  # a new one: a registrar remembers Call-ID and CSeq
            wait_settled(lab.nodes()[0])
            all_of(tests, lab.nodes()[0], transport)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
