#!/usr/bin/env python3
"""Does each test exist that tests/e2e/TABLE.md names?  A line for each that does not.

The column "test" of a row reads `FILE: NAME, NAME; FILE: NAME`, a comma in the colon's place or no name at all.  A
NAME is a function's, or part of what the script prints for a check; it may end with `*` or `...`.
"""
import glob
import os
import re
import sys

TABLE = "tests/e2e/TABLE.md"
COLUMNS = 6
TEST = 4
FILE = re.compile(r"(\w+\.(?:c|py))(?:[:,] (.+))?$")


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")]


def text_of(name):
    """The source of a test; None where there is none."""
    found = glob.glob(f"tests/*/{name}")
    if not found:
        return None
    with open(found[0], encoding="utf-8") as source:
        return source.read()


def is_there(name, text, is_c):
    if is_c:
        return f"START_TEST({name})" in text
    if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", name):
        return re.search(rf"\b{name}\b", text) is not None
    return re.sub(r" ?(\*|\.\.\.)$", "", name) in text


def problems(column):
    for part in column.split("; "):
        match = FILE.match(part)
        text = text_of(match[1]) if match else None
        if text is None:
            yield f"no test file: {part}"
            continue
        for name in match[2].split(", ") if match[2] else []:
            if not is_there(name, text, match[1].endswith(".c")):
                yield f"{match[1]} has no {name}"


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    with open(TABLE, encoding="utf-8") as table:
        for number, line in enumerate(table, 1):
            if not line.startswith("| ") or line.startswith(("| what |", "| --- |")):
                continue
            row = cells(line)
            if len(row) != COLUMNS:
                print(f"{TABLE}:{number}: {len(row)} columns")
                continue
            for problem in problems(row[TEST]):
                print(f"{TABLE}:{number}: {problem}")


if __name__ == "__main__":
    sys.exit(main())
