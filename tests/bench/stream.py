"""A stream of calls: a new INVITE every few ms, each a call of its own, hung up when it is answered, or later."""
import collections
import time

from agent import Agent


class Stream:
    """One caller and one callee, both registered; turned by whoever owns the loop, it never waits."""

    def __init__(self, space, caller, callee, every_s, hold_s=0.0):
        """@caller, @callee: (ip, user, island, node that serves it)"""
        self.every_s, self.hold_s = every_s, hold_s
        self.held = collections.deque()  # (when to hang up, dialog)
        with space.inside():
            self.caller, self.callee = (Agent(ip, user, island.domain, node.sip)
                                        for ip, user, island, node in (caller, callee))
        self.is_running = False
        self.calls = {}  # Call-ID: [when the INVITE was sent, its headers, final status or None, when]
        self.next_s = 0.0

    def sockets(self):
        return [self.caller.socket, self.callee.socket]

    def register(self):
        for agent in (self.caller, self.callee):
            agent.register(expires=7200)

    def start(self):
        self.calls.clear()
        self.next_s = time.monotonic()
        self.is_running = True

    def close(self):
        self.caller.close()
        self.callee.close()

    def turn(self):
        now = time.monotonic()
        if self.is_running and now >= self.next_s:
            self.next_s = max(self.next_s + self.every_s, now)
            sent = self.caller.request("INVITE", self.callee.uri, body=self.caller.sdp())
            self.calls[sent["Call-ID"]] = [now, sent, None, None]
        while self.held and self.held[0][0] <= now:
            self.caller.in_dialog(self.held.popleft()[1], "BYE")
        for agent, on_message in ((self.callee, self.on_callee), (self.caller, self.on_caller)):
            while agent.poll(0):
                pass
            waiting, agent.waiting = agent.waiting, []
            for message in waiting:
                on_message(message)

    def on_callee(self, message):
        if message.method == "INVITE" and not message.is_response:
            self.callee.answer(message, 200, "OK", "c", body=self.callee.sdp(2))
        elif message.method == "BYE" and not message.is_response:
            self.callee.answer(message, 200, "OK")

    def on_caller(self, message):
        call = self.calls.get(message.get("call-id"))
        if not call or not message.is_response or message.method != "INVITE" or message.status < 200:
            return
        is_first = call[2] is None
        if is_first:
            call[2], call[3] = message.status, time.monotonic()
        if message.status >= 300:
            self.caller.ack_failure(self.callee.uri, call[1], message)
            return
        dialog = self.caller.dialog_of_response(call[1], message)
        self.caller.in_dialog(dialog, "ACK")
        if is_first and self.hold_s:
            self.held.append((time.monotonic() + self.hold_s, dialog))
        elif is_first:
            self.caller.in_dialog(dialog, "BYE")

    def answered(self):
        return sum(call[2] == 200 for call in self.calls.values())

    def first_answer(self, since):
        """When the first call whose INVITE was sent after @since was answered 200, None if none was."""
        times = [call[3] for call in self.calls.values() if call[2] == 200 and call[0] >= since]
        return min(times) if times else None

    def refused(self, since):
        """{final status: how many} of the calls begun after @since that were not answered 200."""
        found = {}
        for call in self.calls.values():
            if call[0] >= since and call[2] not in (None, 200):
                found[call[2]] = found.get(call[2], 0) + 1
        return found
