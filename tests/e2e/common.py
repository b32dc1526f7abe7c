"""What the end-to-end tests share: a lab that is always taken down, and counting."""
import contextlib
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab"))
from lab import Lab, LabError  # noqa: E402


class Tests:
    """Runs named checks, prints a line each, and ends the script with its count."""

    def __init__(self):
        self.passed = self.failed = 0

    def run(self, name, function, *arguments, **options):
        begin = time.monotonic()
        try:
            function(*arguments, **options)
            self.passed += 1
            print(f"ok   {name} ({time.monotonic() - begin:.2f} s)", flush=True)
            return True
        except (LabError, OSError, AssertionError) as problem:
            self.failed += 1
            print(f"FAIL {name}: {problem}", flush=True)
            if not isinstance(problem, LabError):
                traceback.print_exc(file=sys.stdout)
            return False

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0


@contextlib.contextmanager
def lab_of(tests, islands, **options):
    """A lab with [(name, net, count[, algorithm])] islands, joined.  At its end every daemon must leave with exit
    code 0 and without a word of the sanitizers; KEEP=1 leaves its folder."""
    lab = Lab(**options)
    for island in islands:
        lab.island(*island)
    try:
        lab.prepare()
        lab.start()
        lab.wait_joined()
        yield lab
    except LabError as problem:
        tests.run("the lab", fail, problem)
    finally:
        logs = {node: node.log for node in lab.nodes()}
        codes = lab.stop(keep=True)
        tests.run("every daemon leaves with exit code 0", same_codes, codes)
        for node, log in logs.items():
            tests.run(f"{node.island.name}/{node.name}: sanitizers are silent", clean_log, log())
        lab.stop(keep=bool(os.environ.get("KEEP")))


def fail(problem):
    raise problem


def same_codes(codes):
    wrong = {name: code for name, code in codes.items() if code not in (0, None)}
    if wrong:
        raise LabError(f"exit codes {wrong}")


def clean_log(text):
    for word in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "Assertion"):
        if word in text:
            raise LabError(text[max(0, text.index(word) - 200):][:3000])
