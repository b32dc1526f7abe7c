#!/usr/bin/env python3
"""What an operator does to running daemons: exit codes, hand-over, reload, drain, leave, signals."""
import signal
import subprocess
import sys

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent, end_call, establish

ISLANDS = [("east", "127.82.0", 3), ("west", "127.82.1", 1)]
PHONES = "127.82.2"


def must(is_so, what):
    if not is_so:
        raise LabError(what)


def ctl(node, *words):
    """Exit code, standard output and standard error of ringwayctl."""
    done = subprocess.run([node.lab.program("ringwayctl"), "-s", node.socket, *words],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def expect(node, words, code, told=""):
    got, out, err = ctl(node, *words)
    must(got == code, f"{' '.join(words)}: exit {got}, not {code}: {out}{err}")
    must(bool(out) == (code == 0 and not told), f"{' '.join(words)}: standard output is {out!r}")
    must(told in err, f"{' '.join(words)}: {told!r} is not in {err!r}")


def exit_codes(gateway, other):
    for words in (["status"], ["election"], ["election", "history"], ["overlay", "local"],
                  ["overlay", "global"], ["resolve", "sip:overlay@west"], ["registrations"], ["calls"]):
        expect(other, words, 0)
        must(ctl(other, "--json", *words)[1].startswith(("{", "[")), f"{words}: no JSON")
    expect(other, ["resolve", "sip:nobody@site.east"], 1, "nobody@site.east")
    expect(other, ["resolve", "sip:nobody@site.nowhere"], 1, "nowhere")
    expect(other, ["election", "handover"], 1, "not the active gateway")
    expect(gateway, ["election", "handover", "stranger"], 1, "no candidate stranger")
    for words in ([], ["dance"], ["overlay"], ["overlay", "both"], ["resolve"], ["drain", "it"]):
        expect(other, words, 2, "usage" if not words else "ringwayctl: ")
    must(ctl(other, "-s", other.dir + "/nothing", "status")[0] == 3, "no daemon: not exit code 3")


def taken(node):
    """A second daemon of the same configuration."""
    done = subprocess.run([node.lab.program("ringwayd"), "-c", node.config_path], timeout=20,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    must(done.returncode == 1, f"exit {done.returncode}: {done.stdout.decode()}")
    must(node.is_running() and node.ctl("status"), "the first one does not answer any more")


def handed_over(island, gateway, other):
    expect(gateway, ["election", "handover", other.name], 0, "hand")
    wait_for(f"{other.name} is the gateway", lambda: island.gateway() is other)
    reason = other.ctl("election", "history")[-1]["reason"]
    must(reason == f"{gateway.name} hands over", reason)


def log_since(node, length):
    return node.log()[length:]


def bad_reload(node, ask):
    """A file with mistakes changes nothing, not even what is right in it."""
    node.configure(log_level="debug", hello_ms=5, candidate="perhaps")
    before = len(node.log())
    ask()
    text = wait_for("the log", lambda: "stays as it was" in log_since(node, before) and
                    log_since(node, before))
    for option in ("election.hello-interval", "election.candidate"):
        must(f"{option}: found" in text, f"{option} is not named in {text}")
    must(node.ctl("status") and "\ndebug: " not in log_since(node, before), "it took effect")


def hang_up(node):
    node.process.send_signal(signal.SIGHUP)


def good_reload(node):
    """The level takes effect at once: at warn the line that tells of the reload is not written."""
    node.configure(log_level="warn", sip_extra="max-calls = 7")
    before = len(node.log())
    expect(node, ["reload"], 0, "read again")
    text = log_since(node, before)
    must("section sip has changed" in text and "section node" not in text, text)
    must("info: " not in text, text)
    node.configure()
    hang_up(node)
    wait_for("SIGHUP", lambda: log_since(node, before).count("read again") == 1)


def drain(island, far, gateway):
    """The gateway's role goes to another node; calls that are up go on, new ones are refused."""
    alice = Agent(f"{PHONES}.1", "alice", island.domain, gateway.sip)
    bob = Agent(f"{PHONES}.2", "bob", far.domain, far.nodes[0].sip)
    try:
        alice.register()
        bob.register()
        talk, _, _ = establish(alice, bob)
        expect(gateway, ["drain"], 0, "draining")
        new = wait_for("another gateway", lambda: island.gateway() not in (None, gateway) and
                       island.gateway())
        must(gateway.ctl("status")["draining"], "status does not say so")
        wait_for(f"{gateway.name} is no candidate", lambda: gateway.name not in
                 [c["name"] for c in new.ctl("election")["candidates"]])
        alice.request("INVITE", bob.uri, body=alice.sdp(1))
        alice.expect_status(503)
        alice.register(expect=503)
        end_call(alice, talk, bob)
        wait_for("no calls", lambda: gateway.ctl("status")["sip"]["calls"] == 0)
    finally:
        alice.close()
        bob.close()


def leave(island, gateway):
    expect(gateway, ["leave"], 0, "leaving")
    must(gateway.process.wait(15) == 0, f"exit code {gateway.process.returncode}")
    gateway.process = None
    wait_for("a gateway", lambda: island.gateway())


def second_signal(island):
    """Nobody answers the leave; the second SIGTERM does not wait for them."""
    gateway, other = island.gateway(), island.others()[0]
    other.hang()
    try:
        before = len(gateway.log())
        gateway.process.send_signal(signal.SIGTERM)
        wait_for("the leave", lambda: "leaving" in log_since(gateway, before), pause=0.002)
        gateway.process.send_signal(signal.SIGTERM)
        code = gateway.process.wait(15)
        must(code == 0, f"exit code {code}")
        must("-> observer" not in log_since(gateway, before), log_since(gateway, before))
        gateway.process = None
    finally:
        other.process.send_signal(signal.SIGCONT)
    wait_for(f"{other.name} is the gateway", lambda: island.gateway() is other)


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        east, west = lab.islands
        gateway, (other, third) = east.gateway(), east.others()
        tests.run("exit codes", exit_codes, gateway, other)
        tests.run("a second daemon ends with exit code 1", taken, other)
        tests.run("a hand-over on demand", handed_over, east, gateway, other)
        tests.run("reload: a bad file is refused whole", bad_reload, third,
                  lambda: expect(third, ["reload"], 1, "election.candidate: found"))
        tests.run("SIGHUP: a bad file is refused whole", bad_reload, third, lambda: hang_up(third))
        tests.run("reload: a good file", good_reload, third)
        tests.run("drain", drain, east, west, other)
        tests.run("leave", leave, east, other)
        tests.run("a second SIGTERM", second_signal, east)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
