#!/usr/bin/env python3
"""Power cuts: all nodes of an overlay, or of all overlays, are killed and started again; phones need not register anew."""
import contextlib
import os
import sqlite3
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent

NET = "127.97.9"
USERS = int(os.environ.get("USERS", "150"))  # at each overlay
SECONDS = 20


class Crowd:
    """Many users of one overlay behind one socket, spread over its nodes."""

    def __init__(self, island, ip):
        self.island = island
        self.phone = Agent(ip, "crowd", island.domain, island.nodes[0].sip)
        self.names = [f"u{n}" for n in range(USERS)]
        for n, name in enumerate(self.names):
            self.be(name)
            self.phone.far = (island.nodes[n % len(island.nodes)].host, 5060)
            self.phone.register(expires=3600)

    def be(self, name):
        self.phone.user, self.phone.uri = name, f"sip:{name}@{self.island.domain}"


def cut(nodes):
    for node in nodes:
        node.process.kill()
    for node in nodes:
        node.process.wait()
    for node in nodes:
        node.start()


def taken(agent, is_wanted):
    """What has arrived of a kind, else None."""
    agent.poll(0.02)
    for message in agent.waiting:
        if is_wanted(message):
            agent.waiting.remove(message)
            return message
    return None


def first_call(caller, node, crowd, name, begin):
    """Ask every 100 ms until one is answered 200; how long it took, and every refusal on the way (a node that is down takes nothing)."""
    seen, sent, next_ask = [], set(), 0.0
    caller.far = (node.host, 5060)
    while time.monotonic() < begin + SECONDS:
        if time.monotonic() >= next_ask:
            sent.add(caller.request("MESSAGE", f"sip:{name}@{crowd.island.domain}", body="hello")["Call-ID"])
            next_ask = time.monotonic() + 0.1
        arrived = taken(crowd.phone, lambda m: not m.is_response and m.method == "MESSAGE")
        if arrived:
            crowd.phone.answer(arrived, 200)
        final = taken(caller, lambda m: m.is_response and m.get("call-id") in sent and m.status >= 200)
        if final and final.status == 200:
            return time.monotonic() - begin, seen
        if final:
            seen.append(final.status)
    raise LabError(f"{name} is not reached in {SECONDS} s: {seen}")


def is_back(what, nodes, calls):
    cut(nodes)
    begin = time.monotonic()
    for n, (caller, node, crowd) in enumerate(calls):
        for name in (crowd.names[n], crowd.names[-1 - n]):
            took, seen = first_call(caller, node, crowd, name, begin)
            print(f"     {what}: {name}@{crowd.island.name} by {node.name}@{node.island.name} after {took:.2f} s,"
                  f" refused before {({s: seen.count(s) for s in seen})}")
            if 404 in seen:
                raise LabError(f"404 for a phone that is registered ({len(seen)} refusals)")
    for _, _, crowd in calls:
        for name in crowd.names[:: max(1, USERS // 25)]:
            _, seen = first_call(calls[0][0], calls[0][1], crowd, name, time.monotonic())
            if 404 in seen:
                raise LabError(f"404 for {name}, which is registered")


def flow_is_gone(lab, caller):
    """A phone that was on a connection is gone, not unknown, and not called into the void."""
    east, west = lab.islands
    phone = Agent(f"{NET}.5", "tcp", east.domain, east.nodes[1].sip, transport="tcp")
    phone.register()
    caller.far = (west.nodes[0].host, 5060)
    caller.request("MESSAGE", phone.uri, body="hello")
    phone.answer(phone.expect_request("MESSAGE"), 200)
    caller.expect_status(200, "MESSAGE")
    wait_for("the registration is kept", lambda: kept(east.nodes[1], f"tcp@{east.domain}"), 5)
    cut(east.nodes)
    phone.close()
    for node in east.nodes:
        wait_for(f"{node.name} joins", lambda n=node: n.local_state() == "joined", 20)
    lab.wait_resolves(west.nodes[0], f"sip:u0@{east.domain}", 20)

    def status():
        sent = caller.request("MESSAGE", phone.uri, body="hello")
        return caller.expect("a final response", lambda m: m.is_response and m.get("call-id") == sent["Call-ID"]
                             and m.status >= 200).status
    seen = []
    wait_for("480", lambda: seen.append(status()) or seen[-1] == 480, 15)
    print(f"     statuses {seen}")
    if not set(seen) <= {480, 500}:
        raise LabError(f"got {seen}")


def rows(node, like):
    with contextlib.closing(sqlite3.connect(os.path.join(node.dir, "state", "registrations.sqlite"))) as file:
        return file.execute("SELECT count(*) FROM registrations WHERE aor LIKE ?", (like,)).fetchone()[0]


def kept(node, aor):
    return rows(node, aor) == 1


def all_kept(crowd):
    """What is registered in the last half second may not be on the disk yet."""
    nodes = crowd.island.nodes
    wait_for("all registrations are kept", lambda: sum(rows(n, f"u%@{crowd.island.domain}") for n in nodes) == USERS, 10)


def main():
    tests = Tests()
    with lab_of(tests, [("east", "127.97.0", 3), ("west", "127.97.1", 2)], sip_extra="max-requests-per-source = 100000") as lab:
        east, west = lab.islands
        crowd_east, crowd_west = Crowd(east, f"{NET}.1"), Crowd(west, f"{NET}.2")
        caller_east = Agent(f"{NET}.3", "caller", east.domain, east.nodes[0].sip)
        caller_west = Agent(f"{NET}.4", "caller", west.domain, west.nodes[0].sip)
        caller_east.register(), caller_west.register()
        all_kept(crowd_east), all_kept(crowd_west)
        calls = [(caller_west, west.nodes[0], crowd_east), (caller_east, east.nodes[0], crowd_west),
                 (caller_east, east.nodes[1], crowd_east)]
        tests.run("an overlay", is_back, "overlay", east.nodes, calls)
        tests.run("a phone on a connection", flow_is_gone, lab, caller_west)
        tests.run("all overlays", is_back, "world", lab.nodes(), calls)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
