#!/usr/bin/env python3
"""make contract: each promise of the contract suites against each plug-in, as the suites report it.

  promises.py SUITE...   run the programs, print promise x plug-in, exit 1 if one is broken
"""
import os
import re
import subprocess
import sys

RESULT = re.compile(r"^[^\s:]+:\d+:([PFE]):[^:]*:(\w+):(\d+):(?: (.*))?$", re.M)
PLUGINS = re.compile(r"^plug-ins:(.*)$", re.M)


def run_suite(program):
    """(names of the plug-ins, {promise: {plug-in: ok?}}, messages of what failed)"""
    done = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          env=dict(os.environ, CK_VERBOSITY="verbose"))
    text = done.stdout.decode("utf-8", "replace")
    named = PLUGINS.search(text)
    if not named:
        sys.exit(f"{program}: {text.strip() or done.returncode}")
    names = named.group(1).split()
    promises, broken = {}, []
    for kind, promise, index, message in RESULT.findall(text):
        name = names[int(index)]
        promises.setdefault(promise, {})[name] = kind == "P"
        if kind != "P":
            broken.append(f"{promise}, {name}: {message}")
    if not promises or (done.returncode and not broken):
        broken.append(f"{program} ended with {done.returncode}: {text.strip()[-500:]}")
    return names, promises, broken


def print_table(title, names, promises):
    rows = [(title, *names)]
    for promise, outcome in promises.items():
        words = {True: "ok", False: "FAIL", None: "not run"}
        rows.append((promise.replace("_", " "), *(words[outcome.get(name)] for name in names)))
    width = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("  ".join(f"{cell:<{w}}" for cell, w in zip(row, width)).rstrip())
        if number == 0:
            print("  ".join("-" * w for w in width))
    print()
    return sum(cell == "not run" for row in rows for cell in row)


def main():
    broken = []
    for program in sys.argv[1:]:
        names, promises, failures = run_suite(program)
        missing = print_table(os.path.basename(program).replace("test_", ""), names, promises)
        broken += failures + ([f"{program}: {missing} not run"] if missing else [])
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    return 1 if broken or len(sys.argv) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
