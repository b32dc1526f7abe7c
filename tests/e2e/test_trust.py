#!/usr/bin/env python3
"""Misdeeds against running daemons: each is refused, named in the log, and harms nobody else.

Overlay and ring: the intruder holds real credentials of one island, and does what those do not allow;
see intruder.c.
"""
import os
import re
import socket
import subprocess
import sys

from common import Tests, lab_of
from lab import GLOBAL, GLOBAL_PORT, OVERLAY_PORT, LabError, wait_for

ISLANDS = [("east", "127.80.2", 2), ("west", "127.80.3", 1)]
SPY = "127.80.4.1"
SEED = int(os.environ.get("SEED", "7"))


class Spy:
    """Credentials for an address that no daemon has."""

    def __init__(self, lab):
        self.lab = lab
        self.east, self.west = lab.islands
        self.program = os.path.join(lab.build, "tests/e2e/intruder")
        self.local = self.issue("spy-local", self.east.authority, "spy.site@east")
        self.ring = self.issue("spy-ring", lab.authority, "overlay@west")
        again = os.path.join(lab.dir, "ca-again")
        lab.ctl_offline("ca", "init", again, "--overlay", "east")
        self.foreign = self.issue("spy-foreign", again, "spy.site@east")

    def issue(self, name, authority, user):
        out = os.path.join(self.lab.dir, name)
        self.lab.ctl_offline("ca", "issue", authority, "--address", SPY, "--user", user, "--out", out)
        return out

    def do(self, deed, node, is_ring=False, folder=None, **options):
        """One deed against a node; returns what the intruder says."""
        overlay, port = (GLOBAL, GLOBAL_PORT) if is_ring else (node.island.name, OVERLAY_PORT)
        folder = folder or (self.ring if is_ring else self.local)
        done = subprocess.run([self.program, deed, folder, overlay, SPY, f"{node.ip}:{port}",
                               *(f"{name}={value}" for name, value in options.items())],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90, check=False)
        text = done.stdout.decode("utf-8", "replace")
        if done.returncode:
            raise LabError(f"intruder {deed}: exit {done.returncode}: {text}")
        return text


def metrics(node, name):
    """The sum of a metric over the overlays of a node."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(node.socket)
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    return sum(float(value) for value in re.findall(rf"^{name}{{[^}}]*}} (\S+)$", text, re.M))


def still_serves(lab):
    """Each daemon runs, is joined, and finds the other island."""
    for node in lab.nodes():
        if not node.is_running():
            raise LabError(f"{node.name} has ended:\n{node.log()[-2000:]}")
        state = node.local_state()
        if state not in ("joined", "alone"):
            raise LabError(f"{node.name} is {state}")
        other = next(island for island in lab.islands if island is not node.island)
        wait_for(f"{node.name} finds {other.name}",
                 lambda n=node, o=other: n.ctl("resolve", f"sip:overlay@{o.name}"), 5)


def misdeed(lab, spy, deed, node, said, logged, **options):
    """Do it; hold what came of it, and a new line of level remote, against what is expected."""
    before = {n: len(n.log()) for n in lab.nodes()}
    text = spy.do(deed, node, **options)
    if not re.search(said, text):
        raise LabError(f"expected {said!r}, the intruder says {text!r}")

    def lines():
        return [line for n in lab.nodes() for line in n.log()[before[n]:].splitlines()
                if line.startswith("remote: ")]
    if logged:
        try:
            wait_for("the log", lambda: [line for line in lines() if re.search(logged, line)], 3)
        except LabError:
            raise LabError(f"no line of level remote with {logged!r} in {lines()}") from None
    still_serves(lab)


def counted(lab, spy, deed, node, said, logged, **options):
    """The same, and the message is in the metrics."""
    name = "ringway_messages_refused_total"
    before = metrics(node, name)
    misdeed(lab, spy, deed, node, said, logged, **options)
    if metrics(node, name) <= before:
        raise LabError(f"{name} is still {before}")


def same_gateway(lab, spy, deed, node, said, logged, **options):
    """The same, and nobody takes the intruder for a gateway."""
    misdeed(lab, spy, deed, node, said, logged, **options)
    for n in node.island.nodes:
        election = n.ctl("election")
        if election["term"] > 1000000 or election["active"]["name"] == "intruder":
            raise LabError(f"{n.name} follows the intruder: {election}")


def stores(tests, lab, spy):
    """What another overlay's gateway may not write in the ring."""
    node = spy.east.gateway()
    foreign = dict(is_ring=True, under="overlay@east")
    own = dict(is_ring=True, under="overlay@west")
    ours = node.ctl("status")["node"]["node_id"]
    refused = r"Store from [0-9a-f]{32} refused: .*sent by overlay@west"
    for title, deed, options in (
            ("an entry under another overlay's name", "store-foreign", foreign),
            ("the same as a copy", "store-foreign-copy", foreign),
            ("an entry under another node's key", "store-foreign-key", dict(own, id=ours)),
            ("a value with a broken signature", "store-broken-value", own)):
        tests.run(title, misdeed, lab, spy, deed, node, r"^error Forbidden", refused, **options)
    tests.run("its own entry", misdeed, lab, spy, "store-foreign", node, r"^answer store_ans", None, **own)


def names(tests, lab, spy):
    """What a node may not say of others, or of itself."""
    node = lab.wait_gateway(spy.east)  # on a busy machine it may have changed just now
    other = spy.east.others()[0]
    its_id = other.ctl("status")["node"]["node_id"]
    its_ring = f"{os.path.join(node.dir, 'global')},{GLOBAL}"
    for deed in ("join", "leave"):
        tests.run(f"{deed} for another", misdeed, lab, spy, f"{deed}-for-another", node,
                  r"^error Forbidden", "for somebody else", id=its_id)
    tests.run("claim without a global certificate", same_gateway, lab, spy, "claim", other,
              r"^error Forbidden", "its global certificate is not good")
    tests.run("claim with another overlay's global certificate", same_gateway, lab, spy, "claim", other,
              r"^error Forbidden", "its global certificate is of user overlay@west",
              other=f"{spy.ring},{GLOBAL}")
    tests.run("claim in the gateway's name", same_gateway, lab, spy, "claim-for-another", other,
              r"^error Forbidden", "request of subtype 2 refused", other=its_ring)
    term = node.ctl("election")["term"]
    tests.run("a handover from one that is no gateway", same_gateway, lab, spy, "handover", other,
              r"^error Forbidden", "handover", count=term)
    tests.run("a gateway's record by one that is none", same_gateway, lab, spy, "store-gateway-record",
              node, r"^answer store_ans", None, under="overlay@east")


def signatures(tests, lab, spy):
    node, other = spy.east.gateway(), spy.east.others()[0]
    for title, deed, options in (
            ("a message with a broken signature", "broken-signature", {}),
            ("a message without a signature", "unsigned", {}),
            ("a message of another overlay", "wrong-overlay", {}),
            ("a message in another node's name", "wrong-node-id",
             dict(other=f"{os.path.join(other.dir, 'local')},east"))):
        tests.run(title, counted, lab, spy, deed, node, "^silent", r"message from [0-9a-f]{32} refused",
                  ms=500, **options)


def links(tests, lab, spy):
    node = spy.east.gateway()
    for title, deed, said, logged, options in (
            ("a certificate of another authority", "ping", "^(refused|closed): ",
             "certificate: not of this overlay's authority", dict(folder=spy.foreign)),
            ("no certificate", "no-certificate", "^(refused|closed): ", "certificate", {}),
            ("no TLS", "no-tls", "^closed", "TLS: ", {}),
            ("a frame that is too large", "oversize", "^closed", "broke the framing: too large", {}),
            ("an unknown frame", "unknown-frame", "^closed", "broke the framing: malformed", {}),
            ("an acknowledgement of nothing", "unsent-acknowledged", "^closed",
             "acknowledges a frame that was not sent", {}),
            ("one that asks and does not listen", "deaf", "^closed after some", None, dict(count=50000)),
            ("a good Ping", "ping", "^answer ping_ans", None, {})):
        tests.run(title, misdeed, lab, spy, deed, node, said, logged, **options)
    count = 300
    tests.run(f"{count} connections without a word", misdeed, lab, spy, "half-open", node,
              rf"^answer ping_ans\nended {count} of {count}", "refused", count=count, ms=9000)


def noise(tests, lab, spy):
    """Seeded, so that what fails can be done again: SEED=N."""
    node = lab.wait_gateway(spy.east)  # on a busy machine it may have changed just now
    other = spy.east.others()[0]
    its_id = other.ctl("status")["node"]["node_id"]
    print(f"seed {SEED}")
    for deed in ("mutated", "mutated-signed", "mutated-frames", "truncated", "fragments"):
        for is_ring, where in ((False, "overlay"), (True, "ring")):
            tests.run(f"{deed}, {where}", misdeed, lab, spy, deed, node, "^sent 400", None,
                      is_ring=is_ring, id=its_id, seed=SEED, count=400)
    tests.run("memory is bounded", bounded, spy, node)
    tests.run("the noise is in the log, and not all of it", noise_is_told, spy.east.nodes)


def noise_is_told(nodes):
    """What stands alone in its second is told; of many in one second which is chance, and who is the gateway may have changed."""
    log = "".join(node.log() for node in nodes)
    for part in ("remote: overlay: east: message from", "remote: link: east: ", "broke the framing",
                 "lines of level remote left out"):
        if part not in log:
            raise LabError(f"{part!r} is not in the log")


def memory_kib(node):
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


def bounded(spy, node):
    """Beginnings of messages in masses do not stay: a second helping takes no more than the first."""
    spy.do("fragments", node, seed=SEED, count=6000)
    first = memory_kib(node)
    spy.do("fragments", node, seed=SEED + 1, count=6000)
    grown = memory_kib(node) - first
    if grown > 8192:
        raise LabError(f"{grown} KiB more")


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        spy = Spy(lab)
        for part in (stores, names, signatures, links, noise):
            part(tests, lab, spy)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
