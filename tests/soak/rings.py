#!/usr/bin/env python3
"""make rings: rings of many overlays that start, starve and die, and who is found in them.

    rings.py [--parts fresh,starved,neighbours,three] [--overlays N] [--requests N] [--seed N]

fresh, starved: N overlays of all algorithms, of one and two nodes in turn, start at once; starved: each daemon stands still for
300 ms now and then meanwhile.  Then a quarter of all nodes is killed at once, then six whole overlays.  Three nodes ask for every
name, past their caches, each twice a second.  It fails when a name that lives is not found by a question put START_S after the last
entry was stored, or LIVE_S after a kill; when it is said not to exist (404) after its entry was stored; or when a dead one is found
by a question put DEAD_S after its death.
neighbours: 8 nodes of each algorithm with 20 phones at each; four that are next to each other are killed at once.  It fails when a
phone at a living node is not found by every living node after USERS_S.
three: requests in calls while gateways of an overlay with `gateways = 3` are killed.  It fails when one gets 481.
"""
import argparse
import json
import os
import random
import select
import signal
import socket
import sys
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), part) for part in ("e2e", "lab", "bench")]
from agent import Agent  # noqa: E402
from common import Tests, lab_of  # noqa: E402
from control import ask  # noqa: E402
from lab import Lab, LabError, wait_for  # noqa: E402
import kills  # noqa: E402
import test_takeover_gap  # noqa: E402

ALGORITHMS = ("chord", "can", "pastry")
START_S, LIVE_S, DEAD_S, USERS_S = 4, 4, 10, 5
WATCHERS, PERIOD_S = 3, 0.5
STARVED_S, PAUSE_S = 15, 0.3
DEAD_OVERLAYS = 6
NODES, PHONES, NEIGHBOURS = 8, 20, 4


class Answer:
    """One question, and what was said."""

    def __init__(self, watcher, uri, at_s):
        self.watcher, self.uri, self.at_s = watcher, uri, at_s
        self.status, self.took_s, self.hosts, self.bindings = 0, 0.0, (), 0

    def read(self, data):
        self.took_s = time.monotonic() - self.at_s
        head, _, body = data.partition(b"\r\n\r\n")
        self.status = int(head.split()[1]) if head.startswith(b"HTTP/1.") else 0
        if self.status == 200:
            found = json.loads(body)
            self.hosts = [c.partition(":")[2].partition(";")[0].rpartition(":")[0] for c in found["contacts"]]
            self.bindings = len(found["bindings"] or ())

    def __str__(self):
        return f"{self.uri} from {self.watcher.island.name}/{self.watcher.name}: {self.status or 'no answer'} after {self.took_s:.1f} s"


class Watch:
    """Nodes that ask for URIs over and over, each again PERIOD_S after it was asked last, in a thread of its own."""

    def __init__(self, nodes, uris_of):
        self.answers, self.is_over = [], False
        self.due = {(node, uri): time.monotonic() + random.random() * PERIOD_S for node in nodes for uri in uris_of(node)}
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _begin(self, node, uri, now):
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(node.socket)
            sock.sendall(f"GET /v1/resolve?uri={urllib.parse.quote(uri)}&cache=no&hops=no HTTP/1.1\r\nHost: localhost\r\n"
                         "Connection: close\r\n\r\n".encode())
        except OSError:
            sock.close()
            return None
        return sock, Answer(node, uri, now), []

    def _run(self):
        under_way = {}
        while not self.is_over:
            now = time.monotonic()
            for key, at in self.due.items():
                if at <= now:
                    begun = self._begin(*key, now)
                    self.due[key] = float("inf") if begun else now + PERIOD_S
                    if begun:
                        under_way[begun[0]] = begun
            for sock in select.select(list(under_way), [], [], 0.01)[0]:
                _, answer, data = under_way[sock]
                try:
                    more = sock.recv(65536)
                except OSError:
                    more = b""
                data.append(more)
                if more:
                    continue
                del under_way[sock]
                sock.close()
                answer.read(b"".join(data))
                self.answers.append(answer)
                self.due[answer.watcher, answer.uri] = max(time.monotonic(), answer.at_s + PERIOD_S)
        for sock in under_way:
            sock.close()

    def end(self):
        self.is_over = True
        self.thread.join(10)


class Starver(threading.Thread):
    """Each node stands still for PAUSE_S now and then, each in its turn."""

    def __init__(self, nodes, chance):
        super().__init__(daemon=True)
        self.nodes, self.chance, self.end_s = nodes, chance, time.monotonic() + STARVED_S
        self.start()

    def run(self):
        while time.monotonic() < self.end_s:
            still = self.chance.sample(self.nodes, len(self.nodes) // 5)
            for number in (signal.SIGSTOP, signal.SIGCONT):
                for node in still:
                    node.process.send_signal(number)
                time.sleep(PAUSE_S if number == signal.SIGSTOP else 0.1)


class Names:
    """Who lives, and since when each name's entry is in the ring; judges what was answered."""

    def __init__(self, tests, lab, watchers):
        self.tests, self.lab, self.watchers = tests, lab, watchers
        self.published, self.killed, self.dead = {}, {}, {}
        self.watch = Watch(watchers, lambda node: [f"sip:overlay@{i.name}" for i in lab.islands if i is not node.island])
        self.by_uri = {f"sip:overlay@{i.name}": i for i in lab.islands}
        self.told = 0

    def wait_published(self, limit_s):
        end = time.monotonic() + limit_s
        while len(self.published) < len(self.lab.islands) and time.monotonic() < end:
            for island in self.lab.islands:
                if island.name in self.published:
                    continue
                for status in (ask(node.socket, "/v1/status") for node in island.nodes):
                    if status and status["ring"] and status["ring"]["published"] and status["election"]["role"] == "active":
                        self.published[island.name] = time.monotonic()
            time.sleep(0.1)
        missing = [i.name for i in self.lab.islands if i.name not in self.published]
        if missing:
            raise LabError(f"without an entry after {limit_s} s: {missing}")
        return max(self.published.values())

    def kill(self, nodes):
        at = time.monotonic()
        for node in nodes:
            node.process.kill()
        for node in nodes:
            node.kill()
            self.killed[node.host] = at
            if not any(n.is_running() for n in node.island.nodes):
                self.dead[node.island.name] = at
        return at

    def judge(self, what, since, settled, limit_s):
        """Of all that was asked since the last time: what should not have been."""
        answers, self.told = self.watch.answers[self.told:], len(self.watch.answers)
        counts, bad, late, last_dead, longest = {}, [], 0.0, 0.0, 0.0
        for a in answers:
            name = self.by_uri[a.uri].name
            if name in self.dead:
                after = a.at_s - self.dead[name]
                if a.status == 200:
                    last_dead = max(last_dead, after)
                    if after > DEAD_S:
                        bad.append(f"{a}, which is dead since {after:.1f} s")
                continue
            is_found = a.status == 200 and any(host not in self.killed for host in a.hosts)
            counts[a.status] = counts.get(a.status, 0) + 1
            longest = max(longest, a.took_s)
            if not is_found:
                late = max(late, a.at_s - since)
                if a.at_s > settled + limit_s or a.status == 404 and a.at_s > self.published[name]:
                    bad.append(f"{a}, asked {a.at_s - since:.1f} s after it")
        self.tests.run(f"{what}: living names are found, dead ones are not", expect_none, bad)
        print(f"     {len(answers)} questions; of living names {counts}, the last not found {late:.1f} s after it, the longest took "
              f"{longest:.1f} s; the last dead found after {last_dead:.1f} s", flush=True)


def expect_none(bad):
    if bad:
        raise LabError(f"{len(bad)}: " + "; ".join(bad[:6]))


def ring(tests, count, chance, is_starved):
    kind = "starved" if is_starved else "fresh"
    lab = Lab(log_level="info", hello_ms=1000)
    for i in range(count):
        lab.island(f"o{i}", f"127.{100 + i}.0", 1 + i % 2, ALGORITHMS[i % 3])
    names = None
    try:
        lab.prepare()
        for node in lab.nodes():
            node.start()
        since = time.monotonic()
        starver = Starver(lab.nodes(), chance) if is_starved else None
        names = Names(tests, lab, [island.nodes[0] for island in chance.sample(lab.islands, WATCHERS)])
        settled = names.wait_published(90)
        if starver:
            starver.join()
            settled = max(settled, time.monotonic())
        print(f"     {count} overlays have an entry {max(names.published.values()) - since:.1f} s after the start", flush=True)
        time.sleep(START_S + 4)
        names.judge(f"{kind} start", since, settled, START_S)
        spared = names.watchers
        quarter = chance.sample([n for n in lab.nodes() if n not in spared], len(lab.nodes()) // 4)
        at = names.kill(quarter)
        time.sleep(DEAD_S + 4)
        names.judge(f"{kind}, a quarter killed", at, at, LIVE_S)
        living = [i for i in lab.islands if i.name not in names.dead and i.nodes[0] not in spared]
        dying = chance.sample(living, min(DEAD_OVERLAYS, len(living)))
        at = names.kill([n for i in dying for n in i.nodes if n.is_running()])
        time.sleep(DEAD_S + 4)
        names.judge(f"{kind}, {len(dying)} overlays killed", at, at, LIVE_S)
    except LabError as problem:
        tests.run(f"{kind} start", expect_none, [str(problem)])
    finally:
        if names:
            names.watch.end()
        lab.stop(keep=bool(os.environ.get("KEEP")))


def neighbours_of(island, chance):
    """Four that follow each other in the order of their Node-IDs."""
    nodes = sorted(island.nodes, key=lambda node: ask(node.socket, "/v1/overlay/local")["node_id"])
    first = chance.randrange(len(nodes))
    return [nodes[(first + i) % len(nodes)] for i in range(NEIGHBOURS)]


def users_lost(tests, island, number, chance):
    phones = []
    for i, node in enumerate(island.nodes):
        for p in range(PHONES):
            phones.append((node, Agent(f"127.99.{number}.{1 + i * PHONES + p}", f"u{i}x{p}", island.domain, node.sip)))
            phones[-1][1].register()
    time.sleep(2)  # so that replicas are where they are to be
    dying = neighbours_of(island, chance)
    at = time.monotonic()
    for node in dying:
        node.process.kill()
    for node in dying:
        node.kill()
    living = [n for n in island.nodes if n.is_running()]
    uris = [f"sip:{agent.user}@{agent.domain}" for node, agent in phones if node not in dying]
    watch = Watch(living[:2], lambda node: uris)
    time.sleep(USERS_S + 3)
    watch.end()
    missed = [a for a in watch.answers if a.status != 200 or not a.bindings]
    bad = [f"{a}, asked {a.at_s - at:.1f} s after it" for a in missed if a.at_s > at + USERS_S]
    tests.run(f"{island.algorithm}: {NEIGHBOURS} neighbours of {NODES} are killed", expect_none, bad)
    print(f"     {len(watch.answers)} questions for {len(uris)} users; not found {len(missed)} times, the last "
          f"{max([a.at_s - at for a in missed], default=0):.1f} s after it", flush=True)
    for _, agent in phones:
        agent.close()


def neighbours(tests, chance):
    for number, algorithm in enumerate(ALGORITHMS):
        lab = Lab(hello_ms=200)
        island = lab.island(algorithm, f"127.{90 + number}.7", NODES, algorithm)
        try:
            lab.prepare()
            lab.start()
            lab.wait_joined(60)
            wait_for("all are members", lambda lab=lab: all(n.local_state() == "joined" for n in lab.nodes()), 30)
            users_lost(tests, island, 10 + number, chance)
        except LabError as problem:
            tests.run(algorithm, expect_none, [str(problem)])
        finally:
            lab.stop(keep=bool(os.environ.get("KEEP")))


def three(tests, requests):
    with lab_of(tests, [(name, net, 4) for name, net, _ in test_takeover_gap.ISLANDS], election_extra="gateways = 3") as lab:
        kills.rounds_of_gaps(tests, lab, requests)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--parts", default="fresh,starved,neighbours,three")
    parser.add_argument("--overlays", type=int, default=40)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options, tests = parser.parse_args(), Tests()
    chance = random.Random(options.seed)
    for part in options.parts.split(","):
        if part in ("fresh", "starved"):
            ring(tests, options.overlays, chance, part == "starved")
        elif part == "neighbours":
            neighbours(tests, chance)
        elif part == "three":
            three(tests, options.requests)
        else:
            parser.error(f"no such part: {part}")
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
