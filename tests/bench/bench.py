#!/usr/bin/env python3
"""make bench: Ringway beside Kamailio, the same SIPp call in the same run.  Prints ratios.

Machines differ and are shared: quote the ratios, not the times.
"""
import argparse
import os
import platform
import shutil
import sys
import tempfile
import time

from dial import Dialler
from measure import Kamailio, Load, cpu_s, median_and_p99, memory_kib, register
from lab import Lab, LabError

KAMAILIO, KAMAILIO_FAR, CALLER, CALLEE, DIAL = (f"127.40.0.{n}" for n in (1, 2, 8, 9, 10))


class Subject:
    """Something that carries calls: where they enter, and the processes that they cost."""

    def __init__(self, name, target, domain, caller_domain, pids):
        self.name, self.target, self.domain, self.caller_domain = name, target, domain, caller_domain
        self.pids = pids  # {label: pid}


def cpu_per_call(load, subject, rate, calls):
    """Microseconds of CPU a call, by process, at a steady rate; a tenth of the calls goes before."""
    load.run(subject.target, "bob", subject.domain, "alice", subject.caller_domain, rate,
             max(calls // 10, 10))
    before = {label: cpu_s(pid) for label, pid in subject.pids.items()}
    result = load.run(subject.target, "bob", subject.domain, "alice", subject.caller_domain, rate, calls)
    time.sleep(1)
    spent = {label: (cpu_s(pid) - before[label]) * 1e6 / calls for label, pid in subject.pids.items()}
    return spent, result


def report_cpu(title, rows, peer):
    """rows: [(name, label, microseconds, result)]; the peer's total is the measure."""
    print(f"\n{title}")
    for name, label, value, result in rows:
        note = f"   {result['failed']} failed, {result['retransmitted']} retransmitted" if result else ""
        print(f"  {name:<34} {label:<18} {value:8.0f} us a call   x {value / peer:5.2f}{note}")


def clean_rate(load, subject, start, step, limit, seconds):
    """The highest rate without a failed call or more than 0.1 % of retransmissions."""
    best, rate = 0, start
    while rate <= limit:
        calls = int(rate * seconds)
        result = load.run(subject.target, "bob", subject.domain, "alice", subject.caller_domain, rate, calls)
        if result["failed"] or result["retransmitted"] > calls * 0.001 or \
                result["seconds"] > seconds * 1.15 + 1:
            break
        best, rate = rate, rate + step
    return best


def post_dial(subject, count, cold_wait_s=0.0, cold_count=0):
    """(median, p99) of warm calls, and of calls with a pause that lets caches expire before each."""
    dialler = Dialler(DIAL, "alice", subject.caller_domain)
    uri = f"sip:bob@{subject.domain}"
    try:
        warm = [dialler.call(subject.target, uri) for _ in range(count + 5)][5:]
        cold = []
        for _ in range(cold_count):
            time.sleep(cold_wait_s)
            cold.append(dialler.call(subject.target, uri))
    finally:
        dialler.close()
    if None in warm or None in cold:
        raise LabError(f"{subject.name}: a call of the post-dial measurement was not answered")
    return median_and_p99(warm), median_and_p99(cold) if cold else None


def lab_of(folder):
    lab = Lab(folder=os.path.join(folder, "lab"), log_level="warn",
              sip_extra="max-requests-per-source = 1000000\n  max-pending-per-destination = 100000\n"
                        "  max-unacknowledged = 100000\n  max-calls = 200000")
    os.makedirs(lab.dir)
    lab.island("east", "127.41.0", site="bupt")
    lab.island("west", "127.42.0", site="pku")
    lab.prepare()
    lab.start()
    lab.wait_joined()
    return lab


def subjects_of(folder, lab, load):
    """Kamailio and a node for a call inside, two Kamailios and two islands for a call between."""
    near = Kamailio(folder, f"{KAMAILIO}:5060", "near.test", f"{KAMAILIO_FAR}:5060")
    far = Kamailio(folder, f"{KAMAILIO_FAR}:5060", "far.test")
    east, west = lab.islands
    one, other = east.gateway(), west.gateway()
    inside = east.others()[0]
    for node, domain in ((near.sip, "near.test"), (far.sip, "far.test"), (other.sip, west.domain),
                         (inside.sip, east.domain)):
        register(node, "bob", domain, load.contact("bob"))
    lab.wait_resolves(one, f"sip:bob@{west.domain}")
    everyone = {n.name: n.process.pid for n in lab.nodes()}
    return (near, far), {
        "kamailio": Subject("Kamailio, record-routing", near.sip, "near.test", "near.test",
                            {"kamailio": near.pid}),
        "inside": Subject("a node, not record-routing", inside.sip, east.domain, east.domain,
                          {"node": inside.process.pid}),
        "chained": Subject("two Kamailios, chained", near.sip, "far.test", "near.test",
                           {"first": near.pid, "second": far.pid}),
        "between": Subject("two islands, TLS between", one.sip, west.domain, east.domain,
                           {"caller's gateway": one.process.pid, "callee's gateway": other.process.pid,
                            **{f"idle {name}": pid for name, pid in everyone.items()
                               if pid not in (one.process.pid, other.process.pid)}}),
    }


def bench_cpu(load, subject, options):
    spent, results = {}, {}
    for key in ("kamailio", "inside", "chained", "between"):
        spent[key], results[key] = cpu_per_call(load, subject[key], options.rate, options.calls)
    peer = sum(spent["kamailio"].values())
    report_cpu(f"CPU, a call inside one overlay ({options.calls} calls, {options.rate} a second, warm)",
               [(subject[k].name, "whole", sum(spent[k].values()), results[k])
                for k in ("kamailio", "inside")], peer)
    peer = sum(spent["chained"].values())
    rows = [(subject["chained"].name, label, value, None) for label, value in spent["chained"].items()]
    rows.append((subject["chained"].name, "whole path", peer, results["chained"]))
    rows += [(subject["between"].name, label, value, None) for label, value in spent["between"].items()
             if not label.startswith("idle")]
    idle = sum(value for label, value in spent["between"].items() if label.startswith("idle"))
    rows.append((subject["between"].name, "other 4 nodes", idle, None))
    rows.append((subject["between"].name, "whole path", sum(spent["between"].values()) - idle,
                 results["between"]))
    report_cpu("CPU, a call between islands", rows, peer)


def bench_delay(subject, options):
    print("\nPost-dial delay, INVITE to 180, one call after the other (ms, median / p99)")
    for key in ("kamailio", "inside", "chained", "between"):
        is_ours = key in ("inside", "between")
        warm, cold = post_dial(subject[key], options.dials, 11 if is_ours else 0,
                               options.cold_dials if is_ours else 0)
        print(f"  {subject[key].name:<34} warm {warm[0]:7.2f} / {warm[1]:7.2f}"
              + (f"    cold {cold[0]:7.2f} / {cold[1]:7.2f}" if cold else ""))


def bench_rate(load, subject, options):
    print(f"\nHighest clean rate, steps of {options.step} calls a second, {options.rate_seconds} s each")
    for key in ("kamailio", "inside", "chained", "between"):
        best = clean_rate(load, subject[key], options.step, options.step, options.rate_limit,
                          options.rate_seconds)
        print(f"  {subject[key].name:<34} {best:6d} calls a second")


def bench_memory(load, subject, lab, options):
    print("\nMemory (proportional set size)")
    for key in ("kamailio", "inside", "chained", "between"):
        pids = subject[key].pids.values()
        before = sum(memory_kib(pid) for pid in pids)
        result = load.run(subject[key].target, "bob", subject[key].domain, "alice",
                          subject[key].caller_domain, options.rate, options.held, hold_ms=8000)
        after = sum(memory_kib(pid) for pid in pids)
        print(f"  {subject[key].name:<34} {options.held} calls of 8 s: {(after - before) / options.held:6.1f}"
              f" kB a call ({result['failed']} failed)")
    node = lab.islands[0].others()[0]
    before = memory_kib(node.process.pid)
    for n in range(options.phones):
        register(node.sip, f"phone{n}", lab.islands[0].domain, f"sip:phone{n}@127.40.0.20:5060")
    after = memory_kib(node.process.pid)
    print(f"  {'a registered phone':<34} {(after - before) / options.phones:6.1f} kB at its serving node "
          f"({options.phones} phones)")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=300)
    parser.add_argument("--calls", type=int, default=6000)
    parser.add_argument("--dials", type=int, default=300)
    parser.add_argument("--cold-dials", type=int, default=5)
    parser.add_argument("--step", type=int, default=250)
    parser.add_argument("--rate-limit", type=int, default=3000)
    parser.add_argument("--rate-seconds", type=int, default=5)
    parser.add_argument("--held", type=int, default=1000)
    parser.add_argument("--phones", type=int, default=500)
    parser.add_argument("--only", default="cpu,delay,memory,rate", help="which of cpu,delay,memory,rate")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="ringway-bench-")
    load, peers, lab = Load(folder, CALLER, CALLEE), (), None
    print(f"{os.cpu_count()} cores, {platform.release()}; SIPp on the same machine; UDP to the phones; "
          "one Kamailio worker; 3 nodes an island")
    try:
        load.start_callee()
        lab = lab_of(folder)
        peers, subject = subjects_of(folder, lab, load)
        if "cpu" in options.only:
            bench_cpu(load, subject, options)
        if "delay" in options.only:
            bench_delay(subject, options)
        if "memory" in options.only:
            bench_memory(load, subject, lab, options)
        if "rate" in options.only:
            bench_rate(load, subject, options)
    except LabError as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    finally:
        load.stop()
        for peer in peers:
            peer.stop()
        if lab:
            lab.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
