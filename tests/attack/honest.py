"""What goes on while somebody attacks: honest phones that call once a second, and what each node holds."""
import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lab"), os.path.join(HERE, "..", "e2e")]
from agent import Agent, end_call, establish  # noqa: E402
from lab import LabError  # noqa: E402

IN_TIME_S = 2.0     # the time in which an honest call comes up
GIVE_UP_S = 12.0
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


class Pair(threading.Thread):
    """Two phones: one calls the other once a second."""

    def __init__(self, name, caller, callee):
        super().__init__(daemon=True)
        self.name, self.caller, self.callee = name, caller, callee
        self.calls = []  # (begun at, seconds until it was up or None, what went wrong)
        self.is_ending = False
        self.registered_at = 0.0

    def _register(self):
        if time.monotonic() - self.registered_at > 100:
            self.caller.register()
            self.callee.register()
            self.registered_at = time.monotonic()

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
