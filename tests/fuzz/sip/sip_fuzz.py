#!/usr/bin/env python3
"""SIP messages with harm done to them, against sanitized nodes with a callee in another overlay.

    sip_fuzz.py [--messages 200000] [--seed 1] [--transport udp|tcp|both] [--every 1000] [--keep]

Phones' requests outside and inside dialogs and the callee's responses, each header field in turn with each kind of harm, by UDP
and TCP, to a node that is no gateway and to one that is.  After every --every messages an honest phone calls from overlay
to overlay.  It fails when a daemon ends, a sanitizer speaks, an honest call does not come up, or a call is left that nobody ends.
The last messages before a failure are kept in a file that --replay sends again.
"""
import argparse
import collections
import contextlib
import glob
import os
import pickle
import random
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "lab"), os.path.join(HERE, "..", "..", "e2e")]
import corpus  # noqa: E402
import mutate  # noqa: E402
from agent import Agent, end_call, establish, uri_of  # noqa: E402
from common import clean_log  # noqa: E402
from lab import Lab, LabError, wait_for  # noqa: E402
from robots import Robot, Sender  # noqa: E402

NETS = {"east": "127.90.1", "west": "127.90.2"}
KEPT = 4000           # messages, for the replay
PACE = 200            # messages between two looks whether the nodes keep up
HELLO_MS = 1000       # a node that a loaded machine stops for a second is not dead
HONEST_TRIES = 5
STARVED_S = 0.5       # a thread of a node that waits longer for a processor makes a call late
CALM_S = 0.2
HONEST_S = 2.0        # an honest call comes up within
SIP_OPTIONS = ("max-requests-per-source = 1000000\n  max-connections = 4000\n  max-connections-per-source = 4000\n  "
               "max-calls = 100000\n  max-pending-per-destination = 10000")


class Witness(Agent):
    """A phone by TCP that can tell what it has read last."""

    read = b""

    def _take_stream(self):
        before, count = self.stream, len(self.waiting)
        super()._take_stream()
        self.read = (self.read + before[:len(before) - len(self.stream)])[-20000:]
        for message in self.waiting[count:]:
            if not message.all("via"):
                raise LabError(f"{self.user} was sent what is no message: {message.start[:200]}, after {self.read!r}")


class Campaign:
    """One run: the laboratory, the phones, and what was sent."""

    def __init__(self, options):
        self.options, self.rng = options, random.Random(options.seed)
        self.sent, self.honest, self.starved, self.slowest = 0, 0, 0, 0.0
        self.dialog = self.decoy_dialog = None
        self.kept = collections.deque(maxlen=KEPT)
        self.turns, self.is_named_done = collections.Counter(), {}
        self.torture = corpus.torture()
        self.lab = Lab(build=options.build, hello_ms=HELLO_MS, log_level="remote", sip_extra=SIP_OPTIONS)
        for name, net in NETS.items():
            self.lab.island(name, net, 2)

    def start(self):
        self.lab.prepare()
        self.lab.start()
        self.lab.wait_joined(60)
        east, west = self.lab.islands
        self.nodes = [east.others()[0], east.gateway()]
        self.robots = [Robot("127.90.3.1", "robot", west.domain, west.others()[0].sip, 1),
                       Robot("127.90.3.2", "robot2", east.domain, east.gateway().sip, 2)]
        for robot in self.robots:
            robot.register()
            robot.start()
        # by TCP: the agents do not retransmit, and a flooded socket may lose a datagram
        self.caller = Witness("127.90.3.3", "honest", east.domain, east.others()[0].sip, "tcp")
        self.callee = Witness("127.90.3.4", "honest", west.domain, west.others()[0].sip, "tcp")
        self.decoys = (Witness("127.90.3.5", "decoy", east.domain, east.others()[0].sip, "tcp"),
                       Witness("127.90.3.6", "decoy", west.domain, west.others()[0].sip, "tcp"))
        for phone in (self.caller, self.callee, *self.decoys):
            phone.register()
        addresses = [f"127.90.4.{i}" for i in range(1, 13)]
        wanted = {"udp": ["UDP"], "tcp": ["TCP"], "both": ["UDP", "TCP"]}[self.options.transport]
        self.senders = [Sender(node, addresses, transport) for node in self.nodes for transport in wanted]

    # ---- messages --------------------------------------------------------------------------------------------

    def values(self, sender, me):
        east, west = self.lab.islands
        number = self.rng.getrandbits(40)
        callee = self.rng.choice((f"sip:robot@{west.domain}", f"sip:robot2@{east.domain}", f"sip:nobody@{west.domain}"))
        return {"uri": callee, "aor": f"sip:fuzz{number % 50}@{east.domain}", "me": me, "transport": sender.transport,
                "branch": f"z9hG4bK{number:x}", "tag": f"{number:x}", "id": f"{number:x}@fuzz", "n": str(1 + number % 1000),
                "domain": east.domain, "user": f"fuzz{number % 50}", "local": f"<sip:fuzz@{east.domain}>;tag={number:x}",
                "remote": f"<{callee}>;tag=x{number:x}", "routes": "", "target": callee, "call": f"{number:x}@fuzz"}

    def message(self, sender):
        """The next message: a template with its values, and harm done to it."""
        me, kind = sender.next(), self.rng.randrange(10)
        if kind == 0:
            name = self.rng.choice(sorted(self.torture))
            return self.harmed(name, self.torture[name])
        values = self.values(sender, me)
        if kind < 4:
            name = self.rng.choice(sorted(corpus.IN_DIALOG))
            head, body = corpus.IN_DIALOG[name]
            if self.dialog:
                values.update(self.dialog)
        else:
            name = self.rng.choice(sorted(corpus.REQUESTS))
            head, body = corpus.REQUESTS[name]
        text = head.format(**values).replace("\r\n", "\n").replace("\n", "\r\n") + "\r\n" + body
        return self.harmed(name, text.encode())

    def harmed(self, name, data):
        turn = self.turns[name]
        self.turns[name] += 1
        self.is_named_done[name] = turn + 1 >= mutate.turns_of_named(data)
        return mutate.mutate(data, turn, self.rng)

    def heard_by_senders(self):
        """The most frequent final statuses since it was asked last."""
        total = collections.Counter()
        for sender in self.senders:
            total.update(sender.heard)
            sender.heard.clear()
        return dict(total.most_common(6))

    def coverage(self):
        done, total = sum(self.is_named_done.values()), len(self.torture) + len(corpus.REQUESTS) + len(corpus.IN_DIALOG)
        return f"each header field with each named harm in {done} of {total} messages of the corpus"

    def open_dialog(self):
        """A call of two phones that then fall silent until the next; the harmful messages use its names."""
        self.close_dialog()
        caller, callee = self.decoys
        tag = f"d{self.rng.getrandbits(32):x}"
        try:
            for phone in self.decoys:
                phone.register()
            sent = caller.request("INVITE", callee.uri, body=caller.sdp(1))
            invite = callee.expect_request("INVITE")
            self.decoy_dialog = callee.dialog_of_request(invite, tag)
            callee.answer(invite, 200, "OK", tag, body=callee.sdp(2))
            dialog = caller.dialog_of_response(sent, caller.expect_status(200))
            caller.in_dialog(dialog, "ACK")
        except LabError:
            return  # what was sent with the last one's names got in between
        self.dialog = {"local": dialog.local, "remote": dialog.remote, "call": dialog.call_id, "target": dialog.target,
                       "routes": "".join(f"Route: {route}\r\n" for route in dialog.routes)}

    def close_dialog(self):
        """The callee hangs up, whose sequence of requests nobody has disturbed, and both answer; a harmful message may have ended
        the call before."""
        self.settle(self.decoys)  # a gateway that has taken the call over says where it is
        if self.decoy_dialog:
            self.decoys[1].in_dialog(self.decoy_dialog, "BYE")
            self.decoy_dialog = None
            self.settle(self.decoys, lambda m: m.is_response and m.method == "BYE")
        self.settle(self.decoys)

    def refresh(self, phone, message):
        """RFC 3261 section 12.2.2: the remote target of the decoys' call."""
        if message.is_response or message.method not in ("INVITE", "UPDATE") or not message.get("contact"):
            return
        if self.decoy_dialog and phone is self.decoys[1] and message.get("call-id") == self.decoy_dialog.call_id:
            self.decoy_dialog.target = uri_of(message.get("contact"))

    def is_over(self, message):
        """Is it about a call that the decoys had before (section 12.2.2)?"""
        return message.method in ("UPDATE", "INVITE") and bool(message.tag("to")) and \
            not (self.decoy_dialog and message.get("call-id") in (self.decoy_dialog.call_id, (self.dialog or {}).get("call")))

    def settle(self, phones, is_last=None):
        """Answer what waits, and what comes until @is_last has, for two seconds at most."""
        end = time.monotonic() + (2 if is_last else 0)
        is_over = not is_last
        while True:
            for phone in phones:
                while phone.poll(0):
                    pass
                for message in phone.waiting:
                    is_over = is_over or is_last(message)
                    if message.is_response and message.method == "BYE" and message.status not in (200, 481):
                        print(f"a decoy's BYE: {message.start}", flush=True)
                    self.refresh(phone, message)
                    if not message.is_response and message.method != "ACK":
                        phone.answer(message, 481 if self.is_over(message) else 200, "X")
                phone.waiting.clear()
            if is_over or time.monotonic() > end:
                return
            time.sleep(0.01)

    # ---- the run ---------------------------------------------------------------------------------------------

    def waited(self):
        """Seconds that each thread of a node has waited for a processor."""
        found = {}
        for node in self.lab.nodes():
            for path in glob.glob(f"/proc/{node.process.pid}/task/*/schedstat"):
                with contextlib.suppress(OSError), open(path, encoding="ascii") as stat:
                    found[path] = int(stat.read().split()[1]) / 1e9
        return found

    def honest_call(self):
        """An honest phone calls, in time.  Where the machine has kept a processor from a node meanwhile it calls again."""
        for tries in range(HONEST_TRIES):
            before = self.waited()
            try:
                elapsed = self.call_once()
                problem = LabError(f"an honest call took {elapsed:.2f} s") if elapsed > HONEST_S else None
            except LabError as found:
                problem = LabError(f"{found}; the caller heard {self.heard(self.caller)}, the callee {self.heard(self.callee)}")
            if not problem:
                self.slowest = max(self.slowest, elapsed)
                self.honest += 1
                return
            starved = max((after - before.get(path, 0) for path, after in self.waited().items()), default=0)
            if starved < STARVED_S or tries == HONEST_TRIES - 1:
                raise problem
            self.check()
            self.starved += 1
            print(f"a node waited {starved:.2f} s for a processor: {problem}", flush=True)
            self.wait_calm()

    def wait_calm(self):
        """Until no thread has waited for a processor for long in two seconds; for two minutes at most."""
        for _ in range(60):
            before = self.waited()
            time.sleep(2)
            if max((after - before.get(path, 0) for path, after in self.waited().items()), default=0) < CALM_S:
                return

    def call_once(self):
        """The time until an honest call is up."""
        for phone in (self.caller, self.callee):
            while phone.poll(0):
                pass
            phone.waiting.clear()
            phone.register()
        begin = time.monotonic()
        dialog, _, _ = establish(self.caller, self.callee, tag=f"h{self.rng.getrandbits(32):x}")
        elapsed = time.monotonic() - begin
        end_call(self.caller, dialog, self.callee)
        return elapsed

    @staticmethod
    def heard(phone):
        while phone.poll(0):
            pass
        return [(m.start, m.get("call-id"), m.get("warning"), m.get("retry-after")) for m in phone.waiting]

    def check(self):
        for node in self.lab.nodes():
            if not node.is_running():
                raise LabError(f"{node.island.name}/{node.name} ended with {node.process.returncode}")
            clean_log(node.log())

    def keep_up(self):
        """Until the node answers an OPTIONS: what was sent before has been read."""
        for node in self.nodes:
            try:
                wait_for(f"{node.name} answers", lambda n=node: n.ctl("status"), 30)
            except LabError:
                self.check()  # whether it is there at all
                raise
        for _ in range(3):
            self.caller.waiting.clear()
            self.caller.request("OPTIONS", f"sip:{self.caller.proxy}")
            try:
                self.caller.expect("an answer", lambda m: m.is_response and m.method == "OPTIONS", 10)
                return
            except LabError:
                self.wait_calm()
        raise LabError("the node does not answer an OPTIONS")

    def run(self):
        while self.sent < self.options.messages:
            if self.sent % self.options.every == 0:
                self.check()
                self.honest_call()
                self.open_dialog()
                print(f"{self.sent} messages, {self.honest} honest calls, the slowest {self.slowest:.2f} s, "
                      f"robots rang {[r.rung for r in self.robots]}, answered {[r.answered for r in self.robots]}, "
                      f"senders heard {self.heard_by_senders()}", flush=True)
            sender = self.senders[self.sent // 50 % len(self.senders)]
            data = self.message(sender)
            self.kept.append((self.senders.index(sender), data))
            sender.send(data)
            self.sent += 1
            if self.sent % PACE == 0:
                self.keep_up()
        self.check()
        self.honest_call()

    def replay(self, path):
        with open(path, "rb") as source:
            for index, data in pickle.load(source):
                sender = self.senders[index % len(self.senders)]
                sender.next()
                sender.send(data)
        time.sleep(1)  # the last ones are read
        self.check()
        self.honest_call()

    def end(self, is_well):
        if is_well:
            self.close_dialog()
        for sender in self.senders:
            sender.close()
        for robot in self.robots:
            robot.is_ending = True

    def left_behind(self):
        """Calls that stand when everybody has gone: none, once the timers have run out."""
        def none():
            return all(not node.ctl("calls") for node in self.lab.nodes())
        try:
            wait_for("no call is left", none, self.options.patience)
        except LabError as found:
            left = [f"{n.island.name}/{n.name}: {c}" for n in self.lab.nodes() for c in n.ctl("calls") or []]
            raise LabError("\n".join([str(found), *left[:40]])) from found

    def memory(self):
        """MB that each node has in memory."""
        found = {}
        for node in self.lab.nodes():
            with open(f"/proc/{node.process.pid}/status", encoding="ascii") as status:
                kilobytes = next(line.split()[1] for line in status if line.startswith("VmRSS"))
            found[f"{node.island.name}/{node.name}"] = int(kilobytes) // 1024
        return found

    def save(self):
        path = os.path.join(tempfile.gettempdir(), f"sip-fuzz-{self.options.seed}-{os.getpid()}.bin")
        with open(path, "wb") as out:
            pickle.dump(list(self.kept), out)
        print(f"the last {len(self.kept)} messages: {path}", flush=True)


def finish(campaign, problem):
    """Ends the laboratory; the exit status."""
    codes = campaign.lab.stop(keep=True)
    wrong = {name: code for name, code in codes.items() if code not in (0, None)}
    for node in campaign.lab.nodes():
        try:
            clean_log(node.log())
        except LabError as report:
            problem = problem or report
    problem = problem or (wrong and LabError(f"exit codes {wrong}"))
    if problem:
        campaign.save()
        print(f"FAIL after {campaign.sent} messages (seed {campaign.options.seed}): {problem}")
        print(f"logs: {campaign.lab.dir}")
    else:
        campaign.lab.stop(keep=campaign.options.keep)
        print(f"{campaign.sent} messages, {campaign.honest} honest calls ({campaign.starved} more without a processor), "
              f"the slowest {campaign.slowest:.2f} s: no death, no report; "
              f"{campaign.coverage()}")
    print(f"{0 if problem else 1} passed, {1 if problem else 0} failed")
    return 1 if problem else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=1000)
    parser.add_argument("--transport", choices=("udp", "tcp", "both"), default="both")
    parser.add_argument("--patience", type=float, default=240, help="seconds until no call may be left")
    parser.add_argument("--replay")
    parser.add_argument("--build")
    parser.add_argument("--keep", action="store_true")
    campaign = Campaign(parser.parse_args())
    problem = None
    try:
        campaign.start()
        print(f"memory in MB before: {campaign.memory()}")
        if campaign.options.replay:
            campaign.replay(campaign.options.replay)
        else:
            campaign.run()
        print(f"memory in MB with it: {campaign.memory()}", flush=True)
        campaign.end(True)
        campaign.left_behind()
        print(f"memory in MB after: {campaign.memory()}")
    except (LabError, OSError, AssertionError) as found:
        problem = found
        campaign.end(False)
    return finish(campaign, problem)


if __name__ == "__main__":
    sys.exit(main())
