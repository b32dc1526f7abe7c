#!/usr/bin/env python3
"""Hold one example of every message against Wireshark's dissector.

The examples are those of the program `messages` in the build folder (RINGWAY_BUILD, by default
build/release).  A malformed mark, an expert error, another code than was meant, or a signature that
the dissector does not reach at the message's end, fails.
"""

import os
import struct
import subprocess
import sys
import tempfile

import dissect

SIGNATURE_HEX = "a5040506"  # how the value of every example's signature begins


def examples():
    program = os.path.join(os.environ.get("RINGWAY_BUILD", "build/release"),
                           "tests/conformance/messages")
    lines = subprocess.run([program], stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")
    return [(name, int(code), bytes.fromhex(text))
            for name, code, text in (line.split() for line in lines if line)]


def hex_dump(message):
    """As text2pcap wants it: offset, then sixteen bytes a line."""
    return "".join(f"{at:06x} {message[at:at + 16].hex(' ')}\n" for at in range(0, len(message), 16))


def problems_of(code, packet):
    found = list(dissect.messages_of(packet))
    if len(found) != 1:
        return [f"{len(found)} messages where one was meant"]
    message = found[0]
    problems = list(message.problems)
    if message.code != code:
        problems.append(f"code {message.code}, {code} was meant")
    values = [f.get("value") or "" for f in packet.iter("field")]
    if not any(v.startswith(SIGNATURE_HEX) for v in values):
        problems.append("its signature was not reached")
    return problems


def judge(wanted):
    """Problems of each example, in order."""
    with tempfile.TemporaryDirectory() as folder:
        dump, capture = os.path.join(folder, "dump.txt"), os.path.join(folder, "dump.pcapng")
        with open(dump, "w", encoding="ascii") as out:
            out.write("\n".join(hex_dump(message) for _, _, message in wanted))
        subprocess.run(["text2pcap", "-q", "-P", "reload", dump, capture], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        packets = dissect.tshark_tree(capture)
        return [problems_of(code, packet) for (_, code, _), packet in zip(wanted, packets)]


def spoiled(example):
    """The same message with a body cut short by its last byte: the rest no longer fits."""
    name, code, message = example
    at = message.index(struct.pack(">H", code), 38 + sum(struct.unpack(">HHH", message[32:38])))
    length = struct.unpack(">I", message[at + 2:at + 6])[0]
    body_end = at + 6 + length
    message = message[:at + 2] + struct.pack(">I", length - 1) + message[at + 6:body_end - 1] + \
        message[body_end:]
    return name, code, message[:16] + struct.pack(">I", len(message)) + message[20:]


def main():
    dissect.require("tshark", "text2pcap")
    wanted = examples()
    verdicts = judge(wanted)
    failed = len(wanted) - len(verdicts)
    for (name, _, _), problems in zip(wanted, verdicts):
        failed += bool(problems)
        for problem in problems:
            print(f"{name}: {problem}")
    # A judge that never says no is none.
    bad = [spoiled(e) for e in wanted if e[0] in ("join_req", "store_registration", "find_ans")]
    for (name, _, _), problems in zip(bad, judge(bad)):
        if not problems:
            print(f"{name}: spoiled, and nothing was found")
            failed += 1
    print(f"{len(wanted) - failed} passed, {failed} failed")
    return 1 if failed or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
