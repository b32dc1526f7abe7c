#!/usr/bin/env python3
"""make soak: two overlays under calls for some minutes, and a fault every few seconds, drawn from a list.

Each campus has three candidates, which fail in turn, and two nodes with phones, which do not.  Phones call from campus to
campus and inside, some hang up at once, some while it rings, either end hangs up.  What is counted: calls that were refused,
calls that were up and could not be ended from both ends, phones that ring or talk though their partner has gone, memory and
descriptors.  --seed repeats the order of the faults; the times are this machine's.
"""
import argparse
import collections
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lab"), os.path.join(HERE, "..", "bench")]
from control import ask  # noqa: E402
from lab import GLOBAL_PORT, Lab, LabError  # noqa: E402
from netns import Network, alone  # noqa: E402
from ends import Call, SoakPhone, Timers  # noqa: E402

CANDIDATES, PLAIN, USERS = 3, 2, 4   # nodes of a campus; phones of a node
SETTLE_S = 60                        # after the last call: all ends are over by then
REGISTERED_S = 3600
LIMITS = ("max-requests-per-source = 100000\n  max-pending-per-destination = 10000\n  max-unacknowledged = 10000")


class Campus:
    """One overlay's nodes and phones, and what may happen to its candidates."""

    def __init__(self, lab, network, name, net, algorithm, candidates=CANDIDATES, plain=PLAIN):
        self.island = lab.island(name, net, candidates + plain, algorithm)
        self.candidates, self.plain = self.island.nodes[:candidates], self.island.nodes[candidates:]
        self.network, self.space, self.phones = network, {}, []

    def open(self):
        for node in self.island.nodes:
            self.space[node] = self.network.space(f"{self.island.name}-{node.name[2:3]}", node.ip)
        for node in self.plain:
            node.configure(candidate="false")

    def start(self, node):
        node.start(self.space[node].wrap)

    def gateway(self):
        """The candidate that says it is active; where none does, one of those that run."""
        running = [node for node in self.candidates if node.is_running()]
        active = [n for n in running if (ask(n.socket, "/v1/election") or {}).get("role") == "active"]
        return (active or running or [None])[0]

    def standby(self):
        gateway = self.gateway()
        return next((n for n in self.candidates if n.is_running() and n is not gateway), None)

    def nft(self, node, rules):
        subprocess.run([*self.space[node].wrap, "nft", "-f", "-"], input=rules.encode(), check=True)

    def filter_ring(self, node, verdict):
        chains = "".join(f"add chain inet ring {hook} {{ type filter hook {hook} priority 0; }}\n"
                         f"add rule inet ring {hook} tcp dport {GLOBAL_PORT} {verdict}\n"
                         f"add rule inet ring {hook} tcp sport {GLOBAL_PORT} {verdict}\n" for hook in ("input", "output"))
        self.nft(node, "add table inet ring\n" + chains)

    def unfilter(self, node):
        self.nft(node, "delete table inet ring\n")


# ---- faults: each gets a campus and the timers, strikes now, and mends itself later ----------------------

def again(campus, timers, node, seconds):
    timers.after(seconds, lambda: node.is_running() or campus.start(node))


def kill(campus, timers):
    node = campus.gateway()
    node.kill()
    again(campus, timers, node, random.uniform(2, 6))


def kill_and_restart(campus, timers):
    node = campus.gateway()
    node.kill()
    again(campus, timers, node, 0.05)


def kill_standby(campus, timers):
    node = campus.standby()
    node.kill()
    again(campus, timers, node, random.uniform(2, 6))


def kill_two(campus, timers):
    kill(campus, timers)
    timers.after(0.4, lambda: kill(campus, timers))


def hang(campus, timers):
    process = campus.gateway().process
    process.send_signal(signal.SIGSTOP)
    timers.after(random.uniform(1, 6), lambda: process.poll() is not None or process.send_signal(signal.SIGCONT))


def cut(campus, timers):
    node = campus.gateway()
    campus.space[node].set_link(False)
    timers.after(random.uniform(1, 6), lambda: campus.space[node].set_link(True))


def ring_dropped(campus, timers):
    node = campus.gateway()
    campus.filter_ring(node, "drop")
    timers.after(5, lambda: campus.unfilter(node))


def ring_refused(campus, timers):
    node = campus.gateway()
    campus.filter_ring(node, "reject with tcp reset")
    timers.after(5, lambda: campus.unfilter(node))


def leave(campus, timers):
    node = campus.gateway()
    process = node.process
    process.send_signal(signal.SIGTERM)

    def once_ended():
        if process.poll() is None:
            timers.after(0.2, once_ended)
        else:
            again(campus, timers, node, 1)
    timers.after(0.5, once_ended)


def hand_over(campus, _timers):
    gateway, standby = campus.gateway(), campus.standby()
    ask(gateway.socket, "/v1/election/handover", {"node": standby.name})


FAULTS = {"kill": kill, "kill-restart": kill_and_restart, "kill-standby": kill_standby, "kill-two": kill_two, "hang": hang,
          "cut": cut, "ring-dropped": ring_dropped, "ring-refused": ring_refused, "leave": leave, "hand-over": hand_over}


# ---- the run -----------------------------------------------------------------------------------------------

def held(node):
    """(resident KiB, descriptors) of a daemon that runs."""
    if not node.is_running():
        return None
    pid = node.process.pid
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return resident, len(os.listdir(f"/proc/{pid}/fd"))


class Soak:
    """Calls, faults and the account of both."""

    def __init__(self, options, folder):
        self.options, self.timers = options, Timers()
        self.network = Network()
        self.lab = Lab(folder=os.path.join(folder, "lab"), hello_ms=options.hello, log_level=options.log_level,
                       sip_extra=LIMITS)
        os.makedirs(self.lab.dir, exist_ok=True)
        self.campuses = [Campus(self.lab, self.network, name, f"10.77.{net}", algorithm) for name, net, algorithm in
                         zip(("east", "west"), (11, 12), options.algorithms.split(","))]
        self.calls, self.over = {}, []
        self.faults = []  # (when, what)
        self.memory = []
        self.orphans = collections.Counter()
        self.count = 0

    def open(self):
        self.lab.prepare()
        for campus in self.campuses:
            campus.open()
            for node in campus.island.nodes:
                campus.start(node)
        self.lab.wait_joined(60)
        addresses = [[f"10.77.{200 + c}.{n * 10 + u + 1}" for n in range(PLAIN) for u in range(USERS)]
                     for c in range(len(self.campuses))]
        space = self.network.space("phones", *(ip for one in addresses for ip in one))
        with space.inside():
            for campus, ips in zip(self.campuses, addresses):
                for k, ip in enumerate(ips):
                    campus.phones.append(SoakPhone(self.timers, self.calls, ip, f"user{k}", campus.island.domain,
                                                   campus.plain[k % PLAIN].sip))
        for phone in self.phones():
            phone.register(REGISTERED_S)

    def phones(self):
        return [phone for campus in self.campuses for phone in campus.phones]

    def close(self):
        for node in self.lab.nodes():
            if node.is_running():
                node.process.send_signal(signal.SIGCONT)
        if self.options.keep_logs:
            os.makedirs(self.options.keep_logs, exist_ok=True)
        codes = self.lab.stop(keep=True)
        for node in self.lab.nodes():
            if self.options.keep_logs:
                shutil.move(node.log_path, os.path.join(self.options.keep_logs, f"{node.island.name}-{node.name}.log"))
        for phone in self.phones():
            phone.close()
        self.network.close()
        return {name: code for name, code in codes.items() if code not in (0, None)}

    # ---- calls -----------------------------------------------------------------------------------------

    def dial(self):
        caller = random.choice(self.phones())
        others = [p for p in self.phones() if p is not caller]
        far = [p for p in others if p.domain != caller.domain]
        callee = random.choice(far if random.random() < 0.75 else others)
        plan = {"ring_s": random.choice((0, 0.2, 1.0, 3.0)), "hold_s": random.choice((0, 0.5, 5.0, 20.0)),
                "ends": random.choice(("caller", "callee")), "cancel_s": random.choice((0,) * 9 + (0.5,))}
        if plan["cancel_s"]:
            plan["ring_s"] = 30.0
        self.count += 1
        call = self.calls[self.count] = Call(self.count, caller, callee, plan)
        caller.dial(call)

    def pace(self):
        self.dial()
        self.timers.after(max(0.0, self.next_call - time.monotonic()), self.pace)
        self.next_call += 1 / self.options.rate

    def look_over(self):
        """Once a second: who is left behind, and which calls are over."""
        now = time.monotonic()
        for call in list(self.calls.values()):
            for what in call.orphans(now):
                if not getattr(call, "is_orphaned", False):
                    call.is_orphaned = True
                    self.orphans[what] += 1
                    self.tell(f"call {call.number} {call.caller.uri} -> {call.callee.uri}: {what}, the other end is over; "
                              f"status {call.status}, begun {call.begin - self.begin:.1f} s{self.since_fault(call.begin)}"
                              f"{call.targets()}")
            if call.is_over() and now > call.caller_end + 35:
                call.caller.forget(call)
                call.judge()
                del self.calls[call.number]
                self.over.append(call)
        if self.is_calling or self.calls:
            self.timers.after(1.0, self.look_over)

    def measure(self):
        self.memory.append((time.monotonic() - self.begin, {
            f"{n.island.name}/{n.name}": held(n) for c in self.campuses for n in c.plain}))
        if self.is_calling:
            self.timers.after(30.0, self.measure)

    # ---- faults ------------------------------------------------------------------------------------------

    def strike(self):
        if not self.is_calling:
            return
        name = self.order[len(self.faults) % len(self.order)]
        campus = self.campuses[random.randrange(len(self.campuses))]
        what = f"{name} {campus.island.name}"
        self.faults.append((time.monotonic(), what))
        try:
            FAULTS[name](campus, self.timers)
        except (AttributeError, OSError, subprocess.SubprocessError) as problem:
            self.tell(f"{what} could not be done: {problem}")
        self.tell(f"{what}")
        self.timers.after(self.options.every, self.strike)

    def since_fault(self, at):
        before = [(when, what) for when, what in self.faults if when <= at]
        return f", {at - before[-1][0]:.3f} s after {before[-1][1]}" if before else ""

    def tell(self, text):
        print(f"# {time.monotonic() - self.begin:7.1f} s {text}", flush=True)

    # ---- all of it -----------------------------------------------------------------------------------------

    def turn(self, until, is_done=lambda: False):
        phones = self.phones()
        sockets = [phone.socket for phone in phones]
        while time.monotonic() < until and not is_done():
            self.timers.turn()
            for phone in phones:
                phone.turn()
            select.select(sockets, [], [], 0.002)

    def run(self):
        names = [name for name in self.options.faults.split(",") if name]
        random.seed(self.options.seed)
        self.order = [name for _ in range(100) for name in random.sample(names, len(names))]
        self.begin = self.next_call = time.monotonic()
        self.is_calling = True
        self.measure()
        self.look_over()
        self.pace()
        if self.order:
            self.timers.after(self.options.every, self.strike)
        self.turn(self.begin + self.options.seconds)
        self.is_calling, self.next_call = False, float("inf")
        self.turn(time.monotonic() + SETTLE_S + 40, lambda: not self.calls)
        self.measure()

    def report(self):
        all_calls = self.over + list(self.calls.values())
        wanted = [c for c in all_calls if not c.plan["cancel_s"]]
        failed = [c for c in wanted if c.status != 200]
        cancelled = [c for c in all_calls if c.plan["cancel_s"] and c.status not in (487, 200)]
        lost = [c for c in all_calls if c.lost]
        twice = [c for c in all_calls if len(c.rings) > 1]
        for what, calls in (("failed", failed), ("cancelled", cancelled), ("lost", lost), ("rang twice", twice)):
            for c in calls[:self.options.tell]:
                print(f"# {what}: call {c.number} {c.caller.uri} -> {c.callee.uri}, {c.status} {c.lost} after "
                      f"{(c.caller_end or time.monotonic()) - c.begin:.2f} s, begun "
                      f"{c.begin - self.begin:.1f} s{self.since_fault(c.begin)}{c.targets()}")
        print(f"calls {len(all_calls)}, faults {len(self.faults)}, seed {self.options.seed}")
        statuses = dict(collections.Counter(c.status for c in failed))
        print(f"set-ups failed {len(failed)} {statuses or ''}")
        print(f"cancelled calls with another final than 487 {len(cancelled)} "
              f"{dict(collections.Counter(c.status for c in cancelled)) or ''}")
        print(f"calls lost {len(lost)} {dict(collections.Counter(c.lost for c in lost)) or ''}")
        print(f"rang twice {len(twice)}, phones orphaned {sum(self.orphans.values())} {dict(self.orphans) or ''}, "
              f"left at the end {len(self.calls)}, strays {sum(p.strays for p in self.phones())}")
        for name in self.memory[0][1]:
            rows = [(at, seen[name]) for at, seen in self.memory if seen[name]]
            middle = rows[len(rows) // 2]
            print(f"{name}: resident MiB, descriptors at " + "; ".join(
                f"{at:.0f} s {kib / 1024:.1f}, {fds}" for at, (kib, fds) in (rows[0], middle, rows[-1])))
        per = max(1.0, len(all_calls) / 10000)
        return 0 if len(failed) <= per and len(lost) <= per and not self.orphans and not self.calls else 1


def parse_options():
    parser = argparse.ArgumentParser(prog="make soak SOAK=...", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", type=float, default=50, help="calls a second")
    parser.add_argument("--every", type=float, default=15, help="seconds between faults")
    parser.add_argument("--faults", default=",".join(FAULTS), help=f"which of {','.join(FAULTS)}")
    parser.add_argument("--algorithms", default="chord,pastry", help="of east and west")
    parser.add_argument("--hello", type=int, default=100, help="ms")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--keep-logs", metavar="FOLDER", help="the nodes' logs are put there")
    parser.add_argument("--tell", type=int, default=20, help="of each kind of failure")
    return parser.parse_args()


def main():
    options = parse_options()
    folder = alone()
    sys.stdout.reconfigure(line_buffering=True)
    code, soak = 1, Soak(options, folder)
    try:
        soak.open()
        soak.run()
        code = soak.report()
    except (LabError, OSError) as problem:
        print(f"soak: {problem}", file=sys.stderr)
    except KeyboardInterrupt:
        print("soak: interrupted", file=sys.stderr)
        code = 130
    finally:
        wrong = soak.close()
        for name, exit_code in wrong.items():
            print(f"{name} ended with {exit_code}")
            code = code or 1
    return code


if __name__ == "__main__":
    sys.exit(main())
