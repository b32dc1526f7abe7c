#!/usr/bin/env python3
"""make bench-failover: the active gateway fails; how long until another does its work, and what it costs to be ready
for it, beside keepalived.

Ringway's island and a VRRP router live on one bridge, with one interval for HELLO and advertisement, and
fail in turn: the process is killed, the process is stopped, the link is cut.  Times are from the fault.
Machines differ and are shared: quote the ratios.  A run that did not come about is told, never left out.
"""
import argparse
import gc
import hashlib
import os
import platform
import random
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time

from measure import version
from after import BEFORE_S, After
from control import Resolver, ask
from cost import copies_table, hello_table
from lab import GLOBAL_PORT, ROOT, Lab, LabError, wait_for
from netns import Network, alone
from stream import Stream
from vrrp import LogTail, Vrrp

FAULTS = {"kill": "SIGKILL", "stop": "SIGSTOP", "cut": "link cut", "ring": "the ring's port is cut",
          "kill-two": "SIGKILL of two, 0.3 s apart", "kill-restart": "SIGKILL, and a start at once"}
ROUTERS_FAULTS = ("kill", "stop", "cut")  # what keepalived has, too
HEALED_FAULTS = ("stop", "cut")
SECOND_S = 0.3  # after the first
RING_S = 10.0   # calls of so long show what a gateway does that is cut off from the ring alone
BUILD = os.environ.get("RINGWAY_BUILD") or os.path.join(ROOT, "build/release")
GAVE_UP_S = 15
OVERLAY = "east"  # whose gateway fails
RECORD = hashlib.sha1(f"overlay@{OVERLAY}".encode()).digest()[:16]


def node_id(ip):
    return hashlib.sha1(ip.encode()).digest()[:16]


def holder(ips):
    """Whom of a Chord ring the overlay's record belongs to: the first at or after it."""
    return min(ips, key=lambda ip: (node_id(ip) < RECORD, node_id(ip)))


def choose_net(others):
    """A net in which two of three candidates would hold their own record in the ring, and one not."""
    for third in range(1, 100):
        ips = [f"10.77.{third}.{n}" for n in (1, 2, 3)]
        if sum(holder([ip, *others]) == ip for ip in ips) == 2:
            return f"10.77.{third}"
    raise LabError("no net holds its own record")


class Clock:
    """Turns all parts until the question is answered or the time is over."""

    @staticmethod
    def run(parts, question, timeout):
        """@parts: things with sockets() and turn(); @question: called after each round."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for part in parts:
                part.turn()
            if question():
                return True
            select.select([s for part in parts for s in part.sockets()], [], [], 0.001)
        return False


class Islands:
    """East, whose gateway fails; west, whom it calls and that calls it; others that make up the ring."""

    def __init__(self, network, folder, options):
        self.options = options
        self.is_whole = True  # False: it did not come back to where it was, and has to be made anew
        self.lab = Lab(folder=os.path.join(folder, "lab"), hello_ms=options.hello,
                       log_level=options.log_level,
                       sip_extra="max-requests-per-source = 100000\n  max-pending-per-destination = 10000\n"
                                 "  max-unacknowledged = 10000")
        os.makedirs(self.lab.dir, exist_ok=True)
        others = [(f"west{n or ''}", f"10.77.{101 + n}") for n in range(options.islands - 1)]
        net = choose_net([f"{other}.1" for _, other in others])
        self.east = self.lab.island(OVERLAY, net, options.candidates + 1, options.algorithm)
        for n, (name, other) in enumerate(others):
            self.lab.island(name, other, 1 if n else 2, options.algorithm)
        self.west = self.lab.islands[1]
        self.lab.prepare()
        self.space = {node: network.space(f"{node.island.name}-{node.name[2:3]}", node.ip)
                      for node in self.lab.nodes()}
        self.plain = {island: island.nodes[-1] for island in (self.east, self.west)}
        for node in self.plain.values():  # where the phones are: never a gateway, never touched
            node.configure(candidate="false")
        self.candidates = self.east.nodes[:-1]
        phones = network.space("phones", *(f"10.77.250.{n}" for n in range(1, 9)))
        end = {"east": (self.east, self.plain[self.east]), "west": (self.west, self.plain[self.west])}
        every, hold = options.call_interval / 1000, options.hold / 1000
        self.streams = {"from": Stream(phones, ("10.77.250.1", "ann", *end["east"]),
                                       ("10.77.250.2", "bob", *end["west"]), every, hold),
                        "to": Stream(phones, ("10.77.250.3", "cid", *end["west"]),
                                     ("10.77.250.4", "dan", *end["east"]), every, hold)}
        self.after = After(phones, [(*end["east"], "10.77.250.5", "10.77.250.6"),
                                    (*end["west"], "10.77.250.7", "10.77.250.8")])
        self.resolver = None

    def start(self, node):
        node.start(self.space[node].wrap)

    def again(self):
        """All daemons end and start anew, without memory of what was."""
        for node in self.lab.nodes():
            if node.is_running():
                node.kill()
            self.space[node].set_link(True)
        self.is_whole = True
        self.open()

    def open(self):
        for node in self.lab.nodes():
            self.start(node)
        self.lab.wait_joined()
        self.settle()
        for stream in (*self.streams.values(), self.after):
            stream.register()

    def close(self):
        for node in self.lab.nodes():
            if node.is_running():
                node.process.send_signal(signal.SIGCONT)
        self.lab.stop()
        for stream in (*self.streams.values(), self.after):
            stream.close()

    # ---- settled --------------------------------------------------------------------------------------

    def ring(self):
        """The other islands' gateways."""
        return [island.nodes[0] for island in self.lab.islands[1:]]

    def unsettled(self):
        """What is not yet as it was, None if all is: the gateway agreed on, every candidate saying HELLO,
        the gateway in the ring and its entry on all of the ring's first three members."""
        seen = {node: ask(node.socket, "/v1/election") for node in self.candidates}
        if None in seen.values():
            return "a node does not answer"
        actives = {(e["active"] or {}).get("name") for e in seen.values()}
        gateway = next((n for n in self.candidates if {n.name} == actives), None)
        if not gateway or [n for n, e in seen.items() if e["role"] == "active"] != [gateway]:
            return f"gateways {actives}"
        standby = seen[gateway]["candidates"]
        if len(standby) != len(self.candidates) - 1:
            return f"{len(standby)} stand-bys"
        slow = 10 if len(standby) > 3 else 1
        if any(c["hello"]["last_ms"] is None or c["hello"]["last_ms"] > 2 * slow * self.options.hello
               for c in standby):
            return "a stand-by says no HELLO"
        if any(seen[n]["role"] != "candidate" for n in self.candidates if n is not gateway):
            return "no candidate"
        return self.unsettled_peers(gateway, seen[gateway]["active"]["node_id"])

    def unsettled_peers(self, gateway, gateway_id):
        for node in self.east.nodes:
            status = ask(node.socket, "/v1/status")
            if not status or status["local"]["state"] != "joined" or \
                    status["local"]["neighbours"] < len(self.east.nodes) - 1:
                return f"{node.name} has not joined"
            if node in self.candidates and status["global"]["state"] != "joined":
                return f"{node.name} is no client of the ring"
        for node in (gateway, *self.ring()[:2]):
            overlay = ask(node.socket, "/v1/overlay/global")
            if not overlay or not any(r["resource"] == RECORD.hex() and r["key"] == gateway_id and r["exists"]
                                      for r in overlay["held"]):
                return f"{node.island.name}'s gateway does not hold the record"
        contacts = (ask(self.west.nodes[0].socket, f"/v1/resolve?uri=sip:overlay@{OVERLAY}&cache=no&hops=no")
                    or {}).get("contacts", [])
        if len(contacts) != 1 or gateway.ip + ":" not in contacts[0]:
            return f"resolved as {contacts}"
        return None

    def settle(self, timeout=30):
        seen = []

        def question():
            seen[:] = [self.unsettled()]
            return seen[0] is None
        try:
            wait_for("settled", question, timeout, 0.05)
        except LabError as problem:
            self.is_whole = False
            raise LabError(f"not as before within {timeout} s: {seen[0]}") from problem
        return self.gateway()

    def gateway(self):
        """The candidate that says it is active, None if none or several do."""
        found = [n for n in self.candidates
                 if (ask(n.socket, "/v1/election") or {}).get("role") == "active"]
        return found[0] if len(found) == 1 else None

    def hand_over_for(self, wants_holder):
        """See to it that the gateway does, or does not, hold the overlay's record in the ring itself."""
        gateway = self.gateway()
        if self.is_holder(gateway) == wants_holder:
            return gateway
        other = next((n for n in self.candidates if self.is_holder(n) == wants_holder), None)
        if not other:
            return gateway
        ask(gateway.socket, "/v1/election/handover", {"node": other.name})
        wait_for("the hand-over", lambda: self.gateway() is other, 10, 0.02)
        return self.settle()

    def is_holder(self, node):
        return holder([node.ip, *(n.ip for n in self.ring())]) == node.ip

    def has_calls(self, gateway):
        """Calls go both ways, and the phones' node knows of this gateway."""
        if any(stream.answered() < 5 for stream in self.streams.values()):
            return False
        active = (ask(self.plain[self.east].socket, "/v1/election") or {}).get("active")
        return active and active["name"] == gateway.name

    # ---- a run ------------------------------------------------------------------------------------------

    def strike(self, node, fault):
        if fault == "cut":
            self.space[node].set_link(False)
        elif fault == "ring":
            self.filter_ring(node)
        else:
            node.process.send_signal(signal.SIGSTOP if fault == "stop" else signal.SIGKILL)
        if fault == "kill-restart":
            node.kill()
            self.start(node)

    def strike_second(self, fault):
        """The one that took over, a moment later; or nothing."""
        second = self.gateway() if fault == "kill-two" else None
        if second:
            second.kill()
        return second

    def filter_ring(self, node):
        hooks = "".join(f"add chain inet ring {hook} {{ type filter hook {hook} priority 0; }}\n"
                        f"add rule inet ring {hook} tcp dport {GLOBAL_PORT} drop\n"
                        f"add rule inet ring {hook} tcp sport {GLOBAL_PORT} drop\n" for hook in ("input", "output"))
        self.nft(node, "add table inet ring\n" + hooks)

    def nft(self, node, rules):
        subprocess.run([*self.space[node].wrap, "nft", "-f", "-"], input=rules.encode(), check=True)

    def mend(self, node, fault):
        if fault == "cut":
            self.space[node].set_link(True)
        elif fault == "stop":
            node.process.send_signal(signal.SIGCONT)
        elif fault == "ring":
            self.nft(node, "delete table inet ring\n")
        elif fault != "kill-restart":
            node.kill()
            self.start(node)

    def run(self, fault, wants_holder):
        """One failover: {what: ms from the fault, None where it did not come about}."""
        self.settle()
        gateway = self.hand_over_for(wants_holder)
        streams = list(self.streams.values())
        for stream in streams:
            stream.start()
        self.streams["to"].next_s += self.options.call_interval / 2000
        if not Clock.run(streams, lambda: self.has_calls(gateway), 5):
            raise LabError("no calls before the fault: " + ", ".join(
                f"{name} {s.answered()} answered, {s.refused(0)}" for name, s in self.streams.items()))
        watch = Watch(self, gateway)
        is_mended = False
        try:
            self.after.begin()
            Clock.run([*streams, self.after], lambda: False, BEFORE_S + random.uniform(0, self.options.hello / 1000))
            watch.watch(fault)
            Clock.run([*streams, self.after], self.after.is_over, GAVE_UP_S)
            watch.seen["after"] = self.after.account()
            self.mend(gateway, fault)
            is_mended = True
            if fault in HEALED_FAULTS:
                watch.wait_healed()
            return watch.seen
        finally:
            if not is_mended:
                self.mend(gateway, fault)
            if watch.second:
                self.start(watch.second)
            watch.close()
            for stream in streams:
                stream.is_running = False
            Clock.run(streams, lambda: False, 0.05)


class Watch:
    """What happens after a fault."""

    def __init__(self, islands, gateway):
        self.islands, self.gateway = islands, gateway
        self.standby = [n for n in islands.candidates if n is not gateway]
        self.tails = {node: LogTail(node.log_path) for node in self.standby}
        self.former = LogTail(gateway.log_path)
        self.resolver = Resolver(islands.west.nodes[0].socket, f"sip:overlay@{OVERLAY}")
        self.seen = {"is_holder": islands.is_holder(gateway)}
        self.second = None
        self.begin = 0.0

    def close(self):
        for tail in (*self.tails.values(), self.former):
            tail.close()
        self.resolver.close()

    def since(self, at):
        return (at - self.begin) * 1000

    def sockets(self):
        return self.resolver.sockets()

    def turn(self):
        now = time.monotonic()
        for node, tail in self.tails.items():
            for line in tail.lines():
                if "taken for dead" in line:
                    self.seen.setdefault("verdicts", {})[node.name] = \
                        f"{self.since(now):.0f}, turn in {line.rsplit(' in ', 1)[1]}"
                if "candidate -> active" in line:
                    self.seen.setdefault("active", self.since(now))
                    self.seen.setdefault("successor", node.name)
        for contacts in self.resolver.turn():
            if "record" not in self.seen and len(contacts) == 1 and \
                    any(f"sip:{n.ip}:" in contacts[0] for n in self.standby):
                self.seen["record"] = self.since(time.monotonic())

    def is_done(self):
        for name, stream in self.islands.streams.items():
            at = stream.first_answer(self.begin)
            if name not in self.seen and at is not None:
                self.seen[name] = self.since(at)
        return all(what in self.seen for what in ("active", "record", *self.islands.streams))

    def watch(self, fault):
        streams = self.islands.streams
        gc.disable()
        try:
            self.islands.after.struck(*((RING_S,) if fault == "ring" else ()))
            self.begin = time.monotonic()
            self.islands.strike(self.gateway, fault)
            parts = [self, *streams.values(), self.islands.after]
            if fault == "kill-two":
                Clock.run(parts, lambda: "active" in self.seen and time.monotonic() > self.begin + SECOND_S, GAVE_UP_S)
                self.second = self.islands.strike_second(fault)
            Clock.run(parts, self.is_done, GAVE_UP_S)
        finally:
            gc.enable()
        for name, stream in streams.items():
            self.seen[f"{name}_refused"] = stream.refused(self.begin)
        self.seen["steps"] = self.steps()

    def steps(self):
        """What the successor says of its take-over."""
        taken = [t["steps"] for n in self.standby if n.name == self.seen.get("successor")
                 for t in ask(n.socket, "/v1/election/history") or [] if t["to"] == "active"]
        return {k: v for k, v in taken[-1].items() if k != "gateway"} if taken else {}

    def wait_healed(self):
        """The fault is over: until the former gateway has stepped down beside its successor."""
        self.begin = time.monotonic()
        tail = self.former

        def is_healed():
            if any("active -> " in line for line in tail.lines()):
                self.seen["healed"] = self.since(time.monotonic())
            return "healed" in self.seen
        Clock.run(self.islands.streams.values(), is_healed, 2 * GAVE_UP_S)


class Routers:
    """keepalived's side of the comparison."""

    def __init__(self, network, folder, options):
        self.vrrp = Vrrp(network, folder, options.routers, options.hello)
        self.interval_s = options.hello / 1000

    def strike(self, node, fault):
        if fault == "cut":
            node.space.set_link(False)
        else:
            node.signal(signal.SIGKILL if fault == "kill" else signal.SIGSTOP)

    def mend(self, node, fault):
        if fault == "cut":
            node.space.set_link(True)
        elif fault == "stop":
            node.signal(signal.SIGCONT)
        else:
            node.wait()
            node.start()

    def run(self, fault):
        self.vrrp.settle()
        master, *backup = self.vrrp.nodes
        tails = [LogTail(node.log_path) for node in backup]
        seen = {}
        probe = self.vrrp.probe

        class Parts:
            """Turned by the clock."""
            sockets = staticmethod(probe.sockets)

            @staticmethod
            def turn():
                now = time.monotonic()
                for tail in tails:
                    if any("Entering MASTER STATE" in line for line in tail.lines()):
                        seen.setdefault("master", (now - begin) * 1000)
                if any(mac != master.mac for mac in probe.turn()):
                    seen.setdefault("answers", (time.monotonic() - begin) * 1000)
        begin = time.monotonic()
        Clock.run([Parts], lambda: False, random.uniform(0, self.interval_s))
        gc.disable()
        try:
            begin = time.monotonic()
            self.strike(master, fault)
            Clock.run([Parts], lambda: len(seen) == 2, GAVE_UP_S)
        finally:
            gc.enable()
            self.mend(master, fault)
            for tail in tails:
                tail.close()
        if fault != "kill":
            mended = time.monotonic()
            Clock.run([probe], lambda: len(self.vrrp.masters()) < 2, GAVE_UP_S)
            seen["healed"] = (time.monotonic() - mended) * 1000
        return seen

    def close(self):
        self.vrrp.close()


# ---- the table ------------------------------------------------------------------------------------------

def figures(runs, what):
    return sorted(run[what] for run in runs if run.get(what) is not None)


def print_row(name, values, count, beside=None):
    if not values:
        print(f"  {name:<58} -   in none of {count} runs")
        return
    middle = statistics.median(values)
    text = f"  {name:<58} {values[0]:7.0f} / {middle:6.0f} / {values[-1]:6.0f}"
    if beside:
        text += f"   x {middle / statistics.median(beside):5.2f}"
    if len(values) < count:
        text += f"   in {len(values)} of {count} runs"
    print(text)


def print_after(runs):
    """The calls of the worst moment."""
    runs = [run["after"] for run in runs if "after" in run]
    refused = {}
    for run in runs:
        for status, count in run["refused"].items():
            refused[status] = refused.get(status, 0) + count
    told = ", ".join(f"{count} with {status or 'no response'}" for status, count in sorted(refused.items()))
    print(f"  Ringway: calls from {BEFORE_S:g} s before, 1 ms after and every 100 ms: {sum(run['calls'] for run in runs)}; refused "
          f"{sum(refused.values())}{' (' + told + ')' if told else ''}, lost {sum(run['lost'] for run in runs)}, "
          f"phones orphaned {sum(run['orphaned'] for run in runs)}, rang twice {sum(run['rang_twice'] for run in runs)}")


def print_fault(fault, ours, theirs, problems):
    print(f"\n{FAULTS[fault]}: ms, least / median / most of {len(ours)} failovers of Ringway and "
          f"{len(theirs)} of keepalived; x: ours by theirs")
    master, answers = figures(theirs, "master"), figures(theirs, "answers")
    if fault in ROUTERS_FAULTS:
        print_row("keepalived: the backup is master", master, len(theirs))
        print_row("keepalived: the shared address answers from it", answers, len(theirs))
    print_row("Ringway: another gateway is active", figures(ours, "active"), len(ours), master)
    print_row("Ringway: the ring's other members resolve to it", figures(ours, "record"), len(ours), answers)
    for is_holder in (False, True):
        some = [run for run in ours if run["is_holder"] == is_holder]
        if some:
            which = "the dead one held it" if is_holder else "another node held the record"
            print_row(f"    {which} ({len(some)} runs)", figures(some, "record"), len(some), answers)
    print_row("Ringway: first new call from the island is answered", figures(ours, "from"), len(ours), answers)
    print_row("Ringway: first new call to the island is answered", figures(ours, "to"), len(ours), answers)
    print_after(ours)
    if fault in HEALED_FAULTS:
        healed = figures(theirs, "healed")
        print_row("keepalived: one master again, from the fault's end", healed, len(theirs))
        print_row("Ringway: one gateway again, from the fault's end", figures(ours, "healed"), len(ours))
    refused = {}
    for run in ours:
        for name in ("from", "to"):
            for status, count in run[f"{name}_refused"].items():
                refused[name, status] = refused.get((name, status), 0) + count
    if refused:
        print("    calls refused meanwhile: " + ", ".join(
            f"{count} {name} the island with {status}" for (name, status), count in sorted(refused.items())))
    for problem in problems:
        print(f"  did not come about: {problem}")


def print_conditions(options):
    print(f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, load before "
          f"{os.getloadavg()[0]:.1f}; {version('keepalived', '--version')}; "
          f"{version(os.path.join(BUILD, 'ringwayd'), '--version')}")
    print(f"HELLO interval and advert_int {options.hello} ms, three missed.  Each node in a network namespace "
          "of its own, all on one bridge.")
    print(f"Ringway: {options.islands} islands ({options.algorithm}); the one whose gateway fails has "
          f"{options.candidates} candidates and a node that serves phones.  A new call between two such nodes "
          f"every {options.call_interval} ms each way, by UDP to and from the phones.")
    print(f"keepalived: {options.routers} nodes, VRRP version 3, highest priorities (least skew); the address is "
          "asked every ms by ICMP.")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="of each fault")
    parser.add_argument("--faults", default=",".join(FAULTS), help="which of " + ",".join(FAULTS))
    parser.add_argument("--hello", type=int, default=100, help="ms between HELLOs, and advertisements")
    parser.add_argument("--candidates", type=int, default=3, help="of the island whose gateway fails")
    parser.add_argument("--islands", type=int, default=3)
    parser.add_argument("--algorithm", default="chord")
    parser.add_argument("--routers", type=int, default=2, help="nodes of keepalived; 0: none")
    parser.add_argument("--call-interval", type=int, default=20, help="ms between new calls")
    parser.add_argument("--hold", type=int, default=0, help="ms that a call stays up")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--only", default="failover,hello,copies", help="which of failover,hello,copies")
    parser.add_argument("--hello-candidates", default="10,100",
                        help="sizes of the idle islands")
    parser.add_argument("--seconds", type=int, default=5, help="for each figure of hello and copies")
    parser.add_argument("--rounds", type=int, default=3, help="of copies")
    parser.add_argument("--keep-logs", metavar="FOLDER", help="copy the nodes' logs there")
    parser.add_argument("--raw", action="store_true", help="tell each run")
    return parser.parse_args()


def measure(islands, routers, fault, options):
    ours, theirs, problems = [], [], []
    for n in range(options.runs):
        for name, runs, one in (("Ringway", ours, lambda n=n: islands.run(fault, n % 2 == 1)),
                                ("keepalived", theirs, lambda: routers.run(fault))):
            if name == "keepalived" and (not routers or fault not in ROUTERS_FAULTS):
                continue
            begin = time.monotonic()
            try:
                runs.append(one())
            except LabError as problem:
                problems.append(f"{name}, run {n + 1}: {problem}")
                print(f"# {problems[-1]}", file=sys.stderr)
                if not islands.is_whole:
                    islands.again()
                continue
            if options.raw:
                print(f"# {fault} {n + 1} {name} {time.monotonic() - begin:.1f} s: " + ", ".join(
                    f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in runs[-1].items()),
                    file=sys.stderr)
    print_fault(fault, ours, theirs, problems)


def keep_logs(islands, folder):
    os.makedirs(folder, exist_ok=True)
    for node in islands.lab.nodes():
        shutil.copy(node.log_path, os.path.join(folder, f"{node.island.name}-{node.name}.log"))


def failover_tables(folder, options):
    network, islands, routers = Network(), None, None
    try:
        islands = Islands(network, folder, options)
        if options.routers:
            routers = Routers(network, folder, options)
        islands.open()
        for fault in options.faults.split(","):
            measure(islands, routers, fault, options)
    finally:
        if islands and options.keep_logs:
            keep_logs(islands, options.keep_logs)
        for one in (islands, routers, network):
            if one:
                one.close()


def cost_tables(folder, options):
    def islands_of(network, where, candidates):
        return Islands(network, where, argparse.Namespace(**{
            **vars(options), "candidates": candidates, "hold": 1000, "call_interval": 20}))

    if "hello" in options.only:
        hello_table(Network, folder, options, lambda network: Vrrp(network, folder, 2, options.hello))
    if "copies" in options.only:
        copies_table(Network, islands_of, lambda parts, s: Clock.run(parts, lambda: False, s), folder, options)


def main():
    options = parse_options()
    folder = alone()
    sys.stdout.reconfigure(line_buffering=True)
    print_conditions(options)
    code = 0
    try:
        if "failover" in options.only:
            failover_tables(folder, options)
        cost_tables(folder, options)
    except (LabError, OSError, subprocess.SubprocessError) as problem:
        print(f"bench-failover: {problem}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("bench-failover: interrupted", file=sys.stderr)
        code = 130
    return code


if __name__ == "__main__":
    sys.exit(main())
