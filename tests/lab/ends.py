"""Phones that call all the time, as RFC 3261 has it: with retransmissions, and with a memory of each call at both ends.

A call is known at both ends by its number, which stands in its SDP; so what the one end believes can be held against what
the other end does.  Everything turns in one thread, by whoever owns the loop.
"""
import heapq
import itertools
import random
import re
import time

from agent import Agent, uri_of

T1_S, T2_S, TIMER_B_S = 0.5, 4.0, 32.0
PATIENCE_S = 60.0    # a caller waits so long for a final response, then sends CANCEL
ORPHAN_S = 5.0       # an end that goes on for longer than the other has ended is left behind
BODY = ("v=0\r\no=soak {n} 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n")
NUMBER = re.compile(r"^o=soak (\d+) ", re.M)


class Timers:
    """What is due, in order."""

    def __init__(self):
        self.heap, self.count = [], itertools.count()

    def after(self, seconds, deed):
        heapq.heappush(self.heap, (time.monotonic() + seconds, next(self.count), deed))

    def turn(self):
        now = time.monotonic()
        while self.heap and self.heap[0][0] <= now:
            heapq.heappop(self.heap)[2]()


class Call:
    """One dial, from both ends."""

    def __init__(self, number, caller, callee, plan):
        self.number, self.caller, self.callee, self.plan = number, caller, callee, plan
        self.begin = time.monotonic()
        self.status = None        # the final response that the caller got
        self.answered_at = None
        self.caller_end = None    # when the caller had done with it
        self.callee_end = None    # when the last of the callee's ends had done with it
        self.rings = []           # the callee's ends: more than one is a second ring
        self.lost = ""            # up, and not ended as it should be
        self.is_hung_up = self.is_given_up = False  # by one of the ends; by the caller before it was answered
        self.sent = self.dialog = None

    def is_over(self):
        return self.caller_end is not None and all(ring.end is not None for ring in self.rings)

    def targets(self):
        """The remote targets of its ends, by which a gateway's log names it."""
        dialogs = [end.dialog for end in (self, *self.rings) if end.dialog]
        return "".join(f", {dialog.target}" for dialog in dialogs)

    def judge(self):
        """It is over: what was not seen while it lasted.  (A second ring that is ended alone is no call that is lost.)"""
        if self.status == 200 and self.rings and all(ring.ended_by_others for ring in self.rings):
            self.lost = self.lost or "BYE of neither end"

    def orphans(self, now):
        """Ends that go on though the other end has done with the call."""
        found = []
        if self.caller_end is not None and now > self.caller_end + ORPHAN_S:
            found += [ring.state for ring in self.rings if ring.end is None]
        ends = [ring.end for ring in self.rings]
        if self.dialog and self.caller_end is None and ends and None not in ends and now > max(ends) + ORPHAN_S:
            found.append("caller up")
        return found


class Ring:
    """The callee's end of one INVITE."""

    def __init__(self, phone, invite, call):
        self.phone, self.invite, self.call = phone, invite, call
        self.tag = f"{random.getrandbits(32):x}"
        self.state, self.end, self.last, self.dialog = "rings", None, None, None
        self.ended_by_others = False  # by a BYE that the caller did not send

    def over(self):
        if self.end is None:
            self.end = time.monotonic()
        self.state = "over"

    def respond(self, status, reason, body=""):
        self.last = (status, reason, body)
        self.phone.answer(self.invite, status, reason, self.tag, body)

    def repeat_final(self, interval_s, until):
        """A final response, until its ACK (RFC 3261 sections 13.3.1.4 and 17.2.1)."""
        if self.state not in ("answered", "refused"):
            return
        if time.monotonic() > until:
            if self.state == "answered":
                self.call.lost = self.call.lost or "no ACK"
            self.hang_up()
            return
        self.phone.answer(self.invite, self.last[0], self.last[1], self.tag, self.last[2])
        self.phone.timers.after(interval_s, lambda: self.repeat_final(min(2 * interval_s, T2_S), until))

    def final(self, status, reason, body=""):
        self.respond(status, reason, body)
        self.state = "answered" if status < 300 else "refused"
        until = time.monotonic() + 64 * T1_S
        self.phone.timers.after(T1_S, lambda: self.repeat_final(2 * T1_S, until))

    def pick_up(self):
        if self.state == "rings":
            self.dialog = self.phone.dialog_of_request(self.invite, self.tag)
            self.final(200, "OK", BODY.format(n=self.call.number, ip=self.phone.ip))

    def acknowledged(self):
        if self.state == "refused":
            self.over()
        elif self.state == "answered":
            self.state = "up"
            if self.call.plan["ends"] == "callee":
                self.phone.timers.after(self.call.plan["hold_s"], self.hang_up)

    def hang_up(self):
        if self.state in ("answered", "up"):
            self.state = "ending"
            self.phone.bye(self.dialog, self.call, self.over)
        elif self.state == "refused":
            self.over()


class SoakPhone(Agent):
    """One registered phone; calls and is called."""

    def __init__(self, timers, calls, *arguments, **options):
        super().__init__(*arguments, **options)
        self.timers, self.calls = timers, calls  # @calls: of all phones, by number
        self.called, self.calling = {}, {}       # Call-ID: Ring or Call
        self.byes = {}                           # (Call-ID, CSeq): what its final response means
        self.strays = 0                          # requests for calls that this phone does not know

    # ---- the caller ------------------------------------------------------------------------------------

    def dial(self, call):
        self.last_cseq += 1
        call_id = f"soak{call.number}-{random.getrandbits(48):x}@{self.ip}"
        call.sent = {"Via": self._via(), "Max-Forwards": "70", "From": f"<{self.uri}>;tag={random.getrandbits(32):x}",
                     "To": f"<{call.callee.uri}>", "Call-ID": call_id, "CSeq": f"{self.last_cseq} INVITE",
                     "Contact": f"<{self.contact}>"}
        call.heard = False
        self.calling[call_id] = call
        self._invite(call, T1_S)
        self.timers.after(PATIENCE_S, lambda: self.give_up(call, 0))
        if call.plan["cancel_s"]:
            self.timers.after(call.plan["cancel_s"], lambda: self.cancel_ringing(call))

    def _invite(self, call, interval_s):
        if call.heard or call.status:
            return
        if time.monotonic() > call.begin + TIMER_B_S:
            self.finish(call, 408)
            return
        self.write("INVITE", call.callee.uri, call.sent.items(), BODY.format(n=call.number, ip=self.ip))
        self.timers.after(interval_s, lambda: self._invite(call, 2 * interval_s))

    def cancel_ringing(self, call):
        if call.status is None and call.heard:
            call.is_given_up = True
            self.cancel(call.callee.uri, call.sent)

    def give_up(self, call, tries):
        """No final response for long: CANCEL; it is over for this phone 32 s later whatever comes."""
        if call.status is not None or call.dialog:
            return
        call.is_given_up = True
        if tries < 5:
            self.cancel(call.callee.uri, call.sent)
            self.timers.after(4.0, lambda: self.give_up(call, tries + 1))
        else:
            self.finish(call, 408)

    def finish(self, call, status):
        if call.status is None:
            call.status = status
        if call.caller_end is None:
            call.caller_end = time.monotonic()

    def _on_invite_response(self, call, message):
        call.heard = True
        if message.status < 200:
            return
        if message.status >= 300:
            self.ack_failure(call.callee.uri, call.sent, message)
            if not call.dialog:
                self.finish(call, message.status)
            return
        is_first = call.dialog is None
        dialog = self.dialog_of_response(call.sent, message)
        if is_first and call.caller_end is None:
            call.dialog, call.status, call.answered_at = dialog, 200, time.monotonic()
        self.in_dialog(dialog if call.dialog is None else call.dialog, "ACK")
        if is_first and call.caller_end is not None:  # given up before: nobody is there for it
            self.bye(dialog, call, lambda: None)
        elif is_first and (call.plan["ends"] == "caller" or call.plan["cancel_s"]):
            self.timers.after(call.plan["hold_s"], lambda: self.hang_up(call))

    def hang_up(self, call):
        if call.caller_end is None:
            self.bye(call.dialog, call, lambda: self.finish(call, 200))

    # ---- either end --------------------------------------------------------------------------------------

    def bye(self, dialog, call, done):
        """BYE with its retransmissions; what it comes to is told in call.lost, then done()."""
        call.is_hung_up = True
        sent = self.in_dialog(dialog, "BYE")
        key = (dialog.call_id, sent["CSeq"])
        until = time.monotonic() + TIMER_B_S

        def again(interval_s):
            if key not in self.byes:
                return
            if time.monotonic() > until:
                self.byes.pop(key)(408)
                return
            self.write("BYE", dialog.target, [*sent.items(), *(("Route", route) for route in dialog.routes)])
            self.timers.after(interval_s, lambda: again(min(2 * interval_s, T2_S)))

        def ended(status):
            if status != 200 and not (status == 481 and self._is_crossed(call)):
                call.lost = call.lost or f"BYE {status}"
            done()
        self.byes[key] = ended
        self.timers.after(T1_S, lambda: again(2 * T1_S))

    @staticmethod
    def _is_crossed(call):
        return call.caller_end is not None or any(ring.end is not None for ring in call.rings)

    def turn(self):
        while self.poll(0):
            pass
        waiting, self.waiting = self.waiting, []
        for message in waiting:
            if message.is_response:
                self._on_response(message)
            else:
                self._on_request(message)

    def _on_response(self, message):
        if message.method == "INVITE" and message.get("call-id") in self.calling:
            self._on_invite_response(self.calling[message.get("call-id")], message)
        elif message.method == "BYE" and message.status >= 200:
            deed = self.byes.pop((message.get("call-id"), message.get("cseq")), None)
            if deed:
                deed(message.status)

    def _on_request(self, message):
        call_id = message.get("call-id")
        ring, call = self.called.get(call_id), self.calling.get(call_id)
        if message.method == "INVITE" and not message.tag("to"):
            self._on_invite(ring, message)
        elif message.method == "ACK" and ring:
            ring.acknowledged()
        elif message.method == "CANCEL":
            self.answer(message, 200 if ring else 481, "OK" if ring else "None such")
            if ring and ring.state == "rings":
                ring.final(487, "Request Terminated")
        elif message.method == "BYE" and (ring or call):
            self.answer(message, 200, "OK")
            if ring:
                ring.ended_by_others = ring.ended_by_others or not (ring.call.is_hung_up or ring.call.is_given_up or ring.end)
                ring.over()
            else:
                if not call.is_hung_up:
                    call.lost = call.lost or "BYE of neither end"
                self.finish(call, 200)
        elif message.method in ("UPDATE", "INVITE", "OPTIONS") and (ring or call):
            if (ring or call).dialog and message.method != "OPTIONS" and message.get("contact"):
                (ring or call).dialog.target = uri_of(message.get("contact"))  # RFC 3261 section 12.2.2
            self.answer(message, 200, "OK", body=BODY.format(n=0, ip=self.ip) if message.body else "")
        elif message.method != "ACK":
            self.strays += 1
            self.answer(message, 481, "None such", "x")

    def _on_invite(self, ring, message):
        if ring:  # once more: what was said is said again
            if ring.last and ring.state in ("rings", "answered", "refused"):
                self.answer(message, ring.last[0], ring.last[1], ring.tag, ring.last[2])
            return
        found = NUMBER.search(message.body)
        call = self.calls.get(int(found.group(1))) if found else None
        if not call:
            self.strays += 1
            return
        ring = self.called[message.get("call-id")] = Ring(self, message, call)
        call.rings.append(ring)
        ring.respond(180, "Ringing")
        self.timers.after(call.plan["ring_s"], ring.pick_up)

    def forget_all(self):
        """What is still under way is nobody's: later messages of it are strays."""
        self.calling.clear()
        self.called.clear()
        self.byes.clear()

    def forget(self, call):
        """The call is over at both ends, and its transactions are."""
        self.calling.pop(call.sent["Call-ID"], None)
        for ring in call.rings:
            ring.phone.called.pop(ring.invite.get("call-id"), None)
