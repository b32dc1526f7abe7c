"""What the benchmarks measure with: processes' CPU and memory, SIPp runs, REGISTER, Kamailio."""
import csv
import glob
import os
import re
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))
from lab import LabError, wait_for  # noqa: E402



def children(pid):
    """A process and all below it."""
    found = [pid]
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        with open(path, encoding="ascii") as listing:
            for child in listing.read().split():
                found += children(int(child))
    return found


def cpu_s(pid):
    """CPU seconds of a process and all below it, every thread that lives."""
    total = 0
    for one in children(pid):
        for path in glob.glob(f"/proc/{one}/task/*/schedstat"):
            with open(path, encoding="ascii") as stat:
                total += int(stat.read().split()[0])
    return total / 1e9


def memory_kib(pid):
    """Proportional set size of a process and all below it."""
    total = 0
    for one in children(pid):
        with open(f"/proc/{one}/smaps_rollup", encoding="ascii") as smaps:
            total += int(re.search(r"^Pss:\s+(\d+)", smaps.read(), re.M).group(1))
    return total


def register(node, user, domain, contact, expires=3600, timeout=5):
    """REGISTER by UDP, from the contact's host: from another it would be taken for one behind a NAT, and called where it
    came from.  Raises unless it is answered 200."""
    host, port = node.rsplit(":", 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        s.bind((contact.rsplit("@", 1)[-1].split(":")[0], 0))
        s.connect((host, int(port)))
        own = "%s:%d" % s.getsockname()
        s.send((f"REGISTER sip:{domain} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKr{user};rport\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:{user}@{domain}>;tag=r\r\nTo: <sip:{user}@{domain}>\r\n"
                f"Call-ID: bench-{user}-{time.time_ns()}\r\nCSeq: 1 REGISTER\r\nContact: <{contact}>\r\n"
                f"Expires: {expires}\r\nContent-Length: 0\r\n\r\n").encode())
        while True:
            answer = s.recv(65536).decode("utf-8", "replace").split("\r\n")[0]
            if not answer.startswith("SIP/2.0 1"):
                break
    if not answer.startswith("SIP/2.0 200"):
        raise LabError(f"REGISTER of {user} at {node}: {answer}")


def pin(pid, cpu):
    """All threads of a process and of those below it to one core; nothing without a core."""
    for one in children(pid) if cpu is not None else []:
        for task in os.listdir(f"/proc/{one}/task"):
            os.sched_setaffinity(int(task), {cpu})


class Kamailio:
    """One Kamailio, one worker."""

    def __init__(self, folder, listen, domain, following="127.0.0.1:9", cpu=None,
                 has_tcp=False):
        modules = glob.glob("/usr/lib/*/kamailio/modules")[0]
        path = os.path.join(folder, f"kamailio-{listen}.cfg")
        with open(os.path.join(HERE, "kamailio.cfg"), encoding="ascii") as template:
            text = template.read()
        for key, value in (("LISTEN", listen), ("DOMAIN", domain), ("NEXT", following),
                           ("MODULES", modules),
                           ("NOTCP", "no" if has_tcp else "yes"),
                           ("LISTENTCP", f"listen=tcp:{listen}" if has_tcp else "")):
            text = text.replace(f"@{key}@", value)
        with open(path, "w", encoding="ascii") as out:
            out.write(text)
        self.log_path = path + ".log"
        run = os.path.join(folder, f"run-{listen}")
        os.makedirs(run, exist_ok=True)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([*pinned(cpu), "kamailio", "-DD", "-E", "-f", path, "-Y", run,
                                             "-m", "512", "-M", "32"], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        self.pid, self.sip = self.process.pid, listen
        wait_for(f"kamailio at {listen}", self.is_up, 10)

    def is_up(self):
        if self.process.poll() is not None:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                raise LabError("kamailio ended: " + log.read()[-2000:])
        try:
            register(self.sip, "probe", "probe.invalid", "sip:probe@127.0.0.1:9", timeout=0.3)
        except LabError:
            return True  # it answered
        except OSError:
            return False
        return True

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def pinned(cpu):
    return [] if cpu is None else ["taskset", "-c", str(cpu)]


class Load:
    """One SIPp callee and one SIPp caller; run() makes calls and says how they went."""

    def __init__(self, folder, caller_ip, callee_ip, cpu=None, caller_port=5070, callee_port=5080):
        self.dir, self.cpu = folder, cpu
        self.caller_ip, self.callee_ip = caller_ip, callee_ip
        self.caller_port, self.callee_port = caller_port, callee_port
        self.runs = 0
        self.started = []  # callers, those that have ended too
        self.callee = None
        self.direct = f"{callee_ip}:{callee_port}"

    def contact(self, user):
        return f"sip:{user}@{self.callee_ip}:{self.callee_port}"

    def _sipp(self, name, *words):
        with open(os.path.join(self.dir, f"{name}.out"), "wb") as out:
            return subprocess.Popen([*pinned(self.cpu), "sipp", *words, "-nostdin", "-skip_rlimit",
                                     "-aa",  # a gateway that takes over may send UPDATE
                                     "-buff_size", "1048576"], stdout=out, stderr=subprocess.STDOUT,
                                    stdin=subprocess.DEVNULL, cwd=self.dir)

    def start_callee(self, name="callee"):
        self.callee = self._sipp(name, "-sf", os.path.join(HERE, "uas.xml"), "-i", self.callee_ip,
                                 "-mi", self.callee_ip, "-p", str(self.callee_port), "-t", "u1",
                                 "-trace_stat", "-stf", f"{name}.csv", "-fd", "1")
        self.callee_statistics = os.path.join(self.dir, f"{name}.csv")

    def answered(self):
        """Calls that the callee has seen to their end, the BYE included, as of a second ago."""
        with open(self.callee_statistics, newline="", encoding="ascii") as stat:
            rows = list(csv.DictReader(stat, delimiter=";"))
        return int(rows[-1]["SuccessfulCall(C)"]) if rows else 0

    def stop(self):
        for run in self.started:
            run.stop()
        if self.callee:
            self.callee.kill()
            self.callee.wait()
            self.callee = None

    def _scenario(self, users, scenario):
        """The scenario, or the same with another callee for each call."""
        path = os.path.join(HERE, scenario)
        if not users:
            return ["-sf", path]
        with open(path, encoding="ascii") as template:
            text = template.read().replace("[callee]", "[field0]")
        names = [os.path.join(self.dir, f"{stem}{self.runs}") for stem in ("uac", "users")]
        with open(names[0], "w", encoding="ascii") as out:
            out.write(text)
        with open(names[1], "w", encoding="ascii") as out:
            out.write("SEQUENTIAL\n" + "".join(f"{user};\n" for user in users))
        return ["-sf", names[0], "-inf", names[1]]

    def start(self, target, domain, caller_domain, rate, calls, hold_ms=0, users=(), callee="bob",
              scenario="uac.xml", keys=(), patience_s=40):
        """Begin to make @calls calls from alice to @callee, or to the @users in turn."""
        self.runs += 1
        name = f"caller{self.runs}-{callee}"
        run = Run(os.path.join(self.dir, name + ".csv"), calls, calls / rate + hold_ms / 1000 + patience_s)
        run.process = self._sipp(
            name, target, *self._scenario(users, scenario), "-i", self.caller_ip, "-mi", self.caller_ip,
            "-p", str(self.caller_port + self.runs % 1000), "-t", "u1", "-m", str(calls),
            "-r", str(rate), "-l", str(max(calls, 1)), "-key", "callee", callee, "-key", "domain", domain,
            "-key", "caller", "alice", "-key", "cdomain", caller_domain, "-d", str(hold_ms),
            *(word for key, value in keys for word in ("-key", key, value)),
            "-trace_stat", "-stf", run.statistics, "-fd", "1", "-trace_err", "-error_file", f"{name}.err",
            "-recv_timeout", str(patience_s * 1000))
        self.started.append(run)
        return run

    def run(self, *arguments, **options):
        return self.start(*arguments, **options).wait()


class Run:
    """Calls that are being made."""

    def __init__(self, statistics_path, calls, most_s):
        self.statistics, self.calls, self.most_s = statistics_path, calls, most_s
        self.begin = time.monotonic()
        self.process = None

    def wait(self):
        """To the end: {failed, retransmitted, seconds}."""
        try:
            self.process.wait(self.most_s)
        except subprocess.TimeoutExpired:
            self.stop()
        seconds = time.monotonic() - self.begin
        failed, retransmitted = self.calls, 0
        if os.path.exists(self.statistics):
            with open(self.statistics, newline="", encoding="ascii") as stat:
                rows = list(csv.DictReader(stat, delimiter=";"))
            if rows:
                failed = self.calls - int(rows[-1]["SuccessfulCall(C)"])
                retransmitted = int(rows[-1]["Retransmissions(C)"])
        return {"failed": failed, "retransmitted": retransmitted, "seconds": seconds}

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def version(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    lines = [line.strip() for line in done.stdout.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[0] if lines else "?"


def median_and_p99(values):
    if not values:
        return float("nan"), float("nan")
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
