#!/usr/bin/env python3
"""make cuts: an overlay of four nodes is cut in two, cut off, loses packets, and phones that call once a second.

A phone at each of its nodes calls another inside and one of another overlay, and is called from there, once a second each.
The parts: halves (2|2 for 20 s, then healed), off (cut off from the other overlay for 30 s), loss (one packet in ten between
its nodes, for minutes: nobody is replaced but who is killed), ring (the gateway loses the ring alone: connections refused,
packets dropped), stranger (a node with a dead bootstrap list beside it).  Not counted are calls to the other side of a cut,
while it lasts, and phones at a killed node.  It fails when another call was refused, lost, or left an end behind; when what
lives was replaced; when what died was not, in time.
"""
import argparse
import collections
import functools
import os
import random
import select
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lab"), os.path.join(HERE, "..", "bench")]
from control import ask  # noqa: E402
from lab import Lab, LabError  # noqa: E402
from netns import Network, alone  # noqa: E402
from ends import Call, SoakPhone, Timers  # noqa: E402
from soak import Campus  # noqa: E402

NODES, FAR_NODES = 4, 2
REGISTERED_S = 3600
CALM_S = 5              # before a fault
AFTER_S = 25            # after its end
EDGE_S = 0.5            # a call that is under way when a cut begins is cut, too
SETTLE_S = 45           # until the last call is over
MOVED_S, SEEN_S = 1.0, 2.0
AGREE_S, JOINS_S = 40, 25
PLAN = {"ring_s": 0, "hold_s": 0.2, "ends": "caller", "cancel_s": 0}


def filtered(rules):
    """What the bridge passes: all at once, and nobody is told of what it drops."""
    text = "table bridge cuts {}\ndelete table bridge cuts\n"
    if rules:
        text += "table bridge cuts {\n chain f {\n  type filter hook forward priority 0;\n  " + "\n  ".join(rules) + "\n }\n}\n"
    subprocess.run(["nft", "-f", "-"], input=text.encode(), check=True)


def between(some, others, verdict):
    one, other = (", ".join(node.ip for node in nodes) for nodes in (some, others))
    return [f"ip saddr {{ {a} }} ip daddr {{ {b} }} {verdict}" for a, b in ((one, other), (other, one))]


class World:
    """Two overlays under calls; the first is the one that suffers."""

    def __init__(self, options, folder, name):
        self.options, self.name, self.timers, self.calls, self.over = options, name, Timers(), {}, []
        self.network = Network()
        self.lab = Lab(folder=os.path.join(folder, name), hello_ms=options.hello, log_level=options.log_level)
        os.makedirs(self.lab.dir, exist_ok=True)
        kinds = options.algorithms.split(",")
        self.east = Campus(self.lab, self.network, "east", "10.77.11", kinds[0], NODES + 1, 0)
        self.west = Campus(self.lab, self.network, "west", "10.77.12", kinds[1], FAR_NODES, 0)
        self.phone_of, self.far, self.excuses, self.problems = {}, [], [], []
        self.count, self.next_orphan_look, self.begin, self.is_calling = 0, 0.0, time.monotonic(), True

    # ---- its beginning and its end ---------------------------------------------------------------------

    def __enter__(self):
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def open(self):
        self.lab.prepare()
        for campus in (self.east, self.west):
            campus.open()
        self.spare = self.east.island.nodes.pop()  # for the stranger alone: the others do not expect it
        for node in self.lab.nodes():
            node.configure()
            self.campus_of(node).start(node)
        self.lab.wait_joined(60)
        near = [f"10.77.201.{i + 1}" for i in range(NODES)]
        far = [f"10.77.202.{i + 1}" for i in range(FAR_NODES)]
        with self.network.space("phones", *near, *far).inside():
            for node, ip in zip(self.east.island.nodes, near):
                self.phone_of[node] = self.phone(ip, node)
            self.far = [self.phone(ip, node) for node, ip in zip(self.west.island.nodes, far)]
        for phone in self.phones():
            phone.register(REGISTERED_S)
        self.begin = time.monotonic()
        for number, node in enumerate(self.east.island.nodes):
            self.timers.after(number / NODES, functools.partial(self.once_a_second, node, self.begin + number / NODES, number))

    def phone(self, ip, node):
        return SoakPhone(self.timers, self.calls, ip, "u" + ip.replace(".", "-"), node.island.domain, node.sip)

    def close(self):
        filtered([])
        codes = self.lab.stop(keep=True)
        for node in [*self.lab.nodes(), self.spare]:
            node.stop()
            if self.options.keep_logs and os.path.exists(node.log_path):
                os.makedirs(self.options.keep_logs, exist_ok=True)
                name = f"{self.name}-{node.island.name}-{node.name}.log"
                shutil.copy(node.log_path, os.path.join(self.options.keep_logs, name))
        for phone in self.phones():
            phone.close()
        self.network.close()
        shutil.rmtree(self.lab.dir, ignore_errors=True)
        wrong = {name: code for name, code in codes.items() if code not in (0, None)}
        if wrong:
            raise LabError(f"exit codes {wrong}")

    def campus_of(self, node):
        return self.east if node.island is self.east.island else self.west

    def phones(self):
        return [*self.phone_of.values(), *self.far]

    # ---- calls -------------------------------------------------------------------------------------------

    def once_a_second(self, node, at, turn):
        """Three calls: inside, out, and in."""
        if not self.is_calling:
            return
        if node.is_running():
            others = [other for other in self.phone_of if other is not node and other.is_running()]
            self.dial("inside", node, others[turn % len(others)])
            self.dial("out", node, None, turn)
            self.dial("in", None, node, turn)
        self.timers.after(at + 1 - time.monotonic(), functools.partial(self.once_a_second, node, at + 1, turn + 1))

    def dial(self, kind, from_node, to_node, turn=0):
        """A node that is None is of the other overlay."""
        far = self.far[turn % len(self.far)]
        self.count += 1
        call = self.calls[self.count] = Call(self.count, self.phone_of.get(from_node, far), self.phone_of.get(to_node, far), PLAN)
        call.kind, call.nodes = kind, (from_node, to_node)
        call.caller.dial(call)

    def turn(self, seconds, is_done=lambda: False):
        """Calls go on until it is done, or that time is over; how long it took, None where it was not done."""
        begin, phones = time.monotonic(), self.phones()
        sockets = [phone.socket for phone in phones]
        while time.monotonic() < begin + seconds:
            self.timers.turn()
            for phone in phones:
                phone.turn()
            if time.monotonic() > self.next_orphan_look:
                self.look_over()
            if is_done():
                return time.monotonic() - begin
            select.select(sockets, [], [], 0.002)
        return None

    def wait(self, what, question, seconds, every_s=0.1):
        """As turn(), and it is a problem where it is not done; asked so often."""
        next_s = [0.0]

        def is_due():
            if time.monotonic() < next_s[0]:
                return False
            next_s[0] = time.monotonic() + every_s
            return question()
        taken = self.turn(seconds, is_due)
        if taken is None:
            self.problems.append(f"{what}: not within {seconds:g} s")
        return taken if taken is not None else float("inf")

    def look_over(self):
        now = time.monotonic()
        self.next_orphan_look = now + 1
        for call in list(self.calls.values()):
            if call.orphans(now) and not getattr(call, "left", None):
                call.left = call.orphans(now)[0]
            if call.is_over() and now > call.caller_end + 35:
                call.caller.forget(call)
                call.judge()
                del self.calls[call.number]
                self.over.append(call)

    # ---- its nodes -----------------------------------------------------------------------------------------

    def active_in(self, nodes):
        return [n for n in nodes if n.is_running() and (ask(n.socket, "/v1/election") or {}).get("role") == "active"]

    def agreed(self):
        """The gateway on which all running nodes agree."""
        running = [n for n in self.east.island.nodes if n.is_running()]
        names = {((ask(n.socket, "/v1/election") or {}).get("active") or {}).get("name") for n in running}
        active = self.active_in(running)
        return active[0] if len(active) == 1 and names == {active[0].name} else None

    @staticmethod
    def has_joined(node, overlay="local"):
        return ((ask(node.socket, "/v1/status") or {}).get(overlay) or {}).get("state") == "joined"

    def is_in_ring(self, node):
        return self.has_joined(node, "global")

    def settled(self):
        """A gateway of all, in the ring; then some calm."""
        self.wait("all agree on a gateway in the ring", lambda: (g := self.agreed()) and self.is_in_ring(g), AGREE_S)
        self.turn(CALM_S)
        gateway = self.agreed() or self.east.gateway()
        return gateway, [n for n in self.east.island.nodes if n is not gateway and n.is_running()]

    def claims(self):
        """What led to each gateway, as the nodes tell it."""
        return {f"{node.name} term {line['term']}: {line['reason']}" for node in self.east.island.nodes if node.is_running()
                for line in ask(node.socket, "/v1/election/history") or [] if line["to"] == "active" != line["from"]}

    # ---- the account -----------------------------------------------------------------------------------------

    def excuse(self, begin, concerns):
        """Calls that are not counted, from now until the function that it returns is called."""
        excuse = [begin - EDGE_S, float("inf"), concerns]
        self.excuses.append(excuse)

        def end():
            excuse[1] = time.monotonic()
        return end

    def is_excused(self, call):
        return any(begin <= call.begin <= end and concerns(call) for begin, end, concerns in self.excuses)

    def account(self, note):
        """The end of the calls, and the line that tells of them; whether all was as it is promised."""
        self.is_calling = False
        self.turn(SETTLE_S, lambda: not [c for c in self.calls.values() if not c.is_over()])
        for call in self.calls.values():
            call.judge()
        calls = self.over + list(self.calls.values())
        counted = [call for call in calls if not self.is_excused(call)]
        refused = [call for call in counted if call.status != 200]
        lost = [call for call in counted if call.lost]
        left = [call for call in counted if getattr(call, "left", None) or not call.is_over()]
        for what, some in (("refused", refused), ("lost", lost), ("left behind", left)):
            for call in some[:self.options.tell]:
                taken = (call.answered_at or call.caller_end or time.monotonic()) - call.begin
                print(f"# {what}: call {call.number} {call.kind} {call.caller.uri} -> {call.callee.uri}, "
                      f"{call.status} {call.lost or getattr(call, 'left', '')} after {taken:.2f} s, begun {call.begin - self.begin:.1f} s"
                      f"{self.since_fault(call.begin)}")
        for problem in self.problems:
            print(f"# {problem}")
        waited = max((c.answered_at - c.begin for c in counted if c.answered_at), default=0)
        statuses = dict(collections.Counter(call.status for call in refused))
        others = [call for call in calls if self.is_excused(call)]
        print(f"{self.name}: calls {len(counted)}, refused {len(refused)} {statuses or ''}, lost {len(lost)}, phones left behind "
              f"{len(left)}, longest wait {waited:.2f} s; not counted {len(others)}, answered of them "
              f"{sum(call.status == 200 for call in others)}; {note}")
        return not (refused or lost or left or self.problems)

    def since_fault(self, at):
        before = [begin for begin, _, _ in self.excuses if begin <= at]
        return f", {at - before[-1] - EDGE_S:.2f} s after the fault" if before else ""


def seconds(values):
    return "/".join(f"{value:.2f}" for value in values) + " s"


# ---- the parts -------------------------------------------------------------------------------------------------

def halves(world, options):
    """Each half has a gateway; only calls to the other half are impossible."""
    chosen, healed = [], []
    for _ in range(options.times):
        gateway, others = world.settled()
        one, other = [gateway, others[0]], others[1:]
        side = {**dict.fromkeys(one, 1), **dict.fromkeys(other, 2)}
        heal = world.excuse(time.monotonic(), lambda c, side=side: c.kind == "inside" and side[c.nodes[0]] != side[c.nodes[1]])
        filtered(between(one, other, "drop"))
        chosen.append(world.wait("the other half has a gateway", lambda other=other: world.active_in(other), 10, 0.02))
        world.turn(options.cut_seconds - min(chosen[-1], options.cut_seconds))
        if not world.active_in(one):
            world.problems.append("the half of the gateway has none")
        filtered([])
        heal()
        healed.append(world.wait("all agree on a gateway", world.agreed, AGREE_S))
        world.turn(max(0.0, AFTER_S - healed[-1]))
    return f"the other half had a gateway after {seconds(chosen)}, all agreed on one {seconds(healed)} after the heal"


def off(world, options):
    """Inside all is as before; after the heal all is."""
    joined = []
    for _ in range(options.times):
        gateway, _ = world.settled()
        term = (ask(gateway.socket, "/v1/election") or {}).get("term")
        heal = world.excuse(time.monotonic(), lambda c: c.kind != "inside")
        filtered(between(world.east.island.nodes, world.west.island.nodes, "drop"))
        world.turn(options.off_seconds)
        filtered([])
        heal()
        joined.append(world.wait("the gateway is in the ring", lambda: (g := world.agreed()) and world.is_in_ring(g), AGREE_S))
        world.turn(max(0.0, AFTER_S - joined[-1]))
        moved = (ask(gateway.socket, "/v1/election") or {}).get("term") != term
        print(f"# the role {'moved' if moved else 'stayed'} while the overlay was cut off")
    return f"in the ring {seconds(joined)} after the heal"


def loss(world, options):
    """Nobody is replaced but who is killed."""
    world.settled()
    before, nodes = world.claims(), world.east.island.nodes
    filtered(between(nodes, nodes, "numgen random mod 100 < 10 drop")[:1])
    world.turn(options.loss_seconds)
    false = world.claims() - before
    world.problems += [f"false failover: {line}" for line in sorted(false)]
    seen = []
    for _ in range(options.kills):
        gateway, others = world.settled()
        back = world.excuse(time.monotonic(), lambda c, dead=gateway: dead in c.nodes)
        gateway.kill()
        seen.append(world.wait("another is gateway", lambda others=others: world.active_in(others), 10, 0.01))
        if SEEN_S < seen[-1] < float("inf"):
            world.problems.append(f"another is gateway after {seen[-1]:.2f} s")
        world.turn(5)
        world.east.start(gateway)
        world.wait("the killed one is back", lambda g=gateway: world.has_joined(g), JOINS_S)
        world.turn(3)
        back()
    world.turn(CALM_S)
    filtered([])
    return f"{len(false)} false failovers in {options.loss_seconds:g} s of loss; killed ones replaced after {seconds(seen)}"


def ring(world, options):
    """The role moves to a node that has the ring."""
    moved = {"refused": [], "dropped": []}
    for number in range(2 * options.times):
        gateway, others = world.settled()
        how, verdict = (("refused", "reject with tcp reset"), ("dropped", "drop"))[number % 2]
        over = world.excuse(time.monotonic(), lambda c: c.kind != "inside")
        world.east.filter_ring(gateway, verdict)
        moved[how].append(world.wait("another is gateway", lambda others=others: world.active_in(others), 10, 0.01))
        over()
        if MOVED_S < moved[how][-1] < float("inf"):
            world.problems.append(f"connections {how}: the role moved after {moved[how][-1]:.2f} s")
        world.turn(8)
        world.east.unfilter(gateway)
        world.turn(CALM_S)
    return "; ".join(f"{how}: the role moved after {seconds(times)}" for how, times in moved.items())


def stranger(world, options):
    """It joins by way of the ring, and is never gateway."""
    world.settled()
    before, node, joined, active = world.claims(), world.spare, [], 0
    node.configure(bootstrap=f'"{world.east.island.net}.250:6084"')
    for _ in range(options.strangers):
        roles = set()
        world.east.start(node)

        def question(roles=roles):
            status = ask(node.socket, "/v1/status") or {}
            roles.add((status.get("election") or {}).get("role"))
            return (status.get("local") or {}).get("state") == "joined"
        joined.append(world.wait("it joins", question, JOINS_S, 0.05))
        world.turn(2, lambda roles=roles: question(roles) and "active" in roles)
        active += "active" in roles
        node.process.terminate()
        world.wait("it ends", lambda: not node.is_running(), 15)
        shutil.rmtree(os.path.join(node.dir, "state"))
        os.mkdir(os.path.join(node.dir, "state"))
    if active:
        world.problems.append(f"it was gateway {active} times")
    world.problems += [f"false failover: {line}" for line in sorted(world.claims() - before)]
    return f"gateway {active} of {options.strangers} times, joined after {seconds(joined)}"


PARTS = {"halves": halves, "off": off, "loss": loss, "ring": ring, "stranger": stranger}


def parse_options():
    parser = argparse.ArgumentParser(prog="make cuts CUTS=...", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS), help=f"which of {','.join(PARTS)}")
    parser.add_argument("--times", type=int, default=3, help="each cut of halves, off and ring")
    parser.add_argument("--cut-seconds", type=float, default=20)
    parser.add_argument("--off-seconds", type=float, default=30)
    parser.add_argument("--loss-seconds", type=float, default=180)
    parser.add_argument("--kills", type=int, default=3, help="under loss")
    parser.add_argument("--strangers", type=int, default=10, help="starts with a dead bootstrap list")
    parser.add_argument("--algorithms", default="chord,pastry", help="of the two overlays; the first is the one that is cut")
    parser.add_argument("--hello", type=int, default=100, help="ms")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--keep-logs", metavar="FOLDER", help="the nodes' logs are put there")
    parser.add_argument("--tell", type=int, default=12, help="of each kind of failure")
    return parser.parse_args()


def main():
    options = parse_options()
    folder = alone()
    sys.stdout.reconfigure(line_buffering=True)
    random.seed(1)
    held = True
    for name in options.parts.split(","):
        try:
            with World(options, folder, name) as world:
                held = world.account(PARTS[name](world, options)) and held
        except (LabError, OSError, subprocess.SubprocessError) as problem:
            print(f"{name}: {problem}")
            held = False
        except KeyboardInterrupt:
            print("cuts: interrupted", file=sys.stderr)
            return 130
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
