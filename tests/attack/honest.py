"""What goes on while somebody attacks: honest phones that call once a second, and what each node holds."""
import os
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lab"), os.path.join(HERE, "..", "e2e")]
from agent import Agent, end_call, establish  # noqa: E402
from lab import LabError  # noqa: E402

IN_TIME_S = 2.0     # the time in which an honest call comes up
GIVE_UP_S = 12.0
REFRESH_S, RETRY_S, BINDING_S = 100, 10, 290  # phones register for 300 s
STALL_S = 0.7       # a process that sleeps wakes up so late: the machine has other things to do
RESEND_S = (0.5, 1.0, 2.0, 4.0, 4.0)


class Phone(Agent):
    """An agent that retransmits by UDP as RFC 3261 has it: its requests, and its 2xx until the ACK."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.last = None  # (bytes, to) of what is sent again

    def send_raw(self, data, to=None):
        super().send_raw(data, to)
        if not data.startswith("ACK") and (not data.startswith("SIP/2.0") or data.startswith("SIP/2.0 2")):
            self.last = (data, to)

    def expect(self, what, is_wanted, timeout=GIVE_UP_S):
        pauses, begin = iter(RESEND_S), time.monotonic()
        while True:
            pause = next(pauses, timeout) if self.transport == "udp" else timeout
            left = begin + timeout - time.monotonic()
            try:
                return super().expect(what, is_wanted, max(0.0, min(pause, left)))
            except LabError:
                if left <= pause:
                    raise
                if self.last:
                    super().send_raw(*self.last)


class Pulse(threading.Thread):
    """Notes when the machine stood still: a process that sleeps 50 ms at a time says how much later it woke."""

    def __init__(self):
        super().__init__(daemon=True)
        program = ("import time\nwhile True:\n a = time.monotonic(); time.sleep(0.05); b = time.monotonic()\n"
                   f" if b - a > {STALL_S}: print(a, b, flush=True)")
        self.process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        self.stalls = []

    def run(self):
        for line in self.process.stdout:
            self.stalls.append(tuple(map(float, line.split())))

    def stood_still_s(self, since, until):
        return sum(end - begin for begin, end in self.stalls if begin < until and end > since)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Pair(threading.Thread):
    """Two phones: one calls the other once a second."""

    def __init__(self, name, caller, callee):
        super().__init__(daemon=True)
        self.name, self.caller, self.callee = name, caller, callee
        self.calls = []  # (begun at, seconds until it was up or None, what went wrong)
        self.is_ending = False
        self.registered_at = self.refresh_at = time.monotonic() - REFRESH_S / 2
        self.put_off = 0  # refreshes that were answered with 500 or 503

    def _register(self):
        """A phone whose refresh is put off still has its binding, and tries again (RFC 3261 section 10.2.7)."""
        now = time.monotonic()
        if now < self.refresh_at:
            return
        self.refresh_at = now + REFRESH_S
        for phone in (self.caller, self.callee):
            try:
                phone.register()
            except LabError as problem:
                if now - self.registered_at > BINDING_S or not any(status in str(problem) for status in (" 500 ", " 503 ")):
                    raise
                self.refresh_at = now + RETRY_S
                self.put_off += 1
        if self.refresh_at == now + REFRESH_S:
            self.registered_at = now

    def _call(self):
        for phone in (self.caller, self.callee):
            while phone.poll(0):
                pass
            phone.waiting.clear()
            phone.last = None
        begin = time.monotonic()
        dialog, _, _ = establish(self.caller, self.callee, tag=f"p{begin:.6f}")
        up = time.monotonic() - begin
        end_call(self.caller, dialog, self.callee)
        return up

    def run(self):
        while not self.is_ending:
            begin = time.monotonic()
            try:
                self._register()
                self.calls.append((begin, self._call(), ""))
            except (LabError, OSError) as problem:
                self.calls.append((begin, None, f"{self.name}: {problem}"))
            time.sleep(max(0.0, begin + 1.0 - time.monotonic()))  # one call a second is what is measured

    def of(self, since, until):
        """(calls, failed, slower than IN_TIME_S, the slowest) of those begun in a span."""
        mine = [c for c in self.calls if since <= c[0] < until]
        up = [c[1] for c in mine if c[1] is not None]
        return len(mine), len(mine) - len(up), sum(1 for s in up if s > IN_TIME_S), max(up, default=0.0)

    def problems(self, since, until):
        return [c[2] for c in self.calls if since <= c[0] < until and c[2]]


def held(node):
    """(resident KiB, descriptors) of a daemon."""
    if not node.is_running():
        return 0, 0
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return resident, len(os.listdir(f"/proc/{node.process.pid}/fd"))


def cpu_s(node):
    """Seconds of processor a daemon has used."""
    with open(f"/proc/{node.process.pid}/stat", encoding="ascii") as stat:
        words = stat.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
