#!/usr/bin/env python3
"""What an operator can get wrong: a file with mistakes, credentials that do not fit.

The daemon says all of it in one run and exits 2 before it opens a port.  The test holds the ports
itself: a daemon that tried to open one would say so.
"""
import os
import socket
import subprocess
import sys

from common import Tests
from lab import Lab, LabError

NET, TAKEN = "127.80.1", ("6084", "6085", "5060", "5061", "5062")

# (line of the file, the option that is named, a part of what is said); None: nothing to be said.
# IP:PORT lists of one line give one mistake for each value that is wrong.
MISTAKEN = [
    ('log-level = "loud"', "log-level", 'found "loud", allowed is one of error|warn|remote|info|debug'),
    ('node "gw 1" {', "node", 'found the name "gw 1"'),
    ('  address = "127.80.1.300"', "node.address", 'found "127.80.1.300", allowed is IP or IP:PORT'),
    ('  state-dir = ""', "node.state-dir", 'found "", allowed is a path'),
    ('  colour = "blue"', "node.colour", "unknown option"),
    ("}", None, None),
    ('local-overlay "Pastry" {', "local-overlay", 'found the name "Pastry", allowed is a domain name'),
    ('  algorithm = "Chord!"', "local-overlay.algorithm", 'found "Chord!", allowed is the name of a plug-in'),
    ('  listen = "127.80.1.1"', "local-overlay.listen", 'found "127.80.1.1", allowed is IP:PORT'),
    ('  bootstrap = {"here:6084"}', "local-overlay.bootstrap", 'found "here:6084"'),
    ("  max-links = 4", "local-overlay.max-links", 'found "4", allowed is a number from 8 to 65536'),
    ('  security = "none"', "local-overlay.security", "not yet supported"),
    ('  bootstrap-url = "http://127.80.1.1/"', "local-overlay.bootstrap-url", "not yet supported"),
    ("}", "local-overlay.credentials", "found no value, one is required"),
    ("election {", None, None),
    ("  candidate = perhaps", "election.candidate", 'found "perhaps", allowed is true or false'),
    ("  hello-interval = 5", "election.hello-interval", "allowed is a number from 10 to 60000 ms"),
    ("  threshold = many", "election.threshold", 'found "many", allowed is a number from 0 to 1000'),
    ("  threshold = 20", "election.threshold", ""),
    ("}", None, None),
    ("sip {", None, None),
    ('  listen = {"tls:127.80.1.1:5060"}', "sip.listen", 'found "tls:127.80.1.1:5060"'),
    ('  authentication = "digest"', "sip.authentication", "not yet supported"),
    ("  min-expires = 3000", "sip.min-expires", "found 3000 s, allowed is up to default-expires, 2000 s"),
    ("  default-expires = 2000", None, None),
    ("  max-calls = -1", "sip.max-calls", 'found "-1"'),
    ("}", None, None),
    ('control { http = "localhost" }', "control.http", 'found "localhost", allowed is IP:PORT'),
    ("mailbox { }", "mailbox", ""),
]
REQUIRED_IN = {"local-overlay.credentials": "local-overlay \"Pastry\" {"}  # told at the section's line


def run(lab, path, *more):
    return subprocess.run([lab.program("ringwayd"), "-c", path, *more], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=20, check=False)


def must(is_so, what, done):
    if not is_so:
        raise LabError(f"{what}; exit {done.returncode}:\n{done.stdout.decode(errors='replace')}")


def expected_lines():
    lines = [line for line, _, _ in MISTAKEN]
    expected = []
    for number, (_, option, part) in enumerate(MISTAKEN, 1):
        if option:
            told_at = lines.index(REQUIRED_IN[option]) + 1 if option in REQUIRED_IN else number
            expected.append((told_at, option, part))
    return expected


def all_mistakes(lab, *more):
    """Each mistake has a line "file:line: option: ...", and nothing else is said."""
    path = os.path.join(lab.dir, "mistaken.conf")
    with open(path, "w", encoding="ascii") as out:
        out.write("\n".join(line for line, _, _ in MISTAKEN) + "\n")
    done = run(lab, path, *more)
    must(done.returncode == 2, "exit code 2 expected", done)
    told = done.stdout.decode().splitlines()
    expected = expected_lines()
    assert len(expected) >= 20
    for number, option, part in expected:
        found = [line for line in told if line.startswith(f"{path}:{number}: {option}: ") and part in line]
        must(len(found) == 1, f"one line expected for {option} in line {number} ({part})", done)
    must(len(told) == len(expected), f"{len(expected)} lines expected, {len(told)} came", done)
    numbers = [int(line.split(":")[1]) for line in told]
    must(numbers == sorted(numbers), "the lines are not in the order of the file", done)


def usage(lab):
    for arguments in ([], ["-c"], ["--colour"], ["-c", "/dev/null", "more"]):
        done = subprocess.run([lab.program("ringwayd"), *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=20, check=False)
        must(done.returncode == 2, f"{arguments}: exit code 2 expected", done)
    done = run(lab, os.path.join(lab.dir, "nothing-here.conf"))
    must(done.returncode == 2 and b"No such file" in done.stdout, "a missing file", done)


def good_file(lab, node):
    done = run(lab, node.config_path, "--check")
    must(done.returncode == 0 and done.stdout.decode() == f"{node.config_path}: good\n",
         "a good file, checked", done)


def refused(lab, node, *parts):
    """The daemon ends with 2 and all parts in its words, and did not come to its ports."""
    done = run(lab, node.config_path)
    text = done.stdout.decode(errors="replace")
    must(done.returncode == 2, "exit code 2 expected", done)
    must(text.startswith(f"error: daemon: {node.config_path}:"), "file and line expected", done)
    must(all(part in text for part in parts), f"{parts} expected", done)
    must("in use" not in text and not os.path.exists(node.socket), "it came to its ports", done)


def issue(lab, authority, out, address, user):
    lab.ctl_offline("ca", "issue", authority, "--address", address, "--user", user, "--out", out)


def credentials(tests, lab, node):
    """One thing wrong at a time."""
    local, ring = os.path.join(node.dir, "local"), os.path.join(node.dir, "global")
    own = lab.islands[0].authority
    user, gateway = f"{node.name}@{node.island.name}", f"overlay@{node.island.name}"

    def case(title, folder, authority, address, name, *parts):
        issue(lab, authority, folder, address, name)
        tests.run(title, refused, lab, node, *parts)
        node.prepare()
    elsewhere = f"{NET}.9"
    case("Node-ID of another address", local, own, elsewhere, user, f"{local}/cert.pem", "found Node-ID",
         f'that of node.address "{node.ip}"')
    case("user name of another node", local, own, node.ip, "gw9.site@" + node.island.name,
         'found user name "gw9.site@', f'allowed is "{user}"')
    case("ring: Node-ID of another address", ring, lab.authority, elsewhere, gateway, "found Node-ID")
    case("ring: user name of another overlay", ring, lab.authority, node.ip, "overlay@other",
         'found user name "overlay@other"', f'allowed is "{gateway}"')
    case("certificate of another overlay's authority", local, lab.authority, node.ip, user, "cert.pem")
    other = os.path.join(lab.dir, "ca-again")
    lab.ctl_offline("ca", "init", other, "--overlay", node.island.name)
    os.rename(os.path.join(local, "ca.pem"), os.path.join(lab.dir, "ca.pem"))
    with open(os.path.join(other, "ca.pem"), "rb") as source, \
            open(os.path.join(local, "ca.pem"), "wb") as target:
        target.write(source.read())
    tests.run("certificate of another authority of that name", refused, lab, node, "cert.pem")
    node.prepare()
    os.remove(os.path.join(local, "key.pem"))
    tests.run("no key", refused, lab, node, "key.pem")
    node.prepare()


def main():
    tests = Tests()
    lab = Lab()
    lab.island("pastry", NET, 1)
    node = lab.nodes()[0]
    held = []
    try:
        lab.prepare()
        for port in TAKEN:
            held.append(socket.create_server((node.ip, int(port))))
        tests.run("twenty mistakes in one file", all_mistakes, lab)
        tests.run("twenty mistakes, --check", all_mistakes, lab, "--check")
        tests.run("wrong usage", usage, lab)
        tests.run("a good file, --check", good_file, lab, node)
        credentials(tests, lab, node)
        done = run(lab, node.config_path)
        tests.run("a port in use is not a mistake in the file", must,
                  done.returncode == 1 and b"in use" in done.stdout, "exit code 1", done)
    finally:
        for port in held:
            port.close()
        lab.stop()
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
