#!/usr/bin/env python3
"""Topology plug-ins from outside: an overlay that runs one, what can be wrong with one, and a node whose
algorithm is not its overlay's."""
import itertools
import os
import shutil
import subprocess
import sys

from common import Tests, lab_of
from lab import Lab, LabError, wait_for
from agent import Agent
import scenarios

PHONES, MISTAKEN_NET, MIXED_NET = "127.171.9", "127.172.0", "127.173.0"
VERSIONS_NET, BROKEN_NET = "127.174.0", "127.175.0"
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
        for name, (harm, said) in FILES.items():
            if "foreign" in name and os.geteuid() != 0:
                continue  # nobody but root can give a file away
            tests.run(f"file: {name}", bad_file, lab, node, name, harm, said)
        for algorithm, text, is_good in (("chord", "neighbours=5", True), ("chord", "neighbors=5", False),
                                         ("can", "dimensions=3", True), ("can", "dimension=3", False),
                                         ("pastry", "", True), ("pastry", "b=4", False),
                                         ("onehop", "", True), ("onehop", "nonsense", False)):
            tests.run(f"parameters: {algorithm} {text!r}", parameters, lab, node, algorithm, text, is_good)
    finally:
        lab.stop()


# Files that are not as they have to be: what is done to a good one, and what is said of it.
def shorten(path):
    os.truncate(path, os.path.getsize(path) // 2)


def tail_off(path):
    os.truncate(path, os.path.getsize(path) - 1)


FILES = {
    "half": (shorten, "is not whole"),
    "lacks-a-byte": (tail_off, "is not whole"),
    "a-page": (lambda path: os.truncate(path, 4096), "is not whole"),
    "empty": (lambda path: os.truncate(path, 0), "is no file of 1 to"),
    "world": (lambda path: os.chmod(path, 0o666), "with mode 0666, allowed is one that its owner alone may write"),
    "group": (lambda path: os.chmod(path, 0o775), "with mode 0775"),
    "foreign": (lambda path: os.chown(path, 12345, 12345), "of user 12345, allowed are root and user"),
    "open-folder": (lambda path: os.chmod(os.path.dirname(path), 0o777), "with mode 0777"),
    "foreign-folder": (lambda path: os.chown(os.path.dirname(path), 12345, 0), "of user 12345"),
    "outer-folder": (lambda path: os.chmod(os.path.dirname(os.path.dirname(path)), 0o773), "with mode 0773"),
    "fifo": (lambda path: (os.unlink(path), os.mkfifo(path)), "is no file of 1 to"),
}


def bad_file(lab, node, name, harm, said):
    """The same at the start and by --check; a good one in its place is good again."""
    outer = os.path.join(lab.dir, f"files-{name}")
    folder = os.path.join(outer, "in")
    os.makedirs(folder, 0o755)
    path = os.path.join(folder, "onehop.so")
    shutil.copyfile(os.path.join(FOLDER, "onehop.so"), path)
    os.chmod(path, 0o644)
    node.configure(algorithm="onehop", local_extra=f'plugin-dir = "{folder}"')
    command = [lab.program("ringwayd"), "-c", node.config_path, "--check"]
    same("a good one", subprocess.run(command, timeout=20, check=False, stdout=subprocess.DEVNULL).returncode, 0)
    harm(path)
    for extra in (["--check"], []):
        done = subprocess.run(command[:3] + extra, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=20, stdin=subprocess.DEVNULL, check=False)
        text = done.stdout.decode("utf-8", "replace")
        same(f"exit code ({text})", done.returncode, 2)
        if said not in text or "local-overlay.algorithm: found " not in text:
            raise LabError(f"{said!r} is not in: {text}")


def parameters(lab, node, algorithm, text, is_good):
    """Misspelt ones are found before the start, by the plug-in that is to have them."""
    node.configure(algorithm=algorithm,
                   local_extra=f'plugin-dir = "{FOLDER}"\n  parameters = "{text}"')
    done = subprocess.run([lab.program("ringwayd"), "-c", node.config_path, "--check"], timeout=20,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    said = done.stdout.decode("utf-8", "replace")
    same(f"exit code ({said})", done.returncode, 0 if is_good else 2)
    if not is_good and f'local-overlay.parameters: found "{text}": ' not in said:
        raise LabError(f"it is not said which parameters: {said}")


def overwritten(lab):
    """cp over a loaded one, and an empty file in its place: nobody notices."""
    path = os.path.join(lab.dir, "versions", "onehop.so")
    for harm in (lambda: shutil.copyfile(os.path.join(FOLDER, "onehop.so"), path),
                 lambda: os.truncate(path, 100), lambda: os.truncate(path, 0)):
        harm()
        for node in lab.nodes():
            node.ctl("overlay", "local")
            if not node.is_running():
                raise LabError(f"{node.name} has ended:\n{node.log()[-2000:]}")
    phones = [Agent(f"{PHONES}.{80 + i}", user, node.island.domain, node.sip, "udp")
              for i, (user, node) in enumerate(zip(("alice", "bob"), lab.nodes()))]
    try:
        for phone in phones:
            phone.register()
        scenarios.basic(*phones)
    finally:
        for phone in phones:
            phone.close()


def build(out, source, *flags):
    subprocess.run(["gcc", "-std=c17", "-D_GNU_SOURCE", "-shared", "-fPIC", "-I.", *flags, *source, "-o", out],
                   check=True)


SOURCES = [os.path.join("tests/contract/foreign", name) for name in ("onehop.c", "onehop_members.c")]


def versions(tests):
    """Two builds of one plug-in: they work together, and both ends say that they differ."""
    lab = Lab()
    try:
        island = lab.island("versions", VERSIONS_NET, 2, algorithm="onehop")
        lab.prepare()
        for name, flags in (("versions", []), ("other", ["-g"])):
            os.mkdir(os.path.join(lab.dir, name))
            build(os.path.join(lab.dir, name, "onehop.so"), SOURCES, *flags)
        for node, folder in zip(island.nodes, ("versions", "other")):
            node.configure(algorithm="onehop", local_extra=f'plugin-dir = "{lab.dir}/{folder}"')
            node.start()
        for node in island.nodes:
            wait_for(f"{node.name} joins", lambda n=node: n.local_state() == "joined", 20)
            tests.run(f"{node.name} says that there are two versions", has_line, node, "warn",
                      "of plug-in onehop, this node ")
        tests.run("a loaded one that is overwritten", overwritten, lab)
    finally:
        codes = lab.stop()
        tests.run("all of them leave with exit code 0", same, "codes", set(codes.values()) - {0}, set())


def down_and_said(lab, node):
    """A phone registers, the count is wrong: the overlay is down, the process is not."""
    phone = Agent(f"{PHONES}.90", "alice", node.island.domain, node.sip, "udp")
    try:
        try:
            phone.register()
        except Exception:  # pylint: disable=broad-except
            pass
        has_line(node, "error", "plug-in onehop broke its contract: replica_set: more replicas than were asked for")
        wait_for("it is down", lambda: node.local_state() == "down", 10)
        if not node.is_running():
            raise LabError("the process has ended")
        for other in lab.nodes():
            if other is not node:
                wait_for(f"{other.name} goes on", lambda n=other: n.local_state() in ("joined", "alone"), 10)
    finally:
        phone.close()


def broken_promise(tests):
    lab = Lab()
    try:
        island = lab.island("broken", BROKEN_NET, 2, algorithm="onehop")
        lab.prepare()
        os.mkdir(os.path.join(lab.dir, "wrong"))
        with open(SOURCES[0], encoding="ascii") as source:
            text = source.read()
        wrong = text.replace(".replica_set = replica_set", ".replica_set = wrong_set").replace(
            "\nconst struct topology_ops ringway_topology",
            "\nstatic size_t wrong_set(const void *s, const struct id *i, struct id *r, size_t c)\n"
            "{ (void)s; (void)i; (void)r; (void)c; return 1000000; }\n"
            "const struct topology_ops ringway_topology")
        same("the source has changed", wrong.count("wrong_set"), 2)
        path = os.path.join(lab.dir, "wrong", "onehop.c")
        with open(path, "w", encoding="ascii") as out:
            out.write(wrong)
        build(os.path.join(lab.dir, "wrong", "onehop.so"), [path, SOURCES[1]])
        for node, folder in zip(island.nodes, (FOLDER, os.path.join(lab.dir, "wrong"))):
            node.configure(algorithm="onehop", local_extra=f'plugin-dir = "{folder}"')
            node.start()
        tests.run("a replica set of a million", down_and_said, lab, island.nodes[1])
    finally:
        codes = lab.stop()
        tests.run("both leave with exit code 0", same, "codes", set(codes.values()) - {0}, set())


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
    versions(tests)
    broken_promise(tests)
    names = ("chord", "pastry", "can", "onehop")
    for of_overlay, of_stranger in itertools.permutations(names, 2):
        mismatch(tests, of_overlay, of_stranger)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
