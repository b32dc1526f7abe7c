"""Post-dial delay: calls made one after the other, INVITE to 180, by a clock of microseconds."""
import socket
import time

PATIENCE_S, T1_S = 5, 0.5
SDP = ("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n"
       "m=audio 40010 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n")


def header(message, name):
    """All values of a header field, in order."""
    return [line.split(":", 1)[1].strip() for line in message.split("\r\n\r\n")[0].split("\r\n")[1:]
            if line.lower().startswith(name.lower() + ":")]


class Dialler:
    """A caller that measures.  Each call is hung up as soon as it is answered.  A request without a response is sent
    again, as by any phone (RFC 3261 section 17.1)."""

    def __init__(self, ip, caller, caller_domain):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, 0))
        self.ip, self.port = self.socket.getsockname()
        self.caller = f"sip:{caller}@{caller_domain}"
        self.count = 0
        self.sent = None  # (bytes, address) of the request that has no response yet
        self.is_recorded = False  # did the last answer bring Record-Route?

    def close(self):
        self.socket.close()

    def _send(self, target, method, uri, to, call_id, sequence, routes=(), body=""):
        branch = f"z9hG4bK{call_id}{sequence}{method}"
        lines = [f"{method} {uri} SIP/2.0",
                 f"Via: SIP/2.0/UDP {self.ip}:{self.port};branch={branch};rport", "Max-Forwards: 70",
                 *(f"Route: {route}" for route in routes),
                 f"From: <{self.caller}>;tag=d{call_id}", f"To: {to}", f"Call-ID: {call_id}",
                 f"CSeq: {sequence} {method}", f"Contact: <sip:dial@{self.ip}:{self.port}>"]
        if body:
            lines.append("Content-Type: application/sdp")
        lines += [f"Content-Length: {len(body)}", "", body]
        host, port = target.rsplit(":", 1)
        data, to = "\r\n".join(lines).encode(), (host, int(port))
        self.socket.sendto(data, to)
        if method != "ACK":
            self.sent = (data, to)

    def _receive(self, call_id, sequence):
        """The next response to our request; others (late ones of earlier calls) are passed over."""
        end, interval_s, due = time.monotonic() + PATIENCE_S, T1_S, time.monotonic() + T1_S
        while True:
            left = (min(end, due) if self.sent else end) - time.monotonic()
            self.socket.settimeout(max(0.001, left))
            try:
                message = self.socket.recv(65536).decode("utf-8", "replace")
            except TimeoutError:
                if not self.sent or due >= end:
                    raise TimeoutError(f"no response to {call_id}") from None
                self.socket.sendto(*self.sent)
                interval_s *= 2
                due += interval_s
                continue
            if message.startswith("SIP/2.0") and header(message, "Call-ID") == [call_id] and \
                    header(message, "CSeq")[0].split()[0] == str(sequence):
                self.sent = None
                return int(message[8:11]), message

    def call(self, target, uri):
        """One call; returns the post-dial delay in ms, None if it was not answered."""
        self.count += 1
        call_id = f"dial-{self.port}-{time.time_ns()}-{self.count}"
        begin = time.perf_counter()
        delay_ms = None
        self._send(target, "INVITE", uri, f"<{uri}>", call_id, 1, body=SDP.format(ip=self.ip))
        while True:
            status, message = self._receive(call_id, 1)
            if status == 180 and delay_ms is None:
                delay_ms = (time.perf_counter() - begin) * 1000
            if status >= 200:
                break
        to = header(message, "To")[0]
        if status != 200:
            self._send(target, "ACK", uri, to, call_id, 1)
            return None
        contact = header(message, "Contact")[0].strip("<>")
        self.is_recorded = bool(header(message, "Record-Route"))
        routes = list(reversed([r for line in header(message, "Record-Route") for r in line.split(",")]))
        self._send(target, "ACK", contact, to, call_id, 1, routes)
        self._send(target, "BYE", contact, to, call_id, 2, routes)
        self._receive(call_id, 2)
        return delay_ms
