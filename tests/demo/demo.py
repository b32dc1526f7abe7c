#!/usr/bin/env python3
"""make demo: three campuses of different algorithms, a call in each direction between any two, a
gateway's death in the middle of a call, and calls after it.

  make demo           run it, print what happened, clean up
  make demo KEEP=1    leave everything running and say how to look around
"""
import argparse
import itertools
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab"))
from lab import Lab, LabError, wait_for  # noqa: E402
from phones import CLOSED, ESTABLISHED, Phone, call  # noqa: E402

TALK_S = 2.0

# Overlay, site, algorithm of the local overlay, and whose phone rings there; all are joined by one
# global Chord ring.
CAMPUSES = (("pastry", "bupt", "pastry", "alice"),
            ("can", "pku", "can", "bob"),
            ("bt", "thu", "chord", "carol"))


class Story:
    """Progress on the way, and the table at the end."""

    def __init__(self):
        self.begin = time.monotonic()
        self.rows = []

    def say(self, text):
        print(f"[{time.monotonic() - self.begin:5.1f} s] {text}", flush=True)

    def note(self, what, outcome, took_ms=None):
        self.rows.append((what, outcome, "" if took_ms is None else f"{took_ms:,.0f} ms"))
        self.say(f"{what}: {outcome}" + ("" if took_ms is None else f" ({took_ms:,.0f} ms)"))

    def table(self):
        rows = [("what", "outcome", "took")] + self.rows
        width = [max(len(row[i]) for row in rows) for i in range(3)]
        print()
        for n, row in enumerate(rows):
            print(f"  {row[0]:<{width[0]}}  {row[1]:<{width[1]}}  {row[2]:>{width[2]}}")
            if n == 0:
                print("  " + "  ".join("-" * w for w in width))
        print()


def show(node, *words):
    print(f"\n$ ringwayctl -s {node.name}/control.sock {' '.join(words)}")
    print(node.ctl_text(*words).rstrip() + "\n", flush=True)


def place_call(story, what, caller, callee):
    took_ms, packets = call(caller, callee, TALK_S)
    least = int(TALK_S * 40)
    heard = "; ".join(f"{user} sent {sent}, received {received}"
                      for user, (sent, received) in packets.items())
    for user, (sent, received) in packets.items():
        if sent < least or received < least:
            raise LabError(f"{what}: {user} sent {sent} and received {received} RTP packets, "
                           f"at least {least} each were expected")
    story.note(what, f"answered; RTP packets: {heard}", took_ms)


def fail_over(story, island):
    """Kill the gateway; the time until another node is the gateway."""
    old = island.gateway()
    story.say(f"SIGKILL {old.name}, the gateway of {island.name}")
    begin = time.monotonic()
    old.kill()

    def new_active():
        for node in island.nodes:
            if node.is_running() and node.role() == "active":
                return node
        return None
    new = wait_for("a new gateway", new_active, 20, 0.005)
    story.note(f"{old.name} killed", f"{new.name} is the gateway", (time.monotonic() - begin) * 1000)
    return new, begin


def build(story, lab):
    """The campuses, joined, each with its gateway in the ring."""
    for number, (name, site, algorithm, _) in enumerate(CAMPUSES, 1):
        lab.island(name, f"{lab.net}{number}.0", algorithm=algorithm, site=site)
    lab.prepare()
    story.note("authorities and certificates", f"{len(lab.islands) + 1} overlays, "
               f"{len(lab.nodes())} nodes", (time.monotonic() - story.begin) * 1000)
    begin = time.monotonic()
    lab.start()
    lab.wait_joined()
    story.note("overlays formed, gateways elected",
               ", ".join(f"{i.name} ({i.algorithm}): {i.gateway().name}" for i in lab.islands),
               (time.monotonic() - begin) * 1000)


def plug_in_phones(story, lab):
    """A phone on each campus, at a node that is not the gateway."""
    begin = time.monotonic()
    for number, (island, campus) in enumerate(zip(lab.islands, CAMPUSES), 1):
        node = island.others()[0]
        phone = Phone(lab.dir, campus[3], island.domain, f"{lab.net}9.0.{number}", node.sip,
                      rtp=20000 + 1000 * number)
        phone.node = node
        lab.phones.append(phone)
    # dave is bob's neighbour: his call is up while their campus loses its gateway
    neighbour = lab.phones[1]
    dave = Phone(lab.dir, "dave", lab.islands[1].domain, f"{lab.net}9.0.{len(CAMPUSES) + 1}",
                 neighbour.node.sip, rtp=20000 + 1000 * (len(CAMPUSES) + 1))
    dave.node = neighbour.node
    lab.phones.append(dave)
    for phone in lab.phones:
        phone.wait_registered()
    story.note("phones registered", ", ".join(f"{p.user} at {p.node.name}" for p in lab.phones),
               (time.monotonic() - begin) * 1000)


def begin_talk(island, caller, callee):
    """A call that is up, and known to the gateway's stand-bys."""
    caller.dial(callee.uri)
    for phone in (caller, callee):
        phone.wait_event(ESTABLISHED, 15)

    def is_copied():
        replicas = island.gateway().ctl("status")["replicas"]
        return replicas["heirs"] and not any(heir["pending"] for heir in replicas["heirs"])
    wait_for("the call is copied", is_copied)


def end_talk(story, caller, callee):
    """The one who was called hangs up, and the other end hears it."""
    before = [len(phone.rtp_statistics()) for phone in (caller, callee)]
    callee.hang_up()
    for phone in (caller, callee):
        phone.wait_event(CLOSED, 10)
    for phone, count in zip((caller, callee), before):
        wait_for(f"phone {phone.user}: statistics", lambda p=phone, c=count: len(p.rtp_statistics()) > c, 5)
    heard = "; ".join("{0} sent {1}, received {2}".format(phone.user, *phone.rtp_statistics()[-1])
                      for phone in (caller, callee))
    story.note("a call that was up all the time", f"{callee.user} hung up, {caller.user} heard it; "
               f"RTP packets: {heard}")


def after_the_kill(story, lab, island, caller, callee):
    """Calls to and from a campus whose gateway has just died."""
    new, begin = fail_over(story, island)
    caller.dial(callee.uri)
    caller.wait_event(ESTABLISHED, 20)
    story.note("first call after it", "answered (since the kill)", (time.monotonic() - begin) * 1000)
    show(new, "calls")
    caller.hang_up()
    for phone in (caller, callee):
        phone.wait_event(CLOSED, 10)
        phone.forget_events()
    return new


def run(story, lab):
    build(story, lab)
    plug_in_phones(story, lab)
    alice, bob, carol, dave = lab.phones
    for caller, callee in itertools.permutations((alice, bob, carol), 2):
        place_call(story, f"{caller.uri} calls {callee.uri}", caller, callee)
    show(alice.node, "status")
    show(lab.islands[0].gateway(), "election")
    show(alice.node, "resolve", bob.uri)
    show(bob.node, "registrations")
    begin_talk(lab.islands[1], carol, dave)
    new = after_the_kill(story, lab, lab.islands[1], alice, bob)
    end_talk(story, carol, dave)
    place_call(story, f"{bob.uri} calls {carol.uri} again", bob, carol)
    show(new, "election", "history")


def look_around(lab):
    print(f"\nEverything is running in {lab.dir}.  Look around:\n")
    for node in lab.nodes():
        if node.is_running():
            print(f"  {lab.program('ringwayctl')} -s {node.socket} status      # {node.name}, "
                  f"{node.island.name}, pid {node.process.pid}")
    pids = [n.process.pid for n in lab.nodes() if n.is_running()] + [p.process.pid for p in lab.phones]
    print("\nOther commands: election, election history, overlay local, resolve URI, registrations, calls."
          "\nEnd it with:\n  kill " + " ".join(str(pid) for pid in pids) + "\n")


def main():
    arguments = argparse.ArgumentParser(description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--keep", action="store_true", help="leave everything running")
    arguments.add_argument("--net", default="127.", metavar="PREFIX",
                           help="where the campuses live: PREFIX1.0.x, PREFIX2.0.x, PREFIX3.0.x (127.)")
    options = arguments.parse_args()
    story, lab, failed = Story(), Lab(), False
    lab.phones, lab.net = [], options.net
    try:
        run(story, lab)
    except (LabError, KeyboardInterrupt) as problem:
        failed = True
        print(f"\ndemo: {problem or 'interrupted'}", file=sys.stderr)
        for node in lab.nodes():
            print(f"--- {node.name}, the end of its log", file=sys.stderr)
            print("\n".join(node.log().splitlines()[-12:]), file=sys.stderr)
    if options.keep and not failed:
        story.table()
        look_around(lab)
        return 0
    for phone in lab.phones:
        phone.stop()
    begin = time.monotonic()
    codes = lab.stop(keep=failed)
    wrong = {name: code for name, code in codes.items() if code not in (0, None)}
    if not failed:
        story.note("everything left gracefully" if not wrong else f"exit codes {wrong}",
                   f"{len([c for c in codes.values() if c == 0])} daemons",
                   (time.monotonic() - begin) * 1000)
    story.table()
    if failed:
        print(f"The logs are in {lab.dir}", file=sys.stderr)
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
