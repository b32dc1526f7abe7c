"""Calls of the worst moment: one a millisecond after the fault, then one every 100 ms, both ways; what came of each.

Each rings for a moment and is hung up after another, so that a fault strikes calls in every state.  Counted are calls that
were refused or never answered, and phones left behind: that ring or talk for nobody.
"""
import collections
import itertools
import time

from ends import Call, SoakPhone, Timers

FIRST_S, EVERY_S, DURING_S = 0.001, 0.1, 3.0
BEFORE_S = 1.0          # calls that the fault finds: ringing, or up
RING_S, HOLD_S = (0.0, 0.3, 1.0), 1.0
OVER_S = 12.0           # an end that is not over so long after the last call is left behind


class After:
    """A caller and a callee at each of two nodes that no fault strikes."""

    def __init__(self, space, ends):
        """@ends: two of (island, node, ip of its caller, ip of its callee)"""
        self.timers, self.calls, self.count = Timers(), {}, itertools.count(1)
        self.callers, self.callees = [], []
        with space.inside():
            for island, node, *ips in ends:
                for phones, ip, user in zip((self.callers, self.callees), ips, ("early", "late")):
                    phones.append(SoakPhone(self.timers, self.calls, ip, user, island.domain, node.sip))
        self.callees.reverse()  # each calls the other's
        self.until = 0.0

    def phones(self):
        return self.callers + self.callees

    def register(self):
        for phone in self.phones():
            phone.register(expires=7200)

    def close(self):
        for phone in self.phones():
            phone.close()

    def sockets(self):
        return [phone.socket for phone in self.phones()]

    def turn(self):
        self.timers.turn()
        for phone in self.phones():
            phone.turn()

    def _dial(self):
        if time.monotonic() >= self.until:
            return
        number = next(self.count)
        plan = {"ring_s": RING_S[number % len(RING_S)], "hold_s": HOLD_S, "ends": "caller", "cancel_s": 0}
        for caller, callee in zip(self.callers, self.callees):
            key = 2 * number + (caller is self.callers[1])
            call = self.calls[key] = Call(key, caller, callee, plan)
            caller.dial(call)
        self.timers.after(EVERY_S, self._dial)

    def begin(self):
        """Some time before the fault."""
        self.calls.clear()
        self.until = time.monotonic() + BEFORE_S + DURING_S
        self._dial()

    def struck(self, during_s=DURING_S):
        """The fault is now; calls begin for so long."""
        self.until = time.monotonic() + during_s
        self.timers.after(FIRST_S, self._dial)

    def is_over(self):
        return time.monotonic() >= self.until and (
            time.monotonic() >= self.until + OVER_S or all(call.is_over() for call in self.calls.values()))

    def account(self):
        """What came of them: {"calls", "refused": {status: how many}, "lost", "orphaned", "rang_twice"}."""
        calls = list(self.calls.values())
        now = time.monotonic()
        left = sum(len(call.orphans(now)) for call in calls)
        for phone in self.phones():
            phone.forget_all()
        return {"calls": len(calls), "lost": sum(bool(call.lost) for call in calls), "orphaned": left,
                "refused": dict(collections.Counter(call.status or 0 for call in calls if call.status != 200)),
                "rang_twice": sum(len(call.rings) > 1 for call in calls)}
