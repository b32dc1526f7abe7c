#!/usr/bin/env python3
"""What the SIP fuzzer has found, each in its smallest form."""
import os
import random
import signal
import socket
import struct
import sys
import time

from common import Tests, clean_log, lab_of
from lab import PEER_PORT, LabError, wait_for
from agent import Agent, end_call, establish

ISLANDS = [("east", "127.94.0", 2), ("west", "127.94.1", 1)]
PHONES = "127.94.2"
COOKIE = b"\x21\x12\xa4\x42"
ID = b"0123456789ab"


def request(me, via, call_id, method="MESSAGE", from_uri="sip:a@elsewhere.example", to="sip:nobody@site.east",
            extra="", name="", body=""):
    return (f"{method} {to} SIP/2.0\r\nVia: SIP/2.0/{via} {me};branch=z9hG4bK{call_id}\r\nMax-Forwards: 70\r\n"
            f"From: {name}<{from_uri}>;tag=1\r\nTo: <{to}>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n{extra}"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()


def connect(node, ip):
    host, port = node.sip.split(":")
    line = socket.create_connection((host, int(port)), 5, source_address=(ip, 0))
    line.settimeout(5)
    return line, f"{ip}:{line.getsockname()[1]}"


def held_and_refused(node):
    """What came while the gateway asks whether it is one still, and is refused then: by the connection it came by, whatever
    its Via says."""
    for turn in range(5):
        refused_after_sleep(node, turn)
        if "asking whether this is still the gateway" in node.log():
            return
    raise LabError("it never asked")


def refused_after_sleep(node, turn):
    names = ("TCP", "SCTP", "UDP")
    lines = [connect(node, f"{PHONES}.{n + 1}") for n in range(len(names))]
    node.hang()
    for (line, me), name in zip(lines, names):
        line.sendall(request(me, name, f"held-{name}{turn}"))
    time.sleep(0.5)  # more than it may sleep without asking
    os.kill(node.process.pid, signal.SIGCONT)
    for (line, _), name in zip(lines, names):
        heard = line.recv(65536).decode()
        if not heard.startswith("SIP/2.0 403 ") or f"Call-ID: held-{name}{turn}" not in heard:
            raise LabError(f"Via {name}: expected 403, got {heard[:200]!r}")
        line.close()


class Stream:
    """The messages of a connection, one after the other."""

    def __init__(self, line):
        self.line, self.data = line, b""

    def next(self):
        while True:
            head, found, rest = self.data.partition(b"\r\n\r\n")
            if found:
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                if len(rest) >= length:
                    self.data = rest[length:]
                    return head.decode()
            more = self.line.recv(65536)
            if not more:
                raise LabError("the connection is closed")
            self.data += more


def behind_a_half(node):
    """Half of a request, and while the node sleeps the rest with 150 more: more bytes than a message may have."""
    line, me = connect(node, f"{PHONES}.4")
    wanted = [request(me, "TCP", f"half-{n}", "OPTIONS", "sip:a@site.east", "sip:site.east", f"Subject: {'x' * 600}\r\n")
              for n in range(151)]
    line.sendall(wanted[0][:100])
    time.sleep(0.1)  # it is read
    node.hang()
    line.sendall(wanted[0][100:] + b"".join(wanted[1:]))
    os.kill(node.process.pid, signal.SIGCONT)
    stream = Stream(line)
    for _ in wanted:
        answer = stream.next()
        if not answer.startswith("SIP/2.0 200 "):
            raise LabError(f"expected 200, got {answer}")
    line.close()


SIZES = [  # the caller's name, body: what is heard
    (31000, 10, 202), (31000, 33000, 202), (33000, 10, 513), (53000, 10, 513), (64000, 10, 513), (10, 64000, 202),
    (10, 66000, 413), (10, 79000, 413)]


def sizes(caller, callee):
    """Long header fields and bodies to the other overlay and back: what is too long is refused, the others lose nothing."""
    def answered(name, body):
        caller.write("MESSAGE", callee.uri, [
            ("Via", caller._via()), ("Max-Forwards", "70"), ("From", f"\"{'n' * name}\" <{caller.uri}>;tag=s{name}-{body}"),
            ("To", f"<{callee.uri}>"), ("Call-ID", f"size-{name}-{body}"), ("CSeq", "1 MESSAGE")], "b" * body, "text/plain")

    for name, body, status in SIZES:
        answered(name, body)
        if status == 202:
            got = callee.expect_request("MESSAGE")
            if len(got.body) != body or f"\"{'n' * name}\"" not in got.get("from"):
                raise LabError(f"{name}, {body}: arrived with {len(got.body)} bytes, From of {len(got.get('from'))}")
            callee.answer(got, 202, "Accepted", body=callee.sdp(2))
        caller.expect(f"{status} to {name}, {body}", lambda m, s=status: m.is_response and m.status == s, 10)


BROKEN = [
    b"garbage\r\n\r\n", b"SIP/2.0\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n", b": \r\n\r\n", b"INVITE\r\nVia: x\r\n\r\n",
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKx\r\nContent-Length: 99999999\r\n\r\nx",
    b"OPTIONS sip:site.east SIP/2.0\r\nContent-Length: 4294967295\r\n\r\nx",
    b"OPTIONS sip:site.east SIP/2.0\r\nX: " + b"x" * 90000]


def broken_connections(node):
    """What no messages can be told apart in: the connection is closed, whoever is registered by it, or goes on; it does not
    fall silent."""
    lines = [connect(node, f"{PHONES}.7") for _ in BROKEN]
    for data, (line, me) in zip(BROKEN, lines):
        stream = Stream(line)
        line.sendall(f"REGISTER sip:site.east SIP/2.0\r\nVia: SIP/2.0/TCP {me};branch=z9hG4bK{me}\r\nMax-Forwards: 70\r\n"
                     f"From: <sip:broken@site.east>;tag=1\r\nTo: <sip:broken@site.east>\r\nCall-ID: {me}\r\nCSeq: 1 REGISTER\r\n"
                     f"Contact: <sip:broken@{me};transport=tcp>\r\nContent-Length: 0\r\n\r\n".encode())
        if not stream.next().startswith("SIP/2.0 200 "):
            raise LabError("no 200 to a REGISTER")
        line.sendall(data)
    for data, (line, me) in zip(BROKEN, lines):
        wait_for(f"the connection ends or goes on after {data[:40]!r}",
                 lambda one=line, at=me: not is_sendable(one) or serves(one, at), 10)
        line.close()


def serves(line, me):
    """Is an OPTIONS answered within half a second?"""
    line.settimeout(0.5)
    names = f"go-{random.getrandbits(40):x}"
    try:
        line.sendall(request(me, "TCP", names, "OPTIONS", "sip:a@site.east", "sip:site.east"))
        while True:
            data = line.recv(65536)
            if names.encode() in data:
                return True
            if not data:
                return False
    except OSError:
        return False


def is_sendable(line):
    try:
        line.sendall(b"\r\n\r\n")
    except OSError:
        return False
    return True


CONTROLS = [  # (Contact, Call-ID)
    (b"<sip:x\x01y@127.0.0.1>", b"c"), (b"<sip:x:\x02@127.0.0.1>", b"c"), (b"<sip:x@127.0.0.1;p=\x7f>", b"c"),
    (b"<sip:x@127.0.0.1;p=\t>", b"c"), (b"<sip:x@127.0.0.1?A=\x1f>", b"c"), (b"<sip:x@127.0.0.1>;+sip.instance=\"<\x01>\"", b"c"),
    (b"<sip:x@127.0.0.1>;+sip.instance=\"<a\r\n b>\"", b"c"), (b"<sip:x@127.0.0.1>", b"c\x01")]


def controls_in_register(node, other):
    """A binding that other peers could not read is refused; after a good one everybody finds the phone."""
    line, me = connect(node, f"{PHONES}.5")
    stream = Stream(line)

    def register(n, contact, call_id):
        line.sendall(b"REGISTER sip:site.east SIP/2.0\r\nVia: SIP/2.0/TCP %s;branch=z9hG4bKctl%d\r\nMax-Forwards: 70\r\n"
                     b"From: <sip:ctl@site.east>;tag=1\r\nTo: <sip:ctl@site.east>\r\nCall-ID: %s%d\r\nCSeq: 1 REGISTER\r\n"
                     b"Contact: %s\r\nExpires: 300\r\nContent-Length: 0\r\n\r\n" % (me.encode(), n, call_id, n, contact))
        return stream.next()

    for n, (contact, call_id) in enumerate(CONTROLS):
        answer = register(n, contact, call_id)
        if not answer.startswith("SIP/2.0 400 "):
            raise LabError(f"{contact!r}, {call_id!r}: expected 400, got {answer}")
    answer = register(99, b"<sip:x%01@127.0.0.1>", b"c")
    if not answer.startswith("SIP/2.0 200 "):
        raise LabError(f"expected 200, got {answer}")
    found = wait_for("it is found", lambda: other.ctl("resolve", "sip:ctl@site.east"), 10)
    if found["contacts"] != ["sip:x%01@127.0.0.1"]:
        raise LabError(f"found {found}")
    line.close()


def controls_in_calls(caller, callee):
    """What a call's copy could not be read with: refused before anybody rings; of a callee's 200 the caller hears 502."""
    for call_id, contact, tag in (("", caller.contact, "t"), ("c\1", caller.contact, "t"),
                                  ("c2", caller.contact.replace("sip:", "sip:\1", 1), "t"),
                                  ("c3", caller.contact + ";p=\x7f", "t"), ("c4", caller.contact, "t\2")):
        caller.write("INVITE", callee.uri, [
            ("Via", caller._via()), ("Max-Forwards", "70"), ("From", f"<{caller.uri}>;tag={tag}"), ("To", f"<{callee.uri}>"),
            ("Call-ID", call_id), ("CSeq", "1 INVITE"), ("Contact", f"<{contact}>")])
        caller.expect("400", lambda m, c=call_id: m.is_response and m.status == 400 and m.get("call-id") == c)
    sent = caller.request("INVITE", callee.uri, body=caller.sdp(1))
    invite = callee.expect_request("INVITE")
    good, callee.contact = callee.contact, callee.contact + ";p=\1"
    callee.answer(invite, 200, "OK", "x", body=callee.sdp(2))
    callee.contact = good
    callee.expect_request("ACK")
    callee.answer(callee.expect_request("BYE"), 200, "OK")
    answer = final_of(caller, sent)
    if answer.status != 502:
        raise LabError(f"expected 502, got {answer.start}")
    caller.ack_failure(callee.uri, sent, answer)
    while caller.poll(0.05):
        pass
    caller.waiting.clear()


def final_of(caller, sent):
    def is_wanted(m):
        return m.is_response and m.status >= 200 and m.get("call-id") == sent["Call-ID"] and m.method == "INVITE"
    return caller.expect("a final response", is_wanted, 10)


def names_to_look_up(caller, callee, node):
    """What would need DNS is not sent, and nothing waits for it: the callee's and the caller's places of a call are names."""
    for n, place in enumerate((";maddr=name.invalid", ";maddr=name.invalid;lr", ";transport=udp;maddr=127.0.0.1.", "")):
        for routes in ([], [("Record-Route", f"<sip:{PHONES}.12:5060;lr{place}>")], [("Record-Route", "<sip:name.invalid;lr>")]):
            good = [(phone, phone.contact) for phone in (caller, callee)]
            for phone, contact in good:
                phone.contact = contact + place if place else "sip:x@name.invalid"
            sent = caller.request("INVITE", callee.uri, body=caller.sdp(1), extra=routes)
            invite = callee.expect_request("INVITE")
            callee.answer(invite, 200, "OK", f"n{n}", body=callee.sdp(2), extra=routes)
            answer = final_of(caller, sent)
            if answer.status == 200:
                dialog = caller.dialog_of_response(sent, answer)
                caller.in_dialog(dialog, "ACK")
                caller.in_dialog(dialog, "BYE")
            for phone, contact in good:
                phone.contact = contact
            line, me = connect(node, f"{PHONES}.9")
            if not serves(line, me):
                raise LabError(f"after {place or 'a name'}, {routes}: the node does not answer")
            line.close()
    for phone in (caller, callee):
        while phone.poll(0.05):
            pass
        phone.waiting.clear()


def lists(caller, callee, lab):
    """A list grows where each of its values gets a line of its own: the connection between the nodes is none the worse."""
    def message(n, count):
        contacts = ",".join(["sip:a"] * count)
        caller.write("MESSAGE", callee.uri, [
            ("Via", caller._via()), ("Max-Forwards", "70"), ("From", f"<{caller.uri}>;tag=l{n}"), ("To", f"<{callee.uri}>"),
            ("Call-ID", f"list-{n}"), ("CSeq", "1 MESSAGE"), *([("Contact", contacts)] if count else [])], "x", "text/plain")
        return contacts

    def status(wanted):
        caller.expect(f"{wanted}", lambda m: m.is_response and m.status == wanted and m.method == "MESSAGE", 10)

    before = [node.log().count("No buffer space") for node in lab.nodes()]
    message(1, 5000)
    status(513)
    message(2, 1000)
    callee.answer(callee.expect_request("MESSAGE"), 202, "Accepted")
    status(202)
    message(3, 0)
    many = [("Contact", ",".join(["sip:a"] * 9000))]
    callee.answer(callee.expect_request("MESSAGE"), 202, "Accepted", extra=many)  # no one gets it
    message(4, 0)
    callee.answer(callee.expect_request("MESSAGE"), 202, "Accepted")
    status(202)
    if before != [node.log().count("No buffer space") for node in lab.nodes()]:
        raise LabError("a message was too large for its receiver")


def late_answers(phone, callee, node, serving):
    """A 2xx that no transaction waits for, by UDP and without a Content-Length, does not end the connection between the
    nodes: what is sent behind it arrives by the same one."""
    def message():
        phone.request("MESSAGE", callee.uri, "x")
        callee.answer(callee.expect_request("MESSAGE"), 202, "Accepted")
        phone.expect_status(202, "MESSAGE")

    before = [at.log().count("cannot be told apart") for at in (node, serving)]
    message()
    for n, (method, fields, body) in enumerate((("BYE", "", ""), ("REFER", "", "a body"), ("INVITE", "", ""),
                                                ("OPTIONS", "l: 3\r\n", "more than three"))):
        phone.send_raw((f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {serving.sip};branch=z9hG4bKgone{n}\r\n"
                        f"Via: SIP/2.0/TLS {node.ip}:{PEER_PORT};branch=z9hG4bKaway{n}\r\n"
                        f"From: <sip:b@{callee.domain}>;tag=f{n}\r\nTo: <{phone.uri}>;tag=t{n}\r\nCall-ID: gone-{n}\r\n"
                        f"CSeq: 1 {method}\r\nContact: <{phone.contact}>\r\n{fields}\r\n{body}").encode())
        message()
    if before != [at.log().count("cannot be told apart") for at in (node, serving)]:
        raise LabError("a connection between nodes was closed")


def keep_alive(node):
    """STUN from a phone that uses outbound is answered; what begins like it and is none leaves no trace."""
    host, port = node.sip.split(":")
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind((f"{PHONES}.8", 0))
    line.settimeout(5)
    for garbage in (b"\0", b"\1", b"\0\0", b"\0" * 100, b"\1" * 100, b"\0\2\0\0" + COOKIE + ID, b"\0\1\0\4" + COOKIE + ID):
        line.sendto(garbage, (host, int(port)))
    line.sendto(b"\0\1\0\0" + COOKIE + ID, (host, int(port)))
    heard = line.recv(1000)
    mapped = struct.pack("!H", line.getsockname()[1] ^ 0x2112)
    mapped += bytes(a ^ b for a, b in zip(socket.inet_aton(f"{PHONES}.8"), COOKIE))
    if heard != b"\1\1\0\x0c" + COOKIE + ID + b"\0\x20\0\x08\0\1" + mapped:
        raise LabError(f"got {heard!r}")
    line.close()
    if "stun" in node.log():
        raise LabError(f"in the log: {[text for text in node.log().splitlines() if 'stun' in text]}")


def register(me, user, cseq=1):
    return (f"REGISTER sip:site.east SIP/2.0\r\nVia: SIP/2.0/TCP {me};branch=z9hG4bK{user}-{cseq}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:{user}@site.east>;tag=1\r\nTo: <sip:{user}@site.east>\r\nCall-ID: {user}\r\n"
            f"CSeq: {cseq} REGISTER\r\nContact: <sip:x@{me}>\r\nContent-Length: 0\r\n\r\n").encode()


def many_registers(node, other):
    """REGISTERs that wait for a node that is silent: above 512 those of new phones are put off, and a phone that has a binding
    here is not; each has a response."""
    kept, me = connect(node, f"{PHONES}.19")
    kept.sendall(register(me, "kept"))
    if not Stream(kept).next().startswith("SIP/2.0 200 "):
        raise LabError("no 200 to a REGISTER")
    lines = [connect(node, f"{PHONES}.{20 + n}") for n in range(8)]
    burst = [b"".join(register(at, f"many{n}-{i}") for i in range(150)) for n, (_, at) in enumerate(lines)]
    other.hang()
    try:
        for (line, _), data in zip(lines, burst):
            line.sendall(data)
        streams = [Stream(line) for line, _ in lines]
        first = streams[-1].next()
        kept.sendall(register(me, "kept", 2))
        said = Stream(kept).next()
        heads = [first] + [stream.next() for stream in streams for _ in range(150 - (stream is streams[-1]))]
    finally:
        os.kill(other.process.pid, signal.SIGCONT)
    put_off = [head for head in heads if head.startswith("SIP/2.0 503 ")]
    if len(heads) - len(put_off) < 512 or not put_off or not all("\r\nRetry-After:" in head for head in put_off):
        raise LabError(f"{len(put_off)} were put off")
    if said.startswith("SIP/2.0 503 "):
        raise LabError(f"a phone that has a binding hears {said}")
    for line in (kept, *(line for line, _ in lines)):
        line.close()


def ends_amid_registers(node, other):
    """A node that is told to leave while REGISTERs wait for the overlay leaves nothing behind."""
    line, me = connect(node, f"{PHONES}.6")
    other.hang()
    try:
        for n in range(30):
            line.sendall(register(me, f"end{n}"))
        line.sendall(request(me, "TCP", "last", "OPTIONS", "sip:a@site.east", "sip:site.east"))
        if not Stream(line).next().startswith("SIP/2.0 200 "):  # all have been read
            raise LabError("no 200 to an OPTIONS")
        code = node.stop()
    finally:
        os.kill(other.process.pid, signal.SIGCONT)
    if code != 0:
        raise LabError(f"exit code {code}")
    clean_log(node.log())
    line.close()


def call(caller, callee):
    dialog, _, _ = establish(caller, callee, tag="c")
    end_call(caller, dialog, callee)


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS, log_level="remote", hello_ms=500) as lab:
        node, other = lab.islands[0].gateway(), lab.islands[0].others()[0]
        wait_for("the node is the gateway", lambda: node.role() == "active", 20)
        caller = Agent(f"{PHONES}.11", "a", lab.islands[0].domain, node.sip)
        callee = Agent(f"{PHONES}.12", "b", lab.islands[1].domain, lab.islands[1].gateway().sip, "tcp")
        stream = Agent(f"{PHONES}.13", "s", lab.islands[0].domain, node.sip, "tcp")
        plain = Agent(f"{PHONES}.14", "p", lab.islands[0].domain, other.sip)
        for phone in (caller, callee, stream, plain):
            phone.register()
        tests.run("held and refused", held_and_refused, node)
        tests.run("behind a half", behind_a_half, node)
        tests.run("broken connections", broken_connections, node)
        tests.run("sizes", sizes, stream, callee)
        tests.run("lists", lists, stream, callee, lab)
        tests.run("control characters in REGISTER", controls_in_register, node, other)
        tests.run("control characters in calls", controls_in_calls, caller, callee)
        tests.run("names to look up", names_to_look_up, callee, caller, node)
        tests.run("late answers", late_answers, plain, callee, node, other)
        tests.run("a keep-alive", keep_alive, node)
        tests.run("a call after it", call, caller, callee)
        tests.run("many REGISTERs", many_registers, node, other)
        tests.run("an end amid REGISTERs", ends_amid_registers, node, other)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
