"""A network namespace for a test: loopback alone, so that nothing it sends leaves it and what it may not reach is not there."""
import os
import subprocess
import sys

INSIDE = "RINGWAY_TEST_INSIDE"
SKIPPED = 77


def run_inside():
    """Runs the script again in a namespace of its own and ends with its exit code; returns in the inner one, loopback up."""
    if os.environ.get(INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    for extra in ([], ["--user", "--map-root-user"]):
        if subprocess.run(["unshare", "--net", *extra, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            words = ["unshare", "--net", *extra, "--kill-child", "--fork", sys.executable, *sys.argv]
            sys.exit(subprocess.run(words, env=dict(os.environ, **{INSIDE: "1"}), check=False).returncode)
    print("no network namespace can be made here")
    sys.exit(SKIPPED)


def add_addresses(addresses):
    """IPv6 addresses for loopback; those of 127.0.0.0/8 are there."""
    batch = "".join(f"address add {address}/128 dev lo nodad\n" for address in addresses)
    subprocess.run(["ip", "-batch", "-"], input=batch.encode(), check=True)
