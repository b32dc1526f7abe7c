#!/usr/bin/env python3
"""Read all RELOAD messages of a capture with Wireshark's dissector.

    check_capture.py CAPTURE KEYLOG PORT[=PLUGIN][,...] [--expect COUNTS.json] [--any]

CAPTURE is pcap or pcapng of TLS links, KEYLOG what the TLS ends wrote down (NSS format), PORT a port
RELOAD listens on; PLUGIN is chord (the default), or another topology plug-in, whose Update bodies
the dissector then leaves alone.  Prints JSON: "messages" has the count of each message code,
"frames" those of data and acknowledgement frames.

Fails on malformed marks and expert errors, on counts other than COUNTS.json has, and unless there is
a request and an answer of Attach, Join, Update, Store, Fetch, Leave and exp_a (--any: not needed).

Without arguments it makes a capture of its own, of one example of every message, and reads that.
"""

import argparse
import collections
import json
import os
import sys
import tempfile

import check_reload
import dissect
import tls_capture

NAMES = {
    1: "probe", 3: "attach", 7: "store", 9: "fetch", 13: "find", 15: "join", 17: "leave", 19: "update",
    21: "route_query", 23: "ping", 25: "stat", 29: "app_attach", 33: "config_update", 35: "exp_a",
    37: "exp_b",
}
ERROR = 0xFFFF
REQUIRED = [f"{name}_{way}" for name in ("attach", "join", "update", "store", "fetch", "leave", "exp_a")
            for way in ("req", "ans")]
PLUGINS = {"chord": "CHORD-RELOAD"}

# messages: name -> count; made: [(time_s, name)] of messages on their first hop; frames: "data" and
# "ack" -> count; problems: sentences
Result = collections.namedtuple("Result", "messages made frames problems")


def code_name(code):
    """As message_code_name() in peer-protocol/message/ has it."""
    if code == ERROR:
        return "error"
    if code in NAMES:
        return NAMES[code] + "_req"
    if code - 1 in NAMES:
        return NAMES[code - 1] + "_ans"
    return f"code_{code}"


def options_for(keylog, ports, plugin):
    lua = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reload_stream.lua")
    among = "tcp.port in {" + ",".join(map(str, ports)) + "}"
    options = ["-X", "lua_script:" + lua, "-o", "tls.keylog_file:" + keylog,
               "-o", "reload.topology_plugin:" + PLUGINS.get(plugin, plugin.upper()),
               "-Y", f"{among} && (reload || reload-framing || reload_stream || _ws.malformed)"]
    for port in ports:
        options += ["-d", f"tcp.port=={port},tls"]
    return options


def read(capture, keylog, ports):
    """Count the messages of a capture; @ports maps each port to its plug-in's name."""
    result = Result(collections.Counter(), [], collections.Counter(), [])
    for plugin in sorted(set(ports.values())):
        mine = [port for port, name in ports.items() if name == plugin]
        env = dict(os.environ, RELOAD_TLS_PORTS=",".join(map(str, mine)))
        for packet in dissect.tshark_tree(capture, options_for(keylog, mine, plugin), env):
            for kind in dissect.frame_types_of(packet):
                result.frames[kind] += 1
            for message in dissect.messages_of(packet):
                name = code_name(message.code)
                result.messages[name] += 1
                if message.is_first_hop:
                    result.made.append((message.time_s, name))
                result.problems.extend(f"packet {message.frame}: {name}: {p}" for p in message.problems)
    return result


def compare(result, expected, required):
    """What is missing or too much, as sentences."""
    problems = [f"no {name} in the capture" for name in required if not result.messages[name]]
    for name in sorted(expected or {}):
        if result.messages[name] != expected[name]:
            problems.append(f"{result.messages[name]} {name} in the capture, {expected[name]} expected")
    return problems


def report(result, problems):
    print(json.dumps({"messages": dict(sorted(result.messages.items())),
                      "frames": dict(sorted(result.frames.items()))}, indent=2))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def own_capture():
    """One example of every message over a TLS link, in frames that segments and records do not fit."""
    examples = check_reload.examples()
    expected = collections.Counter(code_name(code) for _, code, _ in examples)
    with tempfile.TemporaryDirectory() as folder:
        capture, keylog = os.path.join(folder, "c.pcap"), os.path.join(folder, "keys")
        tls_capture.write(capture, keylog, 6084, [message for _, _, message in examples])
        result = read(capture, keylog, {6084: "chord"})
    problems = result.problems + compare(result, expected, REQUIRED)
    if result.frames["data"] != len(examples) or result.frames["ack"] != len(examples):
        problems.append(f"{dict(result.frames)} frames, {len(examples)} of each were sent")
    return report(result, problems)


def main():
    dissect.require("tshark", "text2pcap")
    if len(sys.argv) == 1:
        return own_capture()
    parser = argparse.ArgumentParser(description="Read all RELOAD messages of a capture with tshark.")
    parser.add_argument("capture")
    parser.add_argument("keylog")
    parser.add_argument("ports")
    parser.add_argument("--expect", help="JSON object: message name -> count")
    parser.add_argument("--any", action="store_true", help="no message code has to be there")
    given = parser.parse_args()
    ports = {}
    for entry in given.ports.split(","):
        port, _, plugin = entry.partition("=")
        ports[int(port)] = plugin or "chord"
    expected = None
    if given.expect:
        with open(given.expect, encoding="utf-8") as file:
            expected = json.load(file)
    result = read(given.capture, given.keylog, ports)
    return report(result, result.problems + compare(result, expected, [] if given.any else REQUIRED))


if __name__ == "__main__":
    sys.exit(main())
