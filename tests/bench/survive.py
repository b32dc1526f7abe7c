#!/usr/bin/env python3
"""make survive: calls that are up through a gateway, and what becomes of them when it goes.

Each caller waits for the refresh of the next gateway, adopts its Contact, and hangs up some seconds
later; the BYE has to reach the callee on the other island.  A capture of the callee's port counts the
calls whose BYE was seen there.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from measure import Load, register
from lab import LabError, wait_for
from phones import CLOSED, ESTABLISHED, Phone
from subjects import CALLEE, CALLER, lab_of

ALLOW = {"update": "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE", "reinvite": "INVITE, ACK, CANCEL, BYE, OPTIONS"}
PHONES = "127.43.0"
BACKGROUND_PORT = 5081


def await_copies(gateway, count):
    """Every call is up, and every stand-by holds it."""
    def question():
        replicas = (gateway.ctl("status") or {}).get("replicas")
        if replicas and replicas["calls"] >= count and replicas["heirs"] and \
                not any(heir["pending"] for heir in replicas["heirs"]):
            return True
        return False
    wait_for(f"{count} calls are up and copied", question, 60, 0.2)


def times_told(node):
    """What the new gateway says of the calls it took: [(calls, ms until both ends had heard of it)]."""
    return [(int(n), int(ms)) for n, ms in
            re.findall(r"the ends of (\d+) calls were told in (\d+) ms", node.log())]


class Capture:
    """What tshark sees of one kind of packets."""

    def __init__(self, folder, name, which):
        self.path = os.path.join(folder, f"{name}.pcap")
        self.log_path = os.path.join(folder, f"{name}.log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["tshark", "-q", "-i", "lo", "-B", "64", "-w", self.path, "-f", which], stdout=log,
                stderr=log, stdin=subprocess.DEVNULL)
        wait_for("the capture begins", lambda: os.path.exists(self.path), 15)

    def loss(self):
        """What the capture itself says it has lost."""
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            found = re.search(r"(\d+) packets? dropped", log.read())
        return f" (which dropped {found.group(1)} packets)" if found and int(found.group(1)) else ""

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)

    def values(self, which, field):
        """Ends the capture; the values of a field of the packets that are wanted, each once."""
        self.end()
        found = subprocess.run(["tshark", "-r", self.path, "-Y", which, "-T", "fields", "-e", field],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        return set(found.stdout.split())


class Sleeper:
    """A gateway that is stopped for a while: what it sends once it goes on."""

    SECONDS = 10

    def __init__(self, folder, node):
        self.node = node
        self.capture = Capture(folder, "old", f"src host {node.ip} and (port 5060 or port 5061 or port 5062)")
        self.begin, self.stopped_at = 0, 0.0

    def stop(self):
        os.kill(self.node.process.pid, signal.SIGSTOP)
        self.stopped_at = time.time()
        self.begin = len(self.node.log())

    def go_on(self):
        time.sleep(self.SECONDS)
        os.kill(self.node.process.pid, signal.SIGCONT)
        wait_for("the old gateway steps down", lambda: self.node.role() == "candidate", 20)

    def requests(self):
        """Requests of a gateway that it sent since; answers to what waited for it are right."""
        sent = re.findall(r"nta: sent ([^\n]*)", self.node.log()[self.begin:])
        wrong = [line for line in sent if re.match(r"(INVITE|UPDATE|BYE|CANCEL|PRACK|INFO|REFER) ", line)]
        packets = len(self.capture.values(f"(tls.record.content_type == 23 || sip) && frame.time_epoch >= "
                                          f"{self.stopped_at:.6f}", "frame.number"))
        seen = [float(at) >= self.stopped_at for at in self.capture.values("frame", "frame.time_epoch")]
        print(f"  stopped for {self.SECONDS} s, then: {len(sent)} SIP messages sent by the old gateway since, "
              f"{len(wrong)} of them requests inside or for a call; the capture has "
              f"{seen.count(False)} packets of its SIP ports before its stop, {seen.count(True)} after it, {packets} of "
              "these with SIP or TLS data")
        for line in sent[:10]:
            print(f"    {line}")
        return len(wrong)


class Survive:
    """One laboratory, and what is asked of it."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.load = Load(folder, CALLER, CALLEE)
        self.background = Load(folder, CALLER, CALLEE, caller_port=6070, callee_port=BACKGROUND_PORT)
        self.lab, self.phones, self.sleeper, self.capture = None, [], None, None

    def open(self):
        # at debug level the SIP stack logs each message that it sends
        self.lab = lab_of(self.folder, None, log_level="debug" if self.options.how == "stop" else "info")
        east, west = self.lab.islands
        self.caller_node, self.callee_node = east.others()[-1], west.others()[0]
        self.load.start_callee()
        self.background.start_callee("background")
        register(self.callee_node.sip, "bob", west.domain, self.load.contact("bob"))
        register(self.callee_node.sip, "carol", west.domain, self.background.contact("carol"))
        for i in range(self.options.phones):
            pair = [Phone(self.folder, f"{name}{i}", island.domain, f"{PHONES}.{2 * i + n + 1}", node.sip,
                          rtp=20000 + 400 * i + 200 * n)
                    for n, (name, island, node) in enumerate((("ann", east, self.caller_node),
                                                              ("ben", west, self.callee_node)))]
            self.phones.append(pair)

    def close(self):
        self.load.stop()
        self.background.stop()
        for pair in self.phones:
            for phone in pair:
                phone.stop()
        for capture in (self.capture, self.sleeper and self.sleeper.capture):
            if capture:
                capture.end()
        if self.lab:
            self.lab.stop()

    def dial_phones(self):
        for caller, callee in self.phones:
            callee.wait_registered()
            caller.dial(callee.uri)
            caller.wait_event(ESTABLISHED)
            callee.wait_event(ESTABLISHED)

    def hang_up_phones(self):
        """How many real phones could end their call, and were heard at the other end."""
        ended = 0
        for number, (caller, callee) in enumerate(self.phones):
            one, other = (caller, callee) if number % 2 == 0 else (callee, caller)
            try:
                one.hang_up()
                other.wait_event(CLOSED)
                ended += 1
            except LabError as problem:
                print(f"  {problem}")
        return ended

    def go(self, old):
        """What ends the gateway."""
        how = self.options.how
        if how == "kill":
            old.kill()
        elif how == "leave":
            old.process.send_signal(signal.SIGTERM)
        elif how == "handover":
            print("  " + old.ctl_text("election", "handover").strip())
        elif how == "stop":
            self.sleeper.stop()

    def background_calls(self):
        east, west = self.lab.islands
        rate = self.options.rate
        return self.background.start(self.caller_node.sip, west.domain, east.domain, rate, rate * 20,
                                     hold_ms=1000, callee="carol") if rate else None

    def run(self):
        east, west = self.lab.islands
        calls, old = self.options.calls, east.gateway()
        if self.options.how == "stop":
            self.sleeper = Sleeper(self.folder, old)
        capture = self.capture = Capture(self.folder, "callee", f"udp and dst host {CALLEE} and dst port 5080")
        run = self.load.start(self.caller_node.sip, west.domain, east.domain, 100, calls,
                              scenario="uac_survive.xml",
                              keys=[("allow", ALLOW[self.options.refresh])], patience_s=120)
        self.dial_phones()
        await_copies(old, calls + len(self.phones))
        side = self.background_calls()
        if side:
            time.sleep(5)  # the load is meant to be there before the gateway goes
        begin = time.monotonic()
        self.go(old)
        new = wait_for("another gateway", lambda: next(
            (n for n in east.nodes if n is not old and n.is_running() and n.role() == "active"), None), 30, 0.002)
        active_ms = (time.monotonic() - begin) * 1000
        taken = calls + len(self.phones)
        wait_for("the calls are taken over",
                 lambda: (new.ctl("status") or {"replicas": {"calls": 0}})["replicas"]["calls"] >= taken,
                 30, 0.01)
        taken_ms = (time.monotonic() - begin) * 1000
        if self.sleeper:
            self.sleeper.go_on()
        result = run.wait()
        ended = self.hang_up_phones()
        time.sleep(4)  # SIPp counts a call 2 s after its end, and writes once a second
        answered = self.load.answered()
        seen = len(capture.values('sip.Method == "BYE"', "sip.Call-ID"))
        told = times_told(new)
        print(f"  {self.options.how}, {calls} calls, phones with {self.options.refresh}: another gateway after "
              f"{active_ms:.0f} ms; the last call adopted by {taken_ms:.0f} ms; both ends told in "
              f"{max((ms for _, ms in told), default=-1)} ms")
        print(f"  {calls - result['failed']} of {calls} calls ended by their caller's BYE with 200; {answered} "
              f"BYEs reached the callee, {seen} of them in the capture{capture.loss()}; real phones: {ended} of "
              f"{len(self.phones)}")
        lost = result["failed"] + (calls - answered) + len(self.phones) - ended
        if self.sleeper:
            lost += self.sleeper.requests()
        if side:
            other = side.wait()
            print(f"  meanwhile {self.options.rate} set-ups a second: {other['failed']} of {side.calls} failed, "
                  f"{other['retransmitted']} messages sent again by the phones")
            lost += other["failed"] if self.options.how in ("handover", "leave") else 0
        return lost


def options_of():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--refresh", choices=sorted(ALLOW), default="update")
    parser.add_argument("--how", choices=("kill", "leave", "handover", "stop"), default="kill")
    parser.add_argument("--rate", type=int, default=0, help="set-ups a second meanwhile")
    parser.add_argument("--phones", type=int, default=3, help="pairs of real phones")
    return parser.parse_args()


def main():
    options = options_of()
    folder = tempfile.mkdtemp(prefix="ringway-survive-")
    survive = Survive(options, folder)
    try:
        survive.open()
        lost = survive.run()
    except LabError as problem:
        print(f"survive: {problem}", file=sys.stderr)
        return 1
    finally:
        survive.close()
        if not os.environ.get("KEEP"):
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
