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
import socket
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
# These never go to the node that made them, so that each is on the wire.
ALWAYS_ON_WIRE = ("attach_req", "attach_ans", "join_req", "join_ans", "update_req", "update_ans")
SENT = re.compile(r'^ringway_messages_sent_total\{.*code="(\d+)"\} (\d+)$', re.M)
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


def metrics(node):
    """What a daemon has sent: name -> count, both overlays together."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(node.socket)
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    counts = collections.Counter()
    for code, count in SENT.findall(text):
        counts[check_capture.code_name(int(code) or check_capture.ERROR)] += int(count)
    return counts


def live(lab):
    """A life: join, elect, resolve each other, one gateway leaves.  Returns the daemons' counts and the
    times before and after they were read."""
    lab.start()
    lab.wait_joined()
    first, second = lab.islands
    for here, there in ((first, second), (second, first)):
        for node in here.nodes:
            laboratory.wait_for(f"{node.name} resolves {there.name}",
                                lambda n=node, t=there: n.ctl("resolve", f"sip:nobody@{t.domain}") or
                                n.ctl("resolve", f"sip:overlay@{t.name}"), 20)
    before_s = time.time()
    counts = sum((metrics(node) for node in lab.nodes()), collections.Counter())
    after_s = time.time()
    gateway = first.gateway() or first.nodes[0]
    gateway.stop()
    lab.wait_gateway(first)
    return counts, before_s, after_s


def compare_counts(result, counts, before_s, after_s):
    """The wire against the daemons' counters; a daemon counts what it sends to itself as well."""
    before = collections.Counter(name for at, name in result.made if at < before_s)
    after = collections.Counter(name for at, name in result.made if at <= after_s)
    problems = []
    for name in sorted(set(after) | set(counts)):
        if before[name] > counts[name]:
            problems.append(f"{name}: {before[name]} captured, only {counts[name]} counted")
        if name in ALWAYS_ON_WIRE and counts[name] > after[name]:
            problems.append(f"{name}: {counts[name]} counted, only {after[name]} captured")
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
            counts, before_s, after_s = live(lab)
        except laboratory.LabError as problem:
            print(f"{problem}\n0 passed, 1 failed")
            return 1
        finally:
            lab.stop()
            end_capture(capture)
        result = check_capture.read(path, keys, PORTS)
    problems = result.problems + check_capture.compare(result, None, check_capture.REQUIRED)
    problems += compare_counts(result, counts, before_s, after_s)
    return check_capture.report(result, problems)


if __name__ == "__main__":
    sys.exit(main())
