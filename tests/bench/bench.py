#!/usr/bin/env python3
"""make bench: Ringway beside Kamailio, the same SIPp call in the same run.  Prints ratios.

Machines differ and are shared: quote the ratios, not the times.  Each figure is the median of rounds
in which all subjects take turns.
"""
import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import floods
from dial import Dialler
from measure import Load, cpu_s, median_and_p99, memory_kib, register, version
from lab import LabError
from subjects import CALLEE, CALLER, DIAL, lab_of, subjects_of

COLD = ("kamailio", "inside", "between")  # called cold, too
TRANSACTION_S = 32  # RFC 3261: 64 * T1, how long a finished transaction is kept for late copies


def is_other(label):
    return label.startswith("other")


class Bench:
    """The subjects, the load and what was asked for."""

    def __init__(self, options, folder):
        cores = os.cpu_count()
        self.options, self.folder = options, folder
        self.subject_cpu, self.load_cpu = (0, 1) if cores > 1 else (None, None)
        self.load = Load(folder, CALLER, CALLEE, cpu=self.load_cpu)
        self.lab, self.kamailios, self.subject, self.spare = None, (), {}, ()
        self.users = []

    def open(self):
        if self.load_cpu is not None:
            os.sched_setaffinity(0, {self.load_cpu})
        self.load.start_callee()
        self.lab = lab_of(self.folder, self.subject_cpu)
        self.kamailios, self.subject, self.spare = subjects_of(self.folder, self.lab, self.load,
                                                               self.subject_cpu)
        for subject in self.subject.values():
            if subject.calls(self.load, 20, 5)["failed"]:
                raise LabError(f"{subject.name} carries no calls: a figure of failed calls tells nothing")

    def close(self):
        self.load.stop()
        for kamailio in self.kamailios:
            kamailio.stop()
        if self.lab:
            self.lab.stop()

    # ---- CPU --------------------------------------------------------------------------------------

    def cpu_per_call(self, subject, users):
        """({label: microseconds a call}, how the calls went)"""
        before = {label: cpu_s(pid) for label, pid in subject.pids.items()}
        result = subject.calls(self.load, self.options.rate, self.options.calls, users=users)
        spent = {label: (cpu_s(pid) - before[label]) * 1e6 / self.options.calls
                 for label, pid in subject.pids.items()}
        return spent, result

    def cpu_table(self, title, keys, users=()):
        print(f"\n{title}: CPU a call at {self.options.rate} calls a second "
              f"({self.options.rounds} rounds of {self.options.calls} calls)")
        rounds = []
        for key in keys:  # caches, pools, connections
            self.subject[key].calls(self.load, self.options.rate, self.options.rate // 2, users=users)
        for _ in range(self.options.rounds):
            rounds.append({key: self.cpu_per_call(self.subject[key], users) for key in keys})
        for key in keys:
            self.cpu_rows(key, [(one[key], one[self.subject[key].peer or key]) for one in rounds])

    def cpu_rows(self, key, rounds):
        """rounds: [(ours, the peer's)], each ({label: microseconds}, result)"""
        def whole(spent):
            return sum(value for label, value in spent.items() if not is_other(label))

        def row(label, value_of):
            value = statistics.median(value_of(ours[0]) for ours, _ in rounds)
            ratio = statistics.median(value_of(ours[0]) / whole(peer[0]) for ours, peer in rounds)
            print(f"  {self.subject[key].name:<26} {label:<18} {value:7.0f} us   x {ratio:5.2f}", end="")

        labels = [label for label in self.subject[key].pids if not is_other(label)]
        for label in labels if len(labels) > 1 else ():
            row(label, lambda spent, label=label: spent[label])
            print()
        row("whole" if len(labels) > 1 else "", whole)
        failed = sum(ours[1]["failed"] for ours, _ in rounds)
        again = sum(ours[1]["retransmitted"] for ours, _ in rounds)
        print(f"   {failed} failed, {again} sent again")
        if len(labels) < len(self.subject[key].pids):
            row("all other nodes", lambda spent: sum(spent.values()) - whole(spent))
            print()

    def idle(self, seconds=3):
        pids = [node.process.pid for node in self.lab.nodes()]
        before = [cpu_s(pid) for pid in pids]
        time.sleep(seconds)
        spent = [(cpu_s(pid) - at) * 1e3 / seconds for pid, at in zip(pids, before)]
        print(f"\nA node without calls, HELLO every {self.lab.hello_ms} ms: "
              f"{statistics.mean(spent):.1f} ms of CPU a second, {max(spent):.1f} at most "
              f"({memory_kib(pids[0]) / 1024:.1f} MB); part of the figures below")

    def tls_share(self, key):
        """What libssl and libcrypto take of each process; by perf, where there is one."""
        if not shutil.which("perf"):
            print("  (no perf here: TLS's share is not told)")
            return
        subject, shares = self.subject[key], []
        watched = {label: pid for label, pid in subject.pids.items() if not is_other(label)}
        run = self.load.start(subject.target, subject.domain, subject.caller_domain,
                              self.options.rate, self.options.rate * 4)
        for label, pid in watched.items():
            path = os.path.join(self.folder, "perf")
            subprocess.run(["perf", "record", "-q", "-F", "997", "-o", path, "-p", str(pid), "--",
                            "sleep", "1.5"], check=False, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            report = subprocess.run(["perf", "report", "-i", path, "--sort", "dso", "--no-children"],
                                    check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            lines = [line.split() for line in report.stdout.decode().splitlines()
                     if "libssl" in line or "libcrypto" in line]
            if lines:
                share = sum(float(words[0].rstrip("%")) for words in lines)
                shares.append(f"{label} {share:.0f} %")
        run.wait()
        if shares:
            print("  of which libssl and libcrypto (SIP's TLS and the overlay's): " + ", ".join(shares))

    # ---- delay ------------------------------------------------------------------------------------

    def dial(self, target, domain, caller_domain, users):
        """([ms from INVITE to 180], does the way record itself?)"""
        dialler = Dialler(DIAL, "alice", caller_domain)
        try:
            delays = [dialler.call(target, f"sip:{user}@{domain}") for user in users]
        finally:
            dialler.close()
        if None in delays:
            raise LabError(f"{target}: a call of the post-dial measurement was not answered")
        return delays, dialler.is_recorded

    def delay_table(self):
        count = self.options.dials
        warm_users = ["bob"] * (count + 5)
        cold_users = self.users[-count:]  # nobody has called them for seconds: no cache holds them
        print(f"\nPost-dial delay, INVITE to 180, {count} calls one after the other; ms more than the "
              "direct call, median / p99")
        direct, _ = self.dial(self.load.direct, "near.test", "near.test", warm_users)
        direct = median_and_p99(direct[5:])
        print(f"  {'caller to callee directly':<26} {direct[0]:6.2f} / {direct[1]:6.2f}  (the whole)")
        for key, subject in self.subject.items():
            warm, is_recorded = self.dial(subject.target, subject.domain, subject.caller_domain,
                                          warm_users)
            warm = median_and_p99(warm[5:])
            line = f"warm {warm[0] - direct[0]:6.2f} / {warm[1] - direct[1]:6.2f}"
            if key in COLD:
                cold = median_and_p99(self.dial(subject.target, subject.domain, subject.caller_domain,
                                                cold_users)[0])
                line += f"   cold {cold[0] - direct[0]:6.2f} / {cold[1] - direct[1]:6.2f}"
            print(f"  {subject.name:<26} {line}   "
                  + ("record-routes" if is_recorded else "does not record-route"))

    # ---- rate -------------------------------------------------------------------------------------

    def is_clean(self, target, domain, caller_domain, rate):
        """No call failed, no more than 0.1 % sent again.  Others use this machine: a second chance."""
        for _ in range(2):
            seconds = self.options.rate_seconds
            run = self.load.start(target, domain, caller_domain, rate, int(rate * seconds))
            run.most_s = seconds * 1.15 + 1
            result = run.wait()
            if not result["failed"] and result["retransmitted"] <= rate * seconds * 0.001:
                return True
        return False

    def clean_rate(self, subject, begin):
        """Up or down from a guess, an eighth at a time."""
        way = (subject.target, subject.domain, subject.caller_domain)
        rate = int(begin)
        if self.is_clean(*way, rate):
            while rate < self.options.rate_limit and self.is_clean(*way, rate * 9 // 8):
                rate = rate * 9 // 8
            return rate
        while rate > 50:
            rate = rate * 8 // 9
            if self.is_clean(*way, rate):
                return rate
        return 0

    def rate_table(self):
        where = "the subject on core 0, SIPp on core 1" if self.load_cpu is not None else "one core"
        print(f"\nHighest clean rate, {where}, {self.options.rate_seconds:g} s each, steps of an eighth")
        best, begin = {}, self.options.first_rate
        for key in ("chained", "between", "kamailio", "inside"):
            subject = self.subject[key]
            best[key] = self.clean_rate(subject, best.get(subject.peer, begin))
            ratio = best[key] / best[subject.peer] if best.get(subject.peer) else 1.0
            print(f"  {subject.name:<26} {best[key]:6d} calls a second   x {ratio:5.2f}")
        most = max(best.values())
        is_enough = self.is_clean(self.load.direct, "near.test", "near.test", most * 5 // 4)
        print(f"  SIPp to SIPp is {'' if is_enough else 'not '}clean at {most * 5 // 4}"
              + ("" if is_enough else ": it is the limit of the highest figures"))

    # ---- memory -----------------------------------------------------------------------------------

    def register_users(self):
        """Whom cold calls go to, at each place that is called cold."""
        self.users = [f"u{n}" for n in range(self.options.phones)]
        for key in COLD:
            for user in self.users:
                register(self.subject[key].served_at, user, self.subject[key].domain,
                         self.load.contact(user))

    def register_phones(self, batch):
        """Phones of @batch at the spare node and at the spare Kamailio; returns kB spent at each."""
        spent = []
        for place in self.spare:
            before = memory_kib(place.pid)
            for n in range(self.options.phones):
                user = f"{batch}{n}"
                register(place.sip, user, place.domain, self.load.contact(user))
            spent.append((memory_kib(place.pid) - before) / self.options.phones)
        return spent

    def memory_table(self):
        """All at once, each on its own processes: first short calls, then calls that stay."""
        rate = self.options.memory_rate
        watched = {"Kamailio (the far one)": self.subject["chained"].pids["second"],
                   "a node": self.subject["inside"].pids["node"],
                   "caller's gateway": self.subject["between"].pids["caller's gateway"],
                   "callee's gateway": self.subject["between"].pids["callee's gateway"]}

        def phase(seconds, hold_s):
            runs = [self.load.start(s.target, s.domain, s.caller_domain, rate, rate * seconds,
                                    hold_ms=hold_s * 1000)
                    for s in (self.subject[k] for k in ("chained", "inside", "between"))]
            time.sleep(seconds - 1)
            seen = {name: memory_kib(pid) for name, pid in watched.items()}
            for run in runs:
                run.stop()
            return seen

        self.register_phones("first")  # their transactions' memory is used again by the second
        fresh = {name: memory_kib(pid) for name, pid in watched.items()}
        short = phase(TRANSACTION_S + 5, 0)
        held_s = TRANSACTION_S + 2
        held = phase(2 * held_s, held_s)
        phone = self.register_phones("second")
        print(f"\nMemory (proportional set size), {rate} calls a second on each way at once; Ringway "
              f"keeps a finished transaction for {TRANSACTION_S} s (RFC 3261), Kamailio for 5 s")
        per_rate, per_call = {}, {}
        for name in watched:
            per_rate[name] = (short[name] - fresh[name]) / rate
            per_call[name] = (held[name] - short[name]) / (rate * held_s)
            print(f"  {name:<26} {per_rate[name]:7.0f} kB for each call a second "
                  f"x {per_rate[name] / per_rate['Kamailio (the far one)']:5.2f}"
                  f"   {max(per_call[name], 0):6.1f} kB for each call that is up")
        print(f"  a registered phone: {phone[0]:.1f} kB at its node, which holds the overlay's record "
              f"too; {phone[1]:.1f} kB at Kamailio ({self.options.phones} phones)")

    def peer_memory(self):
        """What one more peer costs, by the simulator, which holds hundreds in one process."""
        program = os.path.join(self.lab.build, "tests/sim/main_overlay")
        if not os.access(program, os.X_OK):
            print("  a peer of the overlay: not told, the simulator is not built (make sim)")
            return
        most = []
        for peers in (100, 200):
            process = subprocess.Popen([program, "--peers", str(peers), "--lookups", "100"],
                                       stdout=subprocess.DEVNULL)
            most.append(os.wait4(process.pid, 0)[2].ru_maxrss)
            process.returncode = 0
        print(f"  a peer of the overlay: {(most[1] - most[0]) / 100:.0f} kB (Chord, simulated, 200 peers)")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500, help="calls a second where CPU is measured")
    parser.add_argument("--calls", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dials", type=int, default=200)
    parser.add_argument("--first-rate", type=int, default=700)
    parser.add_argument("--rate-limit", type=int, default=8000)
    parser.add_argument("--rate-seconds", type=float, default=2.0)
    parser.add_argument("--memory-rate", type=int, default=60)
    parser.add_argument("--phones", type=int, default=1500)
    parser.add_argument("--only", default="cpu,delay,rate,memory,floods",
                        help="which of cpu,delay,rate,memory,floods")
    parser.add_argument("--floods", default=",".join(floods.ROWS), help="which of " + ",".join(floods.ROWS))
    parser.add_argument("--flood-wait", type=int, default=60, help="seconds until a flood's memory is read again")
    return parser.parse_args()


def print_conditions(bench):
    print(f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, load before "
          f"{os.getloadavg()[0]:.1f}; {version('kamailio', '-v')}; {version('sipp', '-v')}")
    print("The call: INVITE, 100, 180, 200, ACK, BYE, 200, by UDP to and from both phones; between "
          "nodes and between gateways TLS.")
    print("Kamailio: one worker, UDP, transaction-stateful, record-routing, location in memory.  "
          "Islands: 3 nodes each, Chord.")
    print("SIPp sends ACK and BYE the way of its INVITE, so each subject forwards them, whether it "
          "record-routes or not.")
    if bench.load_cpu is not None:
        print("All subjects run on core 0, SIPp on core 1.  Warm: one callee.  Cold: another callee "
              "for each call, none in the node's cache.")


def main():
    options = parse_options()
    folder = tempfile.mkdtemp(prefix="ringway-bench-")
    bench = Bench(options, folder)
    sys.stdout.reconfigure(line_buffering=True)
    print_conditions(bench)
    try:
        bench.open()
        bench.idle()
        if "memory" in options.only:  # first: a heap that others have used tells nothing
            bench.memory_table()
            bench.peer_memory()
        if options.only not in ("rate", "floods"):
            bench.register_users()
        if "cpu" in options.only:
            bench.cpu_table("Inside one overlay, warm", ("kamailio", "inside"))
            bench.cpu_table("Inside one overlay, cold", ("kamailio", "inside"), bench.users)
            bench.cpu_table("Between islands, warm", ("chained", "between", "through"))
            bench.tls_share("between")
        if "delay" in options.only:
            bench.delay_table()
        if "rate" in options.only:
            bench.rate_table()
        if "floods" in options.only:
            floods.table(bench, options.floods.split(","), options.flood_wait)
    except (LabError, OSError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    finally:
        bench.close()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
