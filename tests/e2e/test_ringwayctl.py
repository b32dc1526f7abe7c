#!/usr/bin/env python3
"""ringwayctl as a person and a script use it: exit status, JSON as it came, words where they belong.

The daemon is played by a server on a Unix socket that knows one answer for each path.
"""

import http.server
import json
import os
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(ROOT, os.environ.get("RINGWAY_BUILD", "build/release"), "ringwayctl")

STATUS = {
    "node": {"name": "gw1.bupt", "address": "127.1.0.1", "node_id": "ab" * 16, "version": "0.1.0",
             "uptime_s": 3725},
    "local": {"overlay": "pastry", "algorithm": "chord", "state": "joined", "is_member": True,
              "neighbours": 2, "records": 1},
    "election": {"role": "active", "term": 7, "score": 512},
    "global": None,
    "sip": {"registrations": 3, "calls": 1},
    "replicas": {"calls": 1, "copies": 0, "copy_bytes": 0, "adopted": 0, "released": 0,
                 "heirs": [{"node_id": "cd" * 16, "name": "gw2", "address": "127.1.0.2:6084", "moving": False,
                            "pending": 4, "last_ms": 12, "round_ms": 3}]},
    "draining": False, "leaving": False,
}
GATEWAY = {"node_id": "ab" * 16, "name": "gw1.bupt", "address": "127.1.0.1:6084", "score": 512,
           "since": "2026-01-31T12:00:00.000Z", "term": 7, "is_self": True, "is_pinned": True,
           "hello": {"state": "suspect", "interval_ms": 100, "rtt_ms": 2, "missed": 3,
                     "last_ms": 310}}
ELECTION = {
    "overlay": "pastry", "term": 7, "role": "active", "score": 512, "active": GATEWAY,
    "gateways": [GATEWAY],
    "candidates": [
        {"rank": 1, "node_id": "cd" * 16, "name": "gw2\x1b[31m", "address": "127.1.0.2:6084",
         "score": 430, "parts": {"online": 100, "bandwidth": 500, "cpu": 900},
         "hello": {"rtt_ms": 3, "missed": 0, "last_ms": None}, "is_self": False}],
}
ANSWERS = {
    "/v1/status": STATUS,
    "/v1/election": ELECTION,
    "/v1/election/history": [{"at": "2026-01-31T12:00:00.000Z", "term": 7, "from": "candidate",
                              "to": "active", "reason": "gw2 silent for 300 ms",
                              "steps": {"gateway": "gw2", "is_reset": False, "silent_ms": 276,
                                        "probes_asked": 2, "probes_answered": 1, "probe_ms": 24,
                                        "turn_ms": 0, "answered_ms": 3, "stored_ms": 5,
                                        "ring_ms": None}}],
    "/v1/overlay/local": dict(STATUS["local"], node_id="ab" * 16, address="127.1.0.1:6084",
                              neighbour_nodes=[], messages={"forwarded": 5}, held=[],
                              table=[{"table": "successor", "index": 0, "node_id": "cd" * 16,
                                      "note": ""}]),
    "/v1/resolve?uri=sip%3Abob%40site.can": {
        "uri": "sip:bob@site.can", "overlay": "can", "contacts": ["sip:127.2.0.1:5061"],
        "hops": [{"node_id": "cd" * 16, "name": "", "address": "127.2.0.1:6085", "rtt_ms": 1.5}],
        "elapsed_ms": 12},
    "/v1/registrations": [],
    "/v1/calls": [{"id": "c1", "from": "a@b", "to": "c@d", "state": "confirmed",
                   "since": "2026-01-31T12:00:00.000Z", "is_adopted": True, "is_told": False}],
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    posted = []

    def answer(self, code, body):
        data = (json.dumps(body) + "\n").encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path in ANSWERS:
            self.answer(200, ANSWERS[self.path])
        else:
            self.answer(404, {"error": "no such thing", "code": 9003})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.posted.append((self.path, body))
        if self.path == "/v1/drain":
            self.answer(501, {"error": "not supported", "code": 9007})
        else:
            self.answer(200, {"result": "ok"})

    def log_message(self, *_):
        pass

    def address_string(self):
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class Checks:
    def __init__(self, socket_path):
        self.socket, self.passed, self.failed = socket_path, 0, 0

    def check(self, what, good, seen=""):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAIL {what}: {seen!r}")

    def run(self, *words, socket_path=None):
        done = subprocess.run([PROGRAM, "-s", socket_path or self.socket, *words],
                              capture_output=True, text=True, timeout=20, check=False)
        return done.returncode, done.stdout, done.stderr

    def expect(self, words, status, out=(), err=()):
        code, stdout, stderr = self.run(*words)
        self.check(f"{words}: exit status {status}", code == status, (code, stdout, stderr))
        for text in out:
            self.check(f"{words}: output has {text!r}", text in stdout, stdout)
        for text in err:
            self.check(f"{words}: words have {text!r}", text in stderr, stderr)
        if not err:
            self.check(f"{words}: no words", stderr == "", stderr)


def people(c):
    c.expect(["status"], 0, ["gw1.bupt at 127.1.0.1", "up 1 h 2 min",
                             "pastry (chord): joined, 2 neighbours, 1 record\n", "global    none",
                             "active, term 7", "3 registrations, 1 call\n",
                             "replicas  1 call at 1 heir, 4 pending; 0 copies held\n"])
    c.expect(["election"], 0, ["Overlay pastry, term 7", "gw1.bupt *", "512 pinned", "suspect", "310 ms", "RANK", "gw2?[31m", " 430 ",
                               "3 ms", "-\n"])
    c.expect(["election", "history"], 0, ["gw2 silent for 300 ms", "REASON", " 276 ms  1/2 ", "24 ms  0 ms   3 ms    5 ms "])
    c.expect(["overlay", "local"], 0, ["successor", "5 passed on"])
    c.expect(["resolve", "sip:bob@site.can"], 0, ["is in overlay can, found in 12 ms",
                                                  "sip:127.2.0.1:5061", "1.50 ms"])
    c.expect(["registrations"], 0, ["no registration"])
    c.expect(["calls"], 0, ["confirmed", "a@b", "another gateway, its ends are being told"])
    code, out, _ = c.run("election")
    c.check("no escape sequences where there is no terminal", "\x1b" not in out, out)


def scripts(c):
    for words, path in ((["status"], "/v1/status"), (["election"], "/v1/election"),
                        (["election", "history"], "/v1/election/history"),
                        (["calls"], "/v1/calls"), (["registrations"], "/v1/registrations")):
        code, out, _ = c.run("--json", *words)
        c.check(f"--json {words}", code == 0 and json.loads(out) == ANSWERS[path], out)
        code, out, _ = c.run(*words, "--json")
        c.check(f"{words} --json", code == 0 and json.loads(out) == ANSWERS[path], out)


def unserved(c):
    """The exit status says whether the overlay is served; what is shown is the same."""
    served = dict(STATUS)
    ring = {"overlay": "p2psip.global", "algorithm": "chord", "state": "joined", "is_member": True, "neighbours": 1, "records": 0}
    try:
        for local, election, words in (({"state": "joining"}, {}, "not in its overlay"),
                                       ({}, {"served": False, "trouble": None}, "no gateway is known"),
                                       ({}, {"served": False, "trouble": "no\x1b[31m node"}, "no?[31m node"),
                                       ({}, {"served": True, "trouble": None}, None)):
            STATUS.update(served, local=dict(served["local"], **local), election=dict(served["election"], **election))
            STATUS["global"] = ring
            c.expect(["status"], 1 if words else 0, ["gw1.bupt at 127.1.0.1"], ["not served: ", words] if words else [])
            code, out, _ = c.run("--json", "status")
            c.check("--json", code == (1 if words else 0) and json.loads(out) == STATUS, out)
    finally:
        STATUS.clear()
        STATUS.update(served)


def refusals(c):
    c.expect(["overlay", "global"], 1, [], ["no such thing"])
    c.expect(["resolve", "sip:x@y"], 1, [], ["no such thing"])
    c.expect(["drain"], 1, [], ["not supported"])
    for words in ([], ["nothing"], ["status", "x"], ["overlay"], ["overlay", "x"], ["resolve"],
                  ["election", "x"], ["status", "--watch"], ["--wrong"], ["ca"],
                  ["election", "handover", "a", "b"], ["leave", "now"]):
        c.expect(words, 2, [], [" "])
    code, _, err = c.run("status", socket_path="/nonexistent/socket")
    c.check("no daemon", code == 3 and "no daemon answers" in err, (code, err))
    c.expect(["--help"], 0, ["usage: ringwayctl"])


def changes(c):
    Handler.posted.clear()
    c.expect(["leave"], 0, [], ["leaving"])
    c.expect(["reload"], 0, [], ["read again"])
    c.expect(["election", "handover"], 0, [], ["under way"])
    c.expect(["election", "handover", "gw2"], 0, [], ["under way"])
    c.check("what was asked", Handler.posted == [
        ("/v1/leave", ""), ("/v1/reload", ""), ("/v1/election/handover", "{}"),
        ("/v1/election/handover", '{"node":"gw2"}')], Handler.posted)


def watch(c):
    """One document at first, one more at a change of the gateway, none for a HELLO figure."""
    child = subprocess.Popen([PROGRAM, "-s", c.socket, "--json", "election", "--watch"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        first = json.loads(child.stdout.readline())
        ELECTION["candidates"][0]["hello"]["rtt_ms"] = 9
        time.sleep(1.2)  # two polls: what must not come cannot be waited for
        ELECTION["term"] = 8
        second = json.loads(child.stdout.readline())
        c.check("watch", (first["term"], second["term"]) == (7, 8), (first, second))
    finally:
        child.kill()
        child.communicate()
        ELECTION["term"] = 7


def main():
    folder = tempfile.mkdtemp(prefix="ringwayctl-")
    path = os.path.join(folder, "control.sock")
    server = Server(path, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    c = Checks(path)
    try:
        for part in (people, scripts, unserved, refusals, changes, watch):
            part(c)
    finally:
        server.shutdown()
        server.server_close()
        os.unlink(path)
        os.rmdir(folder)
    print(f"{c.passed} passed, {c.failed} failed")
    return 1 if c.failed else 0


if __name__ == "__main__":
    sys.exit(main())
