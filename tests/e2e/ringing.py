"""A call that rings while a node dies, as both phones see it; and what became of many of them."""
import sys
import time

from lab import LabError
import survive

STOPS_S = 2.0
T1_S, T2_S = 0.5, 4.0


class SecondRing(LabError):
    """A phone is called once more for the call that it rings for."""


class DeadAir(LabError):
    """What one end takes for the call is not the other's."""


def arguments(few):
    """(rounds, names of the tests that are wanted): `[--rounds N] [NAME ...]`; @few unless it is said."""
    words, rounds = sys.argv[1:], few
    if "--rounds" in words:
        at = words.index("--rounds")
        rounds = int(words[at + 1])
        del words[at:at + 2]
    return rounds, words


class Tally:
    """What became of the rounds of one test: each is played to its end, whatever became of those before."""

    def __init__(self, name):
        self.name, self.rounds, self.second_rings, self.dead_air, self.other = name, 0, 0, 0, 0
        self.problems, self.took = [], []

    def play(self, round_of, *what):
        """@round_of returns the seconds that count, or None."""
        self.rounds += 1
        try:
            took = round_of(*what)
            self.took += [took] if took is not None else []
            return
        except SecondRing as problem:
            self.second_rings += 1
            self.problems.append(str(problem))
        except DeadAir as problem:
            self.dead_air += 1
            self.problems.append(str(problem))
        except LabError as problem:
            self.other += 1
            self.problems.append(str(problem))

    def end(self):
        times = sorted(self.took)
        said = f", {len(times)} in time, median {times[len(times) // 2]:.2f} s, longest {times[-1]:.2f} s" if times else ""
        print(f"     {self.name}: {self.rounds} rounds: {self.second_rings} second rings, {self.dead_air} dead air, "
              f"{self.other} other{said}", flush=True)
        if self.problems:
            raise LabError(f"{len(self.problems)} of {self.rounds}: {self.problems[:4]}")


class Ringing:
    """A call whose callee rings; what both ends have heard since.  @at_once gets the INVITE as soon as the callee
    has it; then the caller need not hear that it rings."""

    def __init__(self, caller, callee, at_once=None):
        self.caller, self.callee = caller, callee
        caller.waiting.clear()
        callee.waiting.clear()
        self.sent = caller.request("INVITE", callee.uri, body=caller.sdp(1), extra=survive.UPDATE)
        try:
            self.invite = callee.expect_request("INVITE")
        except LabError as problem:
            caller.poll(0)
            raise LabError(f"{problem}; {caller.user} has {[m.start for m in caller.waiting]}") from problem
        if at_once:
            at_once(self.invite)
        callee.answer(self.invite, 180, "Ringing", "b1")
        if not at_once:
            caller.expect_status(180)
        self.begin = time.monotonic()
        self.cancelled = self.answer_at = None
        self.cancels = []
        self.pause = T1_S
        self.final = None
        self.is_acknowledged = False

    def answer(self):
        """The callee picks up; the 200 is repeated until its ACK."""
        self.callee.answer(self.invite, 200, "OK", "b1", body=self.callee.sdp(2), extra=survive.UPDATE)
        self.answer_at = time.monotonic() + self.pause
        self.pause = min(2 * self.pause, T2_S)

    def on_callee(self, message):
        if message.is_response:
            return
        if message.method == "INVITE" and not message.tag("to"):
            if message.all("via")[0] != self.invite.all("via")[0]:
                raise SecondRing(f"{self.callee.user} is called a second time")
        elif message.method == "CANCEL":
            self.cancels.append(message)
            self.callee.answer(message, 200, "OK")
            if not self.cancelled:
                self.callee.answer(self.invite, 487, "Request Terminated", "b1")
            self.cancelled = self.cancelled or time.monotonic()
        elif message.method == "ACK":
            self.is_acknowledged = self.is_acknowledged or self.final is not None
        elif message.method == "UPDATE":
            self.callee.answer(message, 200, "OK", extra=survive.UPDATE)
        else:
            raise LabError(f"{self.callee.user} heard {message.start}")

    def on_caller(self, message):
        if not message.is_response and message.method == "UPDATE":
            self.caller.answer(message, 200, "OK", extra=survive.UPDATE)
        elif message.is_response and message.method == "INVITE" and message.status >= 200:
            if self.final and self.final.status != message.status:
                raise LabError(f"{self.caller.user} heard {self.final.start}, then {message.start}")
            self.final = message
            if message.status < 300:
                self.dialog = self.caller.dialog_of_response(self.sent, message)
                self.caller.in_dialog(self.dialog, "ACK")
            else:
                self.caller.ack_failure(self.callee.uri, self.sent, message)

    def until(self, what, question, within, kind=LabError):
        """Returns how long it took."""
        begin = time.monotonic()
        end = begin + within
        while not question():
            if time.monotonic() > end:
                raise kind(f"{what}: not within {within} s of the death; final {self.final and self.final.start}, "
                           f"cancelled {bool(self.cancelled)}")
            for phone, take in ((self.callee, self.on_callee), (self.caller, self.on_caller)):
                phone.poll(0.005)
                while phone.waiting:
                    take(phone.waiting.pop(0))
            if self.answer_at and not self.is_acknowledged and time.monotonic() >= self.answer_at:
                self.answer()
        return time.monotonic() - begin

    def wait(self, seconds):
        end = time.monotonic() + seconds
        self.until("time", lambda: time.monotonic() >= end, seconds + 5)

    def talk(self, by_caller=lambda: False):
        """It is this call: what the callee answered is what the caller got, and the callee, or
        the caller, can end it."""
        self.answer()
        self.until("the call", lambda: self.final and self.is_acknowledged, 8, DeadAir)
        if self.final.status != 200 or self.cancelled:
            raise DeadAir(f"the caller got {self.final.start}, cancelled: {bool(self.cancelled)}")
        if self.final.body != self.callee.sdp(2):
            raise DeadAir(f"the answer was {self.final.body}")
        self.answer_at = None
        self.wait(0.3)
        one, other, dialog = self.callee, self.caller, self.callee.dialog_of_request(self.invite, "b1")
        if by_caller():
            one, other, dialog = self.caller, self.callee, self.dialog
        one.in_dialog(dialog, "BYE")
        other.answer(other.expect("the BYE", lambda m: not m.is_response and m.method == "BYE"), 200, "OK")
        one.expect_status(200, "BYE")

    def stops(self, within=STOPS_S):
        return self.until("the callee stops ringing", lambda: self.cancelled, within)
