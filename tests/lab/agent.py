"""A scripted SIP user agent: each step of a call is a line of the test, both ends in one thread.

It keeps to RFC 3261 as far as a test needs: dialogs with route sets, transactions by branch, and it
does not retransmit (loopback does not lose), so that a lost message is seen as a failure.
"""
import random
import re
import select
import socket
import time

from lab import LabError

SDP = "v=0\r\no=- {n} {n} IN IP{family} {ip}\r\ns=-\r\nc=IN IP{family} {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length",
           "c": "content-type", "s": "subject", "k": "supported"}


class Message:
    """One parsed SIP message; header names are lower case, compact ones in full."""

    def __init__(self, data):
        head, _, self.body = data.partition("\r\n\r\n")
        lines = head.split("\r\n")
        self.start, self.headers = lines[0], []
        for line in lines[1:]:
            if line[:1] in " \t" and self.headers:
                name, value = self.headers[-1]
                self.headers[-1] = (name, value + " " + line.strip())
                continue
            name, _, value = line.partition(":")
            name = name.strip().lower()
            self.headers.append((COMPACT.get(name, name), value.strip()))
        words = self.start.split(" ", 2)
        self.is_response = words[0] == "SIP/2.0"
        self.status = int(words[1]) if self.is_response else 0
        self.method = self.get("cseq").split()[1] if self.is_response else words[0]
        self.uri = "" if self.is_response else words[1]

    def all(self, name):
        return [value for key, value in self.headers if key == name.lower()]

    def get(self, name, default=""):
        values = self.all(name)
        return values[0] if values else default

    def tag(self, name):
        _, found, rest = self.get(name).partition(";tag=")
        return rest.split(";")[0] if found else ""

    @property
    def sequence(self):
        return int(self.get("cseq").split()[0])


def uri_of(value):
    """The URI of a name-addr or addr-spec."""
    return value[value.index("<") + 1:value.index(">")] if "<" in value else value.split(";")[0]


class Dialog:
    """What an end remembers of a dialog."""

    def __init__(self, call_id, local, remote, target, routes):
        self.call_id, self.local, self.remote = call_id, local, remote
        self.target, self.routes = target, routes
        self.sequence = 1


class Agent:
    """One end, on an address of its own."""

    def __init__(self, ip, user, domain, proxy, transport="udp", port=5060):
        self.ip, self.user, self.domain, self.transport = ip, user, domain, transport
        self.uri, self.proxy = f"sip:{user}@{domain}", proxy
        host, proxy_port = proxy.rsplit(":", 1)
        self.far = (host.strip("[]"), int(proxy_port))
        self.host = f"[{ip}]" if ":" in ip else ip
        self.family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        self.waiting, self.stream = [], b""
        self.expires = {}
        self.taken = set()  # (branch, method) of the requests that were expected and came
        self.last_cseq = 0
        self.registration = f"{random.getrandbits(64):x}@{ip}"  # Call-ID of its REGISTERs
        if transport == "udp":
            self.socket = socket.socket(self.family, socket.SOCK_DGRAM)
            self.socket.bind((ip, port))
        else:
            self.socket = socket.create_connection(self.far, 5, source_address=(ip, 0))
        self.port = self.socket.getsockname()[1]
        self.contact = f"sip:{user}@{self.host}:{self.port}" + (";transport=tcp" if transport == "tcp" else "")

    def close(self):
        self.socket.close()

    # ---- bytes ------------------------------------------------------------------------------------

    def send_raw(self, data, to=None):
        raw = data if isinstance(data, bytes) else data.encode("utf-8")
        if self.transport == "udp":
            self.socket.sendto(raw, to or self.far)
        else:
            self.socket.sendall(raw)

    def _take_stream(self):
        """Whole messages out of the TCP stream, by Content-Length."""
        while b"\r\n\r\n" in self.stream:
            if self.stream.startswith(b"\r\n"):
                self.stream = self.stream.lstrip(b"\r\n")
                continue
            head, _, rest = self.stream.partition(b"\r\n\r\n")
            length = int(Message(head.decode("utf-8", "replace") + "\r\n\r\n").get("content-length", "0"))
            if len(rest) < length:
                return
            self.waiting.append(Message((head + b"\r\n\r\n" + rest[:length]).decode("utf-8", "replace")))
            self.stream = rest[length:]

    def poll(self, timeout):
        """Read what arrives within @timeout; false if nothing did."""
        if not select.select([self.socket], [], [], timeout)[0]:
            return False
        data = self.socket.recv(262144)
        if self.transport == "udp":
            if data.strip():
                self.waiting.append(Message(data.decode("utf-8", "replace")))
            return True
        if not data:
            raise LabError(f"{self.user}: the connection was closed")
        self.stream += data
        self._take_stream()
        return True

    def expect(self, what, is_wanted, timeout=8.0):
        """The first waiting message that is wanted; others stay."""
        end = time.monotonic() + timeout
        while True:
            for message in self.waiting:
                if is_wanted(message):
                    self.waiting.remove(message)
                    return message
            left = end - time.monotonic()
            if left <= 0:
                raise LabError(f"{self.user}: expected {what}, has "
                               f"{[m.start for m in self.waiting] or 'nothing'}")
            self.poll(left)

    def expect_request(self, method, timeout=8.0):
        found = self.expect(method, lambda m: not m.is_response and m.method == method, timeout)
        self.taken.add((found.get("via"), method))
        return found

    def expect_new(self, method, timeout=8.0, subject=None):
        """A request that is no retransmission (a busy node sends one by UDP where the response is late), with that
        Subject if one is named: a request of before may still be on its way."""
        found = self.expect(method, lambda m: not m.is_response and m.method == method and
                            (m.get("via"), method) not in self.taken and subject in (None, m.get("subject")), timeout)
        self.taken.add((found.get("via"), method))
        return found

    def expect_status(self, status, method="INVITE", timeout=8.0):
        """The next response with this status; another final one of that method fails at once."""
        found = self.expect(f"{status} to {method}",
                            lambda m: m.is_response and m.method == method and
                            (m.status == status or m.status >= 200), timeout)
        if found.status != status:
            raise LabError(f"{self.user}: expected {status} to {method}, got {found.start}")
        return found

    def expect_nothing(self, what, is_unwanted, within):
        """Nothing of a kind comes for a while."""
        try:
            found = self.expect(what, is_unwanted, within)
        except LabError:
            return
        raise LabError(f"{self.user}: did not expect {found.start}")

    # ---- requests ------------------------------------------------------------------------------------

    def sdp(self, n=1):
        return SDP.format(n=n, ip=self.ip, family=6 if ":" in self.ip else 4, port=40000 + n)

    def _via(self):
        return f"SIP/2.0/{self.transport.upper()} {self.host}:{self.port};branch=z9hG4bK{random.getrandbits(64):x};rport"

    def write(self, method, uri, headers, body="", content_type="application/sdp"):
        lines = [f"{method} {uri} SIP/2.0", *(f"{name}: {value}" for name, value in headers)]
        if body:
            lines.append(f"Content-Type: {content_type}")
        lines += [f"Content-Length: {len(body.encode())}", "", body]
        self.send_raw("\r\n".join(lines))

    def request(self, method, uri, body="", extra=(), from_uri=None, max_forwards=70, to_tag="",
                content_type="application/sdp"):
        """A request outside a dialog; returns its headers as a dict for CANCEL and ACK."""
        self.last_cseq += 1
        sent = {"Via": self._via(), "Max-Forwards": str(max_forwards),
                "From": f"<{from_uri or self.uri}>;tag={random.getrandbits(32):x}",
                "To": f"<{uri}>" + to_tag, "Call-ID": f"{random.getrandbits(64):x}@{self.ip}",
                "CSeq": f"{self.last_cseq} {method}", "Contact": f"<{self.contact}>"}
        self.write(method, uri, [*sent.items(), *extra], body, content_type)
        return sent

    def cancel(self, uri, sent, extra=()):
        number = sent["CSeq"].split()[0]
        self.write("CANCEL", uri, [(k, sent[k]) for k in ("Via", "Max-Forwards", "From", "To", "Call-ID")] +
                   [("CSeq", f"{number} CANCEL"), *extra])

    def ack_failure(self, uri, sent, response):
        number = sent["CSeq"].split()[0]
        self.write("ACK", uri, [("Via", sent["Via"]), ("Max-Forwards", "70"), ("From", sent["From"]),
                                ("To", response.get("to")), ("Call-ID", sent["Call-ID"]),
                                ("CSeq", f"{number} ACK")])

    def dialog_of_response(self, sent, response):
        routes = [r.strip() for line in response.all("record-route") for r in line.split(",")]
        dialog = Dialog(sent["Call-ID"], sent["From"], response.get("to"),
                        uri_of(response.get("contact")), routes[::-1])
        dialog.sequence = int(sent["CSeq"].split()[0])
        return dialog

    def in_dialog(self, dialog, method, body="", extra=(), sequence=None, content_type="application/sdp"):
        if method != "ACK" and sequence is None:
            dialog.sequence += 1
        number = sequence or dialog.sequence
        sent = {"Via": self._via(), "Max-Forwards": "70", "From": dialog.local, "To": dialog.remote,
                "Call-ID": dialog.call_id, "CSeq": f"{number} {method}", "Contact": f"<{self.contact}>"}
        self.write(method, dialog.target,
                   [*sent.items(), *(("Route", route) for route in dialog.routes), *extra], body, content_type)
        return sent

    # ---- answers ---------------------------------------------------------------------------------------

    def answer(self, request, status, reason="X", tag="", body="", extra=(),
               content_type="application/sdp"):
        to = request.get("to")
        if tag and not request.tag("to"):
            to += f";tag={tag}"
        headers = [("Via", value) for value in request.all("via")]
        headers += [("Record-Route", value) for value in request.all("record-route")]
        headers += [("From", request.get("from")), ("To", to), ("Call-ID", request.get("call-id")),
                    ("CSeq", request.get("cseq")), ("Contact", f"<{self.contact}>"), *extra]
        lines = [f"SIP/2.0 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
        if body:
            lines.append(f"Content-Type: {content_type}")
        lines += [f"Content-Length: {len(body.encode())}", "", body]
        top = request.all("via")[0]
        host, port = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d+))?", top.split()[1].split(";")[0]).groups()
        self.send_raw("\r\n".join(lines), (host.strip("[]"), int(port or 5060)))

    def dialog_of_request(self, request, tag):
        routes = [r.strip() for line in request.all("record-route") for r in line.split(",")]
        return Dialog(request.get("call-id"), request.get("to") + f";tag={tag}", request.get("from"),
                      uri_of(request.get("contact")), routes)

    def register(self, expires=300, contact=None, expect=200, extra=()):
        """REGISTER and its answer."""
        self.last_cseq += 1
        self.write("REGISTER", f"sip:{self.domain}",
                   [("Via", self._via()), ("Max-Forwards", "70"),
                    ("From", f"<{self.uri}>;tag={random.getrandbits(32):x}"), ("To", f"<{self.uri}>"),
                    ("Call-ID", self.registration),
                    ("CSeq", f"{self.last_cseq} REGISTER"),
                    ("Contact", contact or f"<{self.contact}>"), ("Expires", str(expires)), *extra])
        return self.expect_status(expect, "REGISTER")


def final_of(caller, uri, callee=None, patience_s=9):
    """OPTIONS; the final response, which @callee sends where it is given."""
    caller.poll(0.001)
    caller.waiting.clear()
    caller.request("OPTIONS", uri)
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if callee:
            callee.poll(0.002)
            while callee.waiting:
                request = callee.waiting.pop(0)
                if not request.is_response:
                    callee.answer(request, 200, "OK", "t")
        caller.poll(0.002)
        finals = [m for m in caller.waiting if m.is_response and m.status >= 200]
        if finals:
            return finals[-1]
    raise LabError(f"no final response from {uri} to {caller.uri}")


def establish(caller, callee, tag="b1", offer=True, extra=()):
    """INVITE, 180, 200, ACK: (caller's dialog, callee's dialog, the INVITE as it arrived); @extra
    header fields stand in the INVITE and in its 200.  With a Subject among them no other INVITE is taken for it."""
    sent = caller.request("INVITE", callee.uri, body=caller.sdp(1) if offer else "", extra=extra)
    invite = callee.expect_new("INVITE", subject=dict(extra).get("Subject"))
    callee.answer(invite, 180, "Ringing", tag)
    callee.answer(invite, 200, "OK", tag, body=callee.sdp(2), extra=extra)
    caller.expect_status(180)
    answer = caller.expect_status(200)
    dialog = caller.dialog_of_response(sent, answer)
    caller.in_dialog(dialog, "ACK", body="" if offer else caller.sdp(3))
    callee.expect_request("ACK")
    return dialog, callee.dialog_of_request(invite, tag), invite


def end_call(one, dialog, other):
    """BYE from one end, 200 from the other."""
    one.in_dialog(dialog, "BYE")
    other.answer(other.expect_request("BYE"), 200, "OK")
    one.expect_status(200, "BYE")
