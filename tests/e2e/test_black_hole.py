#!/usr/bin/env python3
"""Links that swallow every packet for a while, without a word: whoever rings, rings for somebody, and whoever answers is
acknowledged or hung up.

Each link and each length of the hole has a network namespace and nodes of its own, all at the same time; in each, calls are in
every state when the hole begins.  Phones keep to RFC 3261: a 2xx is repeated until its ACK, an ACK until the 2xx ends."""
import os
import re
import select
import signal
import subprocess
import sys
import time

from common import Tests
from namespace import INSIDE, SKIPPED, run_inside
from test_sip import FAR, FAR_DOMAIN, GATEWAY, PEER, SDP, Nodes, Phone, token

FAR_PEER = "127.30.102.2"
NODES = (f"pastry@{GATEWAY}=gateway", f"pastry@{PEER}", f"chord@{FAR}=gateway", f"chord@{FAR_PEER}")
LINKS = {"gateways": (GATEWAY, FAR), "caller": (PEER, GATEWAY), "callee": (FAR, FAR_PEER)}
HOLES_S = (1, 3, 10)
ALL_S = 120  # of all holes, on a machine that does other work too
T1, T2, TIMER_H = 0.5, 4.0, 32.0
INTO_HOLE = 77  # a routing table that leads nowhere


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, stderr=None if check else subprocess.DEVNULL).returncode == 0


class Hole:
    """What connections between two nodes carry is lost, and new ones are met with silence."""

    def __init__(self, link):
        self.ends = LINKS[link]
        ip("rule", "add", "pref", "10", "lookup", "local")
        ip("rule", "del", "pref", "0")
        self.kind = "blackhole"  # where nothing better is known: new connections fail at once
        for kind in ("ifb", "dummy"):
            if ip("link", "add", "hole", "type", kind, check=False):
                ip("link", "set", "hole", "up")
                with open("/proc/sys/net/ipv4/conf/hole/route_localnet", "w", encoding="ascii") as file:
                    file.write("1")
                ip("route", "add", "default", "dev", "hole", "table", str(INTO_HOLE))
                self.kind = f"lookup {INTO_HOLE}"
                break

    def change(self, verb):
        for one, other in (self.ends, self.ends[::-1]):
            ip("rule", verb, "pref", "5", "from", one, "to", other, "ipproto", "6", *self.kind.split())

    def begin(self):
        self.change("add")

    def end(self):
        self.change("del")


def branch_of(message):
    return re.search(r"branch=([^;,]+)", message.one("Via")).group(1)


class Ring:
    """One INVITE at a callee."""

    def __init__(self, invite):
        self.invite, self.state, self.response = invite, "new", None
        self.again_at = self.again_until = self.gap = 0.0

    def is_over(self):
        return self.state == "ended"


class Callee(Phone):
    """Rings, and answers at once or when it is told to."""

    def __init__(self, name, last, answers=False):
        super().__init__(name, last, domain=FAR_DOMAIN)
        self.answers, self.rings = answers, {}

    def respond(self, ring, status, *more):
        ring.response = (status, [f"Contact: <{self.contact}>", *more], SDP if status == 200 else "")
        self.answer(ring.invite, *ring.response)

    def pick_up(self):
        for ring in self.rings.values():
            if ring.state == "ringing":
                self.respond(ring, 200)
                ring.state, ring.gap = "answered", T1
                ring.again_at, ring.again_until = time.monotonic() + T1, time.monotonic() + TIMER_H

    def decline(self):
        for ring in self.rings.values():
            if ring.state == "ringing":
                self.respond(ring, 486)
                ring.state = "cancelled"

    def ring_of(self, message):
        return next((ring for ring in self.rings.values() if ring.invite.one("Call-ID") == message.one("Call-ID")), None)

    def on(self, message):
        ring = self.ring_of(message)
        if message.method == "INVITE":
            known = self.rings.get(branch_of(message))
            if known:
                self.answer(message, *known.response)
                return
            ring = self.rings[branch_of(message)] = Ring(message)
            self.respond(ring, 180)
            ring.state = "ringing"
            if self.answers:
                self.pick_up()
        elif message.method == "CANCEL":
            ring = self.rings.get(branch_of(message))
            self.answer(message, 200 if ring else 481)
            if ring and ring.state == "ringing":
                self.respond(ring, 487)
                ring.state = "cancelled"
        elif message.method == "ACK" and ring:
            ring.state = {"answered": "up", "cancelled": "ended"}.get(ring.state, ring.state)
        elif message.method == "BYE":
            self.answer(message, 200 if ring else 481)
            if ring:
                ring.state = "ended"

    def tick(self, now):
        for ring in self.rings.values():
            if ring.state == "answered" and ring.again_at <= now < ring.again_until:
                ring.gap = min(ring.gap * 2, T2)
                ring.again_at = now + ring.gap
                self.answer(ring.invite, *ring.response)


class Caller(Phone):
    """Dials once; what comes of it is in `final`."""

    def __init__(self, name, last, callee):
        super().__init__(name, last)
        self.callee, self.final, self.provisional, self.bye_final = callee, None, 0, None
        self.keeps_ack = False
        self.branch = self.call_id = ""
        self.has_hung_up = False

    def dial(self):
        self.branch = token("z9hG4bK")
        self.invite(self.callee.aor, PEER, branch=self.branch)

    def cancel(self):
        lines = [f"CANCEL {self.callee.aor} SIP/2.0", f"Via: {self.via(self.branch)}", "Max-Forwards: 70",
                 f"From: <{self.aor}>;tag={self.name}", f"To: <{self.callee.aor}>", f"Call-ID: {self.call_id}",
                 "CSeq: 1 CANCEL", "Content-Length: 0", "", ""]
        self.send("\r\n".join(lines), PEER)

    def in_dialog(self, method, cseq):
        routes = [f"Route: {route}" for line in self.final.all("Record-Route") for route in line.split(",")][::-1]
        lines = [f"{method} {re.search('<(.*?)>', self.final.one('Contact')).group(1)} SIP/2.0", f"Via: {self.via()}",
                 "Max-Forwards: 70", *routes, f"From: <{self.aor}>;tag={self.name}", f"To: {self.final.one('To')}",
                 f"Call-ID: {self.call_id}", f"CSeq: {cseq} {method}", "Content-Length: 0", "", ""]
        self.send("\r\n".join(lines), PEER)

    def hang_up(self):
        self.has_hung_up = True
        self.in_dialog("BYE", 2)

    def on(self, message):
        if message.method or message.one("Call-ID") != self.call_id:
            if message.method == "BYE":
                self.answer(message, 200)
                self.has_hung_up = True
            return
        if message.one("CSeq").endswith("BYE"):
            self.bye_final = message if message.status >= 200 else self.bye_final
        elif message.one("CSeq").endswith("INVITE") and message.status >= 200:
            self.final = message
            if message.status >= 300:
                self.acknowledge(message)
            elif not self.keeps_ack:
                self.in_dialog("ACK", 1)
        elif message.status > 100:
            self.provisional += 1

    def tick(self, _now):
        pass


class Town:
    """All phones of one run."""

    def __init__(self, nodes):
        self.nodes, self.pairs, self.last = nodes, {}, 1

    def pair(self, name, **options):
        callee = Callee(f"b{name}", self.last + 100, **options)
        callee.register(FAR_PEER, expires=3600)
        self.pairs[name] = caller, _ = Caller(f"a{name}", self.last, callee), callee
        caller.cseq = 0
        self.last += 1
        return self.pairs[name]

    def phones(self):
        return [phone for pair in self.pairs.values() for phone in pair]

    def run(self, seconds, done=lambda: False):
        """Lets the phones live for so long, or until it is done."""
        end = time.monotonic() + seconds
        sockets = {phone.socket: phone for phone in self.phones()}
        while time.monotonic() < end and not done():
            for ready in select.select(list(sockets), [], [], 0.05)[0]:
                message = sockets[ready].receive(0.01)
                if message:
                    sockets[ready].on(message)
            for phone in sockets.values():
                phone.tick(time.monotonic())
        return done()

    def calls(self):
        self.nodes.process.stdin.write("calls\n")
        self.nodes.process.stdin.flush()
        return [int(word) for word in self.nodes.process.stdout.readline().split()]


def prepare(town):
    """A call in each state that a hole may find it in."""
    pairs = {name: town.pair(name, answers=name in ("up", "ending", "fresh"))
             for name in ("up", "ending", "unacked", "ringing", "cancelled", "refused", "fresh", "rings")}
    for name in ("up", "ending", "unacked", "ringing", "cancelled", "refused"):
        pairs[name][0].keeps_ack = name == "unacked"
        pairs[name][0].dial()
    assert town.run(4, lambda: all(pairs[name][0].final for name in ("up", "ending")) and
                    all(pairs[name][0].provisional for name in ("unacked", "ringing", "cancelled", "refused"))), "no calls to begin with"
    pairs["unacked"][1].pick_up()
    assert town.run(4, lambda: pairs["unacked"][0].final), "no 200 to begin with"
    return pairs


def into_the_hole(pairs):
    pairs["unacked"][0].keeps_ack = False
    pairs["unacked"][0].in_dialog("ACK", 1)
    pairs["ending"][0].hang_up()
    pairs["ringing"][1].pick_up()
    pairs["cancelled"][0].cancel()
    pairs["fresh"][0].dial()
    pairs["rings"][0].dial()


def is_settled(caller, callee):
    """Both ends think the same of the call."""
    rings = list(callee.rings.values())
    if not caller.final:
        return len(rings) == 1 and rings[0].state == "ringing" and caller.provisional > 0
    if caller.final.status >= 300 or caller.has_hung_up:
        return all(ring.is_over() for ring in rings)
    return [ring.state for ring in rings if not ring.is_over()] == ["up"]


def story(caller, callee):
    final = caller.final.start if caller.final else f"{caller.provisional} provisional responses"
    bye = f", BYE {caller.bye_final.start if caller.bye_final else 'without response'}" if caller.has_hung_up else ""
    return f"{caller.name}: {final}{bye}; at the callee {[ring.state for ring in callee.rings.values()]}"


def all_settle(town, within):
    if not town.run(within, lambda: all(is_settled(*pair) for pair in town.pairs.values())):
        raise AssertionError("; ".join(story(*pair) for pair in town.pairs.values() if not is_settled(*pair)))


def one_ring_a_dial(town):
    many = {caller.name: len(callee.rings) for caller, callee in town.pairs.values() if len(callee.rings) > 1}
    assert not many, f"INVITEs at the callee: {many}"


def what_is_left_goes(town, within):
    for caller, callee in town.pairs.values():
        if not caller.final:
            callee.pick_up()
    assert town.run(6, lambda: all(caller.final for caller, _ in town.pairs.values())), "picked up, and the caller hears nothing"
    up = [caller for caller, _ in town.pairs.values() if caller.final.status == 200 and not caller.has_hung_up]
    for caller in up:
        caller.hang_up()
    ended = lambda: (all(caller.bye_final for caller, _ in town.pairs.values() if caller.has_hung_up) and
                     all(ring.is_over() for _, callee in town.pairs.values() for ring in callee.rings.values()))
    assert town.run(within, ended), "; ".join(story(*pair) for pair in town.pairs.values())
    assert all(caller.bye_final.status == 200 for caller in up), "; ".join(story(*pair) for pair in town.pairs.values())
    town.nodes.tell("advance 41000")  # what was given up and never answered is forgotten then
    assert town.run(within, lambda: not any(town.calls())), f"calls left at the nodes: {town.calls()}"


def one_hole(tests, link, seconds):
    nodes = Nodes(NODES)
    town = Town(nodes)
    hole = Hole(link)
    begun = time.monotonic()
    pairs = prepare(town)
    hole.begin()
    into_the_hole(pairs)
    town.run(seconds)
    hole.end()
    pairs["refused"][1].decline()
    name = f"{seconds} s, {link}"
    tests.run(f"{name}: both ends of each call agree", all_settle, town, max(4, 2 * seconds))
    tests.run(f"{name}: one INVITE at the callee for each dial", one_ring_a_dial, town)
    tests.run(f"{name}: nothing is left", what_is_left_goes, town, 12)
    if os.environ.get("VERBOSE"):
        print("\n".join(story(*pair) for pair in town.pairs.values()), f"{time.monotonic() - begun:.1f} s")
    if os.environ.get("VERBOSE") == "2":
        print(nodes.log())
    tests.run(f"{name}: the nodes end cleanly", nodes.end)


def said_by(run, until):
    """What a run has printed; one that does not end in time is ended, and has failed."""
    try:
        return run.communicate(timeout=max(1, until - time.monotonic()))[0]
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        return run.communicate()[0] + "FAIL it does not end\n"


def main():
    begun = time.monotonic()
    if os.environ.get(INSIDE):
        run_inside()
        tests = Tests()
        one_hole(tests, sys.argv[1], int(sys.argv[2]))
        return tests.end()
    wanted = [sys.argv[1:3]] if len(sys.argv) > 2 else [(link, seconds) for link in LINKS for seconds in HOLES_S]
    runs = [subprocess.Popen([sys.executable, "-c", "import sys; sys.argv = sys.argv[1:]; sys.path.insert(0, sys.argv[0]);"
                              "import namespace; sys.argv[0] = sys.argv[1]; del sys.argv[1]; namespace.run_inside()",
                              os.path.dirname(sys.modules["namespace"].__file__), __file__, link, str(seconds)],
                             stdout=subprocess.PIPE, text=True, start_new_session=True) for link, seconds in wanted]
    passed = failed = 0
    for run in runs:
        said = said_by(run, begun + ALL_S)
        print(said, end="", flush=True)
        counts = re.findall(r"^(\d+) passed, (\d+) failed$", said, re.M)
        passed += sum(int(one) for one, _ in counts)
        failed += sum(int(one) for _, one in counts) or run.returncode not in (0, SKIPPED)
    if all(run.returncode == SKIPPED for run in runs):
        return SKIPPED
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
