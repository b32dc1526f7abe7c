"""Floods: what they cost a node and Kamailio in the same run, and what becomes of the calls of others."""
import socket
import statistics
import threading
import time

from dial import Dialler
from measure import cpu_s, memory_kib, register

SOURCES = [f"127.43.{n}.1" for n in range(20)]
DEAD = "127.43.100.1:5999"  # nothing listens there
BUSY = ("127.43.101.1", 5998)  # its phone answers 486
DIALS = "127.40.0.11"
QUIET_S = 5  # all calls from so long after the flood have to succeed
IN_TIME_MS = 2000
ROWS = {  # name: (what, a second, seconds, user)
    "nobody": ("INVITEs to nobody", 3000, 10, "nobody"),
    "dead": ("INVITEs to a phone that is dead", 500, 20, "dead"),
    "unacked": ("INVITEs whose 486 nobody ACKs", 500, 20, "busy"),
    "idle": ("idle connections", 500, 2, None),
    "register": ("REGISTERs", 1500, 50000 / 1500, None),
}


def request(method, user, domain, me, number, extra=""):
    to = f"sip:{user}@{domain}"
    uri = f"sip:{domain}" if method == "REGISTER" else to
    sender = user if method == "REGISTER" else "flood"
    return (f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKf{number}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:{sender}@{domain}>;tag=f{number}\r\nTo: <{to}>\r\nCall-ID: f{number}@{me}\r\n"
            f"CSeq: 1 {method}\r\nContact: <sip:{sender}@{me}>\r\n{extra}Content-Length: 0\r\n\r\n").encode()


class Busy(threading.Thread):
    """A phone that answers each INVITE with 486 and takes no notice of anything else."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(BUSY)
        self.is_over = False

    def run(self):
        self.socket.settimeout(0.2)
        while not self.is_over:
            try:
                data, sender = self.socket.recvfrom(65536)
            except OSError:
                continue
            lines = data.decode("latin-1").split("\r\n")
            if not lines[0].startswith("INVITE "):
                continue
            kept = [line + (";tag=busy" if line.lower().startswith("to:") else "") for line in lines[1:]
                    if line.lower().startswith(("via:", "from:", "to:", "call-id:", "cseq:"))]
            text = "\r\n".join(["SIP/2.0 486 Busy Here", *kept, "Content-Length: 0", "", ""])
            self.socket.sendto(text.encode("latin-1"), sender)


class Others(threading.Thread):
    """Calls of somebody else, one after the other: [(when it began, ms to its 180 or None)]."""

    def __init__(self, subject):
        super().__init__(daemon=True)
        self.subject, self.calls, self.is_over = subject, [], False

    def run(self):
        dialler = Dialler(DIALS, "alice", self.subject.caller_domain)
        while not self.is_over:
            begin = time.monotonic()
            try:
                delay = dialler.call(self.subject.target, f"sip:bob@{self.subject.domain}")
            except OSError:
                delay = None
            self.calls.append((begin, delay))
            time.sleep(0.2)
        dialler.close()

    def share(self, begin, end=float("inf")):
        """(calls within 2 s, calls) of those that began in this time."""
        delays = [delay for at, delay in self.calls if begin <= at < end]
        return sum(1 for delay in delays if delay is not None and delay <= IN_TIME_MS), len(delays)


def send_all(sockets, target, rate, seconds, make):
    """Paced; returns how many were sent."""
    begin, sent, total = time.monotonic(), 0, int(rate * seconds)
    while sent < total:
        due = min(total, int((time.monotonic() - begin) * rate) + 1)
        while sent < due:
            one = sockets[sent % len(sockets)]
            try:
                one.sendto(make("%s:%d" % one.getsockname(), sent), target)
            except OSError:
                pass  # a datagram that is lost
            sent += 1
        time.sleep(0.001)
    return sent


def connect_all(target, count):
    found = []
    for n in range(count):
        try:
            found.append(socket.create_connection(target, 1, source_address=(SOURCES[n % len(SOURCES)], 0)))
        except OSError:
            break
    return found


def flood(name, subject, target, number):
    """Returns how many were sent, and what has to be held until the row is over."""
    _, rate, seconds, user = ROWS[name]
    if name == "idle":
        held = connect_all(target, int(rate * seconds))
        return len(held), held
    sockets = []
    for source in SOURCES:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((source, 0))
        sockets.append(one)

    def make(me, sent):
        if name == "register":
            return request("REGISTER", f"f{sent}", subject.domain, me, f"{number}x{sent}", "Expires: 600\r\n")
        return request("INVITE", user, subject.domain, me, f"{number}x{sent}")

    return send_all(sockets, target, rate, seconds, make), sockets


def row(name, subject, number, wait_s):
    """One flood against one subject: a line."""
    pid = next(iter(subject.pids.values()))
    host, port = subject.target.rsplit(":", 1)
    others = Others(subject)
    cpu, memory = cpu_s(pid), memory_kib(pid)
    others.start()
    begin = time.monotonic()
    sent, held = flood(name, subject, (host, int(port)), number)
    end, most = time.monotonic(), memory_kib(pid)
    time.sleep(QUIET_S + 10)
    others.is_over = True
    others.join(20)
    spent = cpu_s(pid) - cpu
    time.sleep(max(0, wait_s - QUIET_S - 10))
    left = memory_kib(pid) - memory
    for one in held:
        one.close()
    during, after = others.share(begin, end), others.share(end + QUIET_S)
    delays = [delay for _, delay in others.calls if delay is not None]
    print(f"  {subject.name:<12} {sent:6d} sent   {spent * 1e3 / max(sent, 1):6.3f} ms CPU each   "
          f"{(most - memory) / 1024:+7.1f} MB at its end, {left / 1024:+7.1f} MB {wait_s} s later   calls of others "
          f"in 2 s: {during[0]} of {during[1]} during, {after[0]} of {after[1]} from {QUIET_S} s after"
          + (f", median {statistics.median(delays):.1f} ms" if delays else ""))


def table(subjects, load, names, wait_s):
    """Each flood against Kamailio and a node; Kamailio of the bench has no TCP."""
    busy = Busy()
    busy.start()
    for key in ("kamailio", "inside"):
        subject = subjects[key]
        register(subject.served_at, "dead", subject.domain, f"sip:dead@{DEAD}")
        register(subject.served_at, "busy", subject.domain, "sip:busy@%s:%d" % BUSY)
        register(subject.served_at, "bob", subject.domain, load.contact("bob"))
    for number, name in enumerate(names):
        what, rate, seconds, _ = ROWS[name]
        print(f"\nFlood: {rate} {what} a second for {seconds:.0f} s, from {len(SOURCES)} addresses")
        for key in ("inside",) if name == "idle" else ("kamailio", "inside"):
            row(name, subjects[key], number, wait_s)
    busy.is_over = True
    busy.join(5)
    busy.socket.close()
