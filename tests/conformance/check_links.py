#!/usr/bin/env python3
"""Hold what real daemons say to each other against Wireshark's dissector.

Two islands of three nodes are captured from their start to the leave of a gateway: local overlays and
ring, inside TLS.  No malformed mark, a request and an answer of each kind that belongs to a life, and
as many messages as the daemons themselves have counted.

Skipped where the user may not capture on loopback.
"""

import collections
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import check_capture
import dissect

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab"))
import lab as laboratory  # noqa: E402  pylint: disable=wrong-import-position

ISLANDS = [("pastry", "127.61.0"), ("chord", "127.62.0")]
NODES = 3
PORTS = {laboratory.OVERLAY_PORT: "chord", laboratory.GLOBAL_PORT: "chord"}
# What each daemon says at its end of each of its overlays.
TOLD = re.compile(r"messages (given to|taken from) links:(.*)$", re.M)
BUFFER_MIB = 64


def start_capture(path, errors):
    nets = " or ".join(f"net {net}.0/24" for _, net in ISLANDS)
    ports = " or ".join(f"tcp port {port}" for port in PORTS)
    capture = subprocess.Popen(["dumpcap", "-q", "-i", "lo", "-B", str(BUFFER_MIB), "-f",
                                f"({ports}) and ({nets})", "-w", path], stdout=errors, stderr=errors)
    try:
        laboratory.wait_for("the capture begins", lambda: capture.poll() is not None or
                            (os.path.exists(path) and os.path.getsize(path) > 0), 10)
    except laboratory.LabError:
        capture.kill()
    return capture


def end_capture(capture):
    """dumpcap writes what it has within its next round."""
    time.sleep(1)
    capture.send_signal(signal.SIGINT)
    capture.wait(10)


def told(log, way):
    """What a daemon counted in its life, "given to" its links or "taken from" them: name -> count, both
    overlays together."""
    counts = collections.Counter()
    for which, text in TOLD.findall(log):
        words = text.split()
        for name, count in zip(words[::2], words[1::2]):
            counts[name] += int(count) if which == way else 0
    return counts


def live(lab):
    """A life: join, elect, resolve each other, one gateway leaves, all leave.  Returns what
    the daemons counted: given to links, taken from links."""
    lab.start()
    lab.wait_joined()
    first, second = lab.islands
    for here, there in ((first, second), (second, first)):
        for node in here.nodes:
            laboratory.wait_for(f"{node.name} resolves {there.name}",
                                lambda n=node, t=there: n.ctl("resolve", f"sip:nobody@{t.domain}") or
                                n.ctl("resolve", f"sip:overlay@{t.name}"), 20)
    gateway = first.gateway() or first.nodes[0]
    gateway.stop()
    lab.wait_gateway(first)
    lab.stop(keep=True)
    return [sum((told(node.log(), way) for node in lab.nodes()), collections.Counter())
            for way in ("given to", "taken from")]


def compare_counts(result, given, taken):
    """The wire against the daemons' own counters: every message that was taken from a link was on the
    wire, and every message on the wire was given to a link.  Between the two lie only those few that
    were on their way when a link was closed."""
    problems = []
    for name in sorted(set(result.messages) | set(given) | set(taken)):
        if not taken[name] <= result.messages[name] <= given[name]:
            problems.append(f"{name}: {result.messages[name]} captured; the daemons gave {given[name]} "
                            f"to links and took {taken[name]}")
    total = {"captured": sum(result.messages.values()), "given": sum(given.values()),
             "taken": sum(taken.values())}
    print(f"messages: {total}")
    if total["given"] - total["taken"] > total["captured"] // 100:
        problems.append(f"more than one message in a hundred was lost on the way: {total}")
    return problems


def main():
    dissect.require("tshark", "dumpcap")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as errors:
        path, keys = os.path.join(folder, "links.pcapng"), os.path.join(folder, "keys")
        capture = start_capture(path, errors)
        if capture.poll() is not None:
            errors.seek(0)
            print("no right to capture: " + errors.read().decode(errors="replace").strip())
            return 77
        lab = laboratory.Lab(environment={"SSLKEYLOGFILE": keys})
        try:
            for name, net in ISLANDS:
                lab.island(name, net, NODES)
            lab.prepare()
            given, taken = live(lab)
        except laboratory.LabError as problem:
            print(f"{problem}\n0 passed, 1 failed")
            return 1
        finally:
            lab.stop()
            end_capture(capture)
        result = check_capture.read(path, keys, PORTS)
    problems = result.problems + check_capture.compare(result, None, check_capture.REQUIRED)
    problems += compare_counts(result, given, taken)
    return check_capture.report(result, problems)


if __name__ == "__main__":
    sys.exit(main())
