"""Floods: what they cost a node and Kamailio in the same run, and what becomes of the calls of others."""
import socket
import statistics
import threading
import time

from dial import Dialler
from measure import Kamailio, cpu_s, memory_kib, register
from subjects import Subject

SOURCES = [f"127.43.{n}.1" for n in range(20)]
DEAD = "127.43.100.1:5999"  # nothing listens there
BUSY = ("127.43.101.1", 5998)  # its phone answers 486
DIALS = "127.40.0.11"
KAMAILIO_FLOODED = "127.40.0.4"
QUIET_S = 5  # all calls from so long after the flood have to succeed
WATCH_S = 10
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
        time.sleep(WATCH_S)  # they are there, and say nothing
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


class Flooded:
    """One flood against one subject, and what it did."""

    def __init__(self, name, subject, number):
        self.name, self.subject, self.number = name, subject, number
        self.pid = next(iter(subject.pids.values()))
        self.other_pids = [pid for pid in subject.pids.values() if pid != self.pid]
        self.memory, self.cpu, self.other_cpu = memory_kib(self.pid), cpu_s(self.pid), self.of_others()
        self.others = Others(subject)
        self.sent, self.held, self.begin, self.end, self.most, self.left = 0, [], 0, 0, 0, 0

    def of_others(self):
        """CPU of the nodes that the flood does not go to, and that are asked for what this one does not know."""
        return sum(cpu_s(pid) for pid in self.other_pids)

    def run(self):
        """To the end of the calls that are watched after it."""
        host, port = self.subject.target.rsplit(":", 1)
        self.others.start()
        self.begin = time.monotonic()
        self.sent, self.held = flood(self.name, self.subject, (host, int(port)), self.number)
        self.end = time.monotonic()
        self.most = memory_kib(self.pid) - self.memory
        time.sleep(QUIET_S + WATCH_S)
        self.others.is_over = True
        self.others.join(20)
        self.cpu = (cpu_s(self.pid) - self.cpu) * 1e3 / max(self.sent, 1)
        self.other_cpu = (self.of_others() - self.other_cpu) * 1e3 / max(self.sent, 1)

    def rest(self, wait_s):
        """Until @wait_s after its end: what is kept."""
        time.sleep(max(0, self.end + wait_s - time.monotonic()))
        self.left = memory_kib(self.pid) - self.memory
        for one in self.held:
            one.close()

    def text(self, wait_s, peer):
        during, after = self.others.share(self.begin, self.end), self.others.share(self.end + QUIET_S)
        delays = [delay for _, delay in self.others.calls if delay is not None]
        others = f"(other nodes {self.other_cpu:.3f})" if self.other_pids else ""
        return (f"  {self.subject.name:<10} {self.sent:6d} sent  {self.cpu:6.3f} ms of CPU each {times(self.cpu, peer and peer.cpu)} "
                f"{others:<19}"
                f"  {self.most / 1024:+7.1f} MB at the end {times(self.most, peer and peer.most)}"
                f"  {self.left / 1024:+7.1f} MB {wait_s} s later   others' calls in 2 s: {during[0]} of {during[1]} during, "
                f"{after[0]} of {after[1]} from {QUIET_S} s after, median "
                + (f"{statistics.median(delays):.1f} ms" if delays else "unknown"))


def times(value, peer):
    """The ratio to the peer; blank for the peer itself and where it spent next to nothing."""
    return f"x {value / peer:6.2f}" if peer and peer > 0.001 else " " * 8


def phones_of(subject, load):
    """Those that are called, where they are not registered yet."""
    register(subject.served_at, "dead", subject.domain, f"sip:dead@{DEAD}")
    register(subject.served_at, "busy", subject.domain, "sip:busy@%s:%d" % BUSY)
    register(subject.served_at, "bob", subject.domain, load.contact("bob"))


def table(bench, names, wait_s):
    """Each flood against a Kamailio that has TCP, too, and then a node."""
    address = f"{KAMAILIO_FLOODED}:5060"
    kamailio = Kamailio(bench.folder, address, "flooded.test", cpu=bench.subject_cpu, has_tcp=True)
    peer = Subject("Kamailio", address, "flooded.test", "flooded.test", {"kamailio": kamailio.pid})
    subjects = (peer, bench.subject["inside"])
    busy = Busy()
    busy.start()
    try:
        for subject in subjects:
            phones_of(subject, bench.load)
        for number, name in enumerate(names):
            what, rate, seconds, _ = ROWS[name]
            print(f"\nFlood: {rate} {what} a second for {seconds:.0f} s, from {len(SOURCES)} addresses")
            rows = [Flooded(name, subject, number) for subject in subjects]
            for one in rows:
                one.run()
            for one in rows:
                one.rest(wait_s)
                print(one.text(wait_s, None if one is rows[0] else rows[0]))
    finally:
        busy.is_over = True
        busy.join(5)
        busy.socket.close()
        kamailio.stop()
