#!/usr/bin/env python3
"""Topology plug-ins from outside: an overlay that runs one, what can be wrong with one, and a node whose
algorithm is not its overlay's."""
import itertools
import os
import subprocess
import sys

from common import Tests, lab_of
from lab import Lab, LabError, wait_for
from agent import Agent
import scenarios

PHONES, MISTAKEN_NET, MIXED_NET = "127.171.9", "127.172.0", "127.173.0"
BUILD = os.environ.get("RINGWAY_BUILD", "build/release")
FOLDER = os.path.abspath(os.path.join(BUILD, "tests/contract/foreign"))

# A plug-in in C that is wrong in one way each, and what is said of it.
BROKEN = {
    "empty": ("int nothing;", "found no symbol ringway_topology in"),
    "old": ("const struct { const char *name; unsigned abi; char rest[400]; } ringway_topology ="
            ' {"old", 77, ""};', "found ABI 77 in"),
    "alias": ("const struct { const char *name; unsigned abi; char rest[400]; } ringway_topology ="
              ' {"other", 1, ""};', 'found the plug-in "other" in'),
    "hollow": ("const struct { const char *name; unsigned abi; char rest[400]; } ringway_topology ="
               ' {"hollow", 1, ""};', "found no function create in"),
    "unbound": ("extern int nobody_has_this(void); int (*call)(void) = nobody_has_this;",
                "found no plug-in that can be loaded"),
}


def same(what, got, wanted):
    if got != wanted:
        raise LabError(f"{what}: {got!r}, {wanted!r} was expected")


def runs_it(lab):
    """Every node says that it runs the plug-in, and knows all the others."""
    for node in lab.nodes():
        local = node.ctl("status")["local"]
        same(f"{node.name}: algorithm", local["algorithm"], "onehop")
        wait_for(f"{node.name} knows the others",
                 lambda n=node: n.ctl("status")["local"]["neighbours"] == 2, 15)


def call_between(lab, first, second, number):
    """Calls between phones at two nodes, and back."""
    phones = []
    try:
        for node, user in ((first, "alice"), (second, "bob")):
            phone = Agent(f"{PHONES}.{2 * number + len(phones) + 1}", f"{user}{number}",
                          node.island.domain, node.sip, "udp")
            phones.append(phone)
            phone.register()
        scenarios.basic(*phones)
        scenarios.basic(*reversed(phones))
    finally:
        for phone in phones:
            phone.close()


def calls_after_a_death(lab):
    """The overlay mends itself: calls between the two that are left, and with the one that came back."""
    dead, *left = lab.islands[0].nodes
    dead.kill()
    wait_for("the dead node is forgotten",
             lambda: all(n.ctl("status")["local"]["neighbours"] == 1 for n in left), 20)
    call_between(lab, *left, number=5)
    dead.start()
    wait_for("it is back", lambda: dead.local_state() == "joined", 20)
    call_between(lab, dead, left[0], number=6)


def refused_at_start(lab, node, algorithm, said, check):
    """Exit 2 and one line that says where and why."""
    node.configure(algorithm=algorithm, local_extra=f'plugin-dir = "{lab.dir}"')
    command = [lab.program("ringwayd"), "-c", node.config_path] + (["--check"] if check else [])
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20,
                          stdin=subprocess.DEVNULL, check=False)
    text = done.stdout.decode("utf-8", "replace")
    same(f"exit code ({text})", done.returncode, 2)
    for part in (said, f"{node.config_path}:", "local-overlay.algorithm: found "):
        if part not in text:
            raise LabError(f"{part!r} is not in: {text}")


def mistakes(tests):
    lab = Lab()
    try:
        node = lab.island("alone", MISTAKEN_NET, 1).nodes[0]
        lab.prepare()
        for name, (source, _) in BROKEN.items():
            subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o",
                            os.path.join(lab.dir, f"{name}.so")], input=source.encode(), check=True)
        with open(os.path.join(lab.dir, "text.so"), "w", encoding="ascii") as out:
            out.write("no shared object\n")
        wanted = dict({name: said for name, (_, said) in BROKEN.items()},
                      text="found no plug-in that can be loaded", nowhere="there is no ")
        for name, said in wanted.items():
            for check in (False, True):
                tests.run(f"mistake: {name}{', --check' if check else ''}", refused_at_start, lab, node,
                          name, said, check)
    finally:
        lab.stop()


def has_line(node, level, *parts):
    def question():
        return [line for line in node.log().splitlines()
                if level in line and all(part in line for part in parts)]
    return wait_for(f"{node.name} logs {parts}", question, 20)


def refused_by_overlay(lab, stranger, algorithm):
    """It is told why, goes down and stays down; the others go on and have said it too."""
    has_line(stranger, "error", "this node's algorithm is not the overlay's")
    wait_for("the stranger is down", lambda: stranger.local_state() == "down", 10)
    seen = [n for n in lab.islands[0].nodes if n is not stranger and
            f'not {algorithm} ("", ABI 1)' in n.log()]
    if not seen:
        raise LabError("no member has logged the refusal")
    for node in lab.islands[0].nodes:
        if node is not stranger:
            wait_for(f"{node.name} is joined", lambda n=node: n.local_state() == "joined", 10)


def mismatch(tests, of_overlay, of_stranger):
    lab = Lab(local_extra=f'plugin-dir = "{FOLDER}"')
    try:
        island = lab.island("mixed", MIXED_NET, 3, algorithm=of_overlay)
        lab.prepare()
        *members, stranger = island.nodes
        stranger.configure(algorithm=of_stranger)
        for node in members:
            node.start()
        for node in members:
            wait_for(f"{node.name} joins", lambda n=node: n.local_state() == "joined", 20)
        stranger.start()
        tests.run(f"{of_stranger} in an overlay of {of_overlay} is refused", refused_by_overlay, lab,
                  stranger, of_stranger)
    finally:
        codes = lab.stop()
        tests.run("all of them leave with exit code 0", same, "codes",
                  set(codes.values()) - {0}, set())


def main():
    tests = Tests()
    with lab_of(tests, [("foreign", "127.171.0", 3)], algorithm="onehop",
                local_extra=f'plugin-dir = "{FOLDER}"') as lab:
        nodes = lab.islands[0].nodes
        tests.run("three nodes run a plug-in from outside", runs_it, lab)
        for number in range(3):
            first, second = nodes[number], nodes[(number + 1) % 3]
            tests.run(f"calls between {first.name} and {second.name}", call_between, lab, first, second,
                      number)
        tests.run("calls after a death and a return", calls_after_a_death, lab)
    mistakes(tests)
    names = ("chord", "pastry", "can", "onehop")
    for of_overlay, of_stranger in itertools.permutations(names, 2):
        mismatch(tests, of_overlay, of_stranger)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
