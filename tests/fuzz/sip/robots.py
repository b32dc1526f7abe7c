"""The phones of the fuzzer: one that answers whatever rings, and sockets that send harm."""
import collections
import random
import re
import select
import socket
import threading
import time

import corpus
import mutate

STATUS = re.compile(rb"^SIP/2\.0 ([2-6]\d\d) ", re.M)
CONNECTION_MESSAGES = 20
RINGS_S = 3              # before it gives up, where it has not answered
RESPONSE_HARM_EVERY = 3  # of the answers to requests whose user asks for it


def fields_of(data):
    """(start line, {lower-case name: [values]}) of a message, never raising."""
    head = data.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
    found = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        name = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact"}.get(name, name)
        found.setdefault(name, []).append(value.strip())
    return lines[0], found


class Robot(threading.Thread):
    """A phone on UDP that answers everything: INVITEs in every way in turn, now and then with harm done to the answer.  It hangs up
    each call that it is in after a while."""

    def __init__(self, ip, user, domain, proxy, seed):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((ip, 5060))
        self.me, self.user, self.domain = f"{ip}:5060", user, domain
        host, port = proxy.split(":")
        self.far = (host, int(port))
        self.rng = random.Random(seed)
        self.is_ending = False
        self.turn = 0
        self.calls = {}  # Call-ID: [when to hang up, BYE]
        self.over = collections.deque(maxlen=10000)  # Call-IDs of those it has hung up
        self.ringing = []  # (when to give up, arguments of respond())
        self.rung = self.answered = self.hung_up = 0
        self.registered_at = 0

    def register(self):
        n = random.getrandbits(48)
        self.registered_at = time.monotonic()
        self.socket.sendto((f"REGISTER sip:{self.domain} SIP/2.0\r\nVia: SIP/2.0/UDP {self.me};branch=z9hG4bK{n:x};rport\r\n"
                            f"Max-Forwards: 70\r\nFrom: <sip:{self.user}@{self.domain}>;tag={n:x}\r\n"
                            f"To: <sip:{self.user}@{self.domain}>\r\nCall-ID: reg-{self.user}-{self.me}\r\n"
                            f"CSeq: {int(time.time())} REGISTER\r\nContact: <sip:{self.user}@{self.me}>\r\nExpires: 300\r\n"
                            "Content-Length: 0\r\n\r\n").encode(), self.far)

    def run(self):
        while not self.is_ending:
            if time.monotonic() - self.registered_at > 60:
                self.register()
            if select.select([self.socket], [], [], 0.1)[0]:
                data, source = self.socket.recvfrom(65536)
                if not data.startswith(b"SIP/2.0"):
                    self.on_request(data, source)
            self.hang_up()

    def hang_up(self):
        now = time.monotonic()
        for call_id, (at, bye) in list(self.calls.items()):
            if at <= now:
                del self.calls[call_id]
                self.over.append(call_id)
                self.socket.sendto(bye, self.far)
                self.hung_up += 1
        while self.ringing and self.ringing[0][0] <= now:
            self.respond(*self.ringing.pop(0)[1])

    def on_request(self, data, source):
        start, fields = fields_of(data)
        words = start.split(" ")
        method, target = words[0], words[1] if len(words) > 1 else ""
        if method == "ACK":
            return
        call_id = fields.get("call-id", [""])[0]
        if method == "INVITE" and "tag=" not in fields.get("to", [""])[0]:
            self.rung += 1
            self.answer_invite(fields, call_id, source, "clean" not in target)
        else:
            is_refresh = method in ("UPDATE", "INVITE")  # of a call that it knows to be over (RFC 3261 section 12.2.2)
            if method == "BYE":
                self.calls.pop(call_id, None)
            self.respond(fields, "481 Call Does Not Exist" if is_refresh and call_id in self.over else "200 OK", "Event: presence\r\n" if method == "SUBSCRIBE" else "", b"", source, True)

    def answer_invite(self, fields, call_id, source, is_harm):
        names = sorted(corpus.RESPONSES)
        self.turn += 1
        answers = corpus.RESPONSES["ok"] if not is_harm or self.turn % 2 else corpus.RESPONSES[names[self.turn // 2 % len(names)]]
        is_over = False
        for line, extra, has_sdp in answers:
            body = corpus.SDP.encode() if has_sdp else b""
            extra = extra.replace("\n", "\r\n") + ("Content-Type: application/sdp\r\n" if has_sdp else "")
            self.respond(fields, line, extra, body, source, is_harm)
            if line.startswith("200"):
                self.answered += 1
                is_over = True
                self.calls[call_id] = [time.monotonic() + (1 if is_harm else 20), self.bye(fields, call_id)]

            is_over = is_over or line[0] > "1"
        if not is_over:
            self.ringing.append((time.monotonic() + RINGS_S, (fields, "480 Temporarily Unavailable", "", b"", source, is_harm)))

    def respond(self, fields, line, extra, body, source, is_harm):
        to = fields.get("to", [""])[0]
        if "tag=" not in to:
            to += f";tag=r{abs(hash(fields.get('call-id', [''])[0])):x}"
        text = f"SIP/2.0 {line}\r\n" + "".join(f"Via: {via}\r\n" for via in fields.get("via", []))
        text += "".join(f"Record-Route: {route}\r\n" for route in fields.get("record-route", []))
        text += (f"From: {fields.get('from', [''])[0]}\r\nTo: {to}\r\nCall-ID: {fields.get('call-id', [''])[0]}\r\n"
                 f"CSeq: {fields.get('cseq', [''])[0]}\r\nContact: <sip:{self.user}@{self.me}>\r\n{extra}"
                 f"Content-Length: {len(body)}\r\n\r\n")
        data = text.encode("utf-8", "replace") + body
        if is_harm and self.rng.randrange(RESPONSE_HARM_EVERY) == 0:
            data = mutate.mutate(data.replace(b"Content-Length: %d\r\n" % len(body), b""), self.rng.randrange(10000), self.rng)[:65000]
        self.socket.sendto(data, source)

    def bye(self, fields, call_id):
        routes = "".join(f"Route: {route}\r\n" for route in fields.get("record-route", []))
        contact = fields.get("contact", [""])[0]
        target = contact[contact.find("<") + 1:contact.find(">")] if "<" in contact else contact or "sip:nobody@invalid"
        to = fields.get("to", [""])[0] + f";tag=r{abs(hash(call_id)):x}"
        n = random.getrandbits(48)
        return (f"BYE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {self.me};branch=z9hG4bK{n:x};rport\r\nMax-Forwards: 70\r\n{routes}"
                f"From: {to}\r\nTo: {fields.get('from', [''])[0]}\r\nCall-ID: {call_id}\r\nCSeq: 7 BYE\r\n"
                "Content-Length: 0\r\n\r\n").encode("utf-8", "replace")


class Sender:
    """Sends messages to a node from many addresses, by UDP or over TCP connections that it makes anew when they are closed."""

    def __init__(self, node, addresses, transport):
        host, port = node.sip.split(":")
        self.far, self.transport = (host, int(port)), transport
        self.addresses, self.sockets, self.at = addresses, {}, 0
        self.refused = 0
        self.carried = collections.Counter()  # messages of each connection
        self.heard = collections.Counter()  # statuses of responses

    def _open(self, ip):
        if self.transport == "UDP":
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.bind((ip, 0))
        else:
            one = socket.create_connection(self.far, 10, source_address=(ip, 0))
            one.settimeout(10)
        one_port = one.getsockname()[1]
        self.sockets[ip] = (one, f"{ip}:{one_port}")

    def next(self):
        """The address of the next message: "IP:PORT"."""
        self.at = (self.at + 1) % len(self.addresses)
        ip = self.addresses[self.at]
        if ip not in self.sockets:
            self._open(ip)
        return self.sockets[ip][1]

    def send(self, data):
        ip = self.addresses[self.at]
        one = self.sockets[ip][0]
        self.carried[ip] += 1
        try:
            if self.transport == "UDP":
                one.sendto(data[:65000], self.far)
            else:
                one.sendall(data)
        except OSError:
            self.refused += 1
            self._close(ip)
        self.drain()
        if self.transport == "TCP" and self.carried[ip] >= CONNECTION_MESSAGES and ip in self.sockets:
            self._close(ip)  # one that waits for a body that does not come would take the rest

    def drain(self):
        """Throw away what came back; a closed connection is opened again when it is its turn."""
        for ip, (one, _) in list(self.sockets.items()):
            try:
                while select.select([one], [], [], 0)[0]:
                    data = one.recv(65536)
                    if not data and self.transport == "TCP":
                        self._close(ip)
                        break
                    self.heard.update(status.decode() for status in STATUS.findall(data))
            except OSError:
                self._close(ip)

    def _close(self, ip):
        self.sockets.pop(ip)[0].close()
        self.carried[ip] = 0

    def close(self):
        for ip in list(self.sockets):
            self._close(ip)
