#!/usr/bin/env python3
"""What a node remembers of requests that it has sent by UDP: they are sent again until a response comes, a refusal that comes again is
ACKed again and goes no further, a 2xx to an INVITE reaches the caller each time."""
import sys

from common import Tests, lab_of
from lab import LabError
from agent import Message
from test_finished import drain, finals
from test_transport import Line, request

ISLANDS = [("east", "127.80.56", 1), ("west", "127.80.57", 1)]
PHONES = "127.80.58"


def register(line, user, domain):
    text = request("REGISTER", f"sip:{domain}", f"SIP/2.0/UDP {line.me}", domain=domain, extra="Expires: 600\r\n")
    aor = f"sip:{user}@{domain}"
    text = text.replace(f"To: <sip:{domain}>", f"To: <{aor}>").replace(f"From: <sip:a@{domain}>", f"From: <{aor}>")
    line.send(text.replace("Contact: <sip:a@127.0.0.1>", f"Contact: <sip:{user}@{line.me}>"))
    if not [m for m in finals(drain(line, 0.5), "REGISTER") if m.status == 200]:
        raise LabError(f"{aor} is not registered")


def answer(line, asked, status, reason="Said"):
    kept = [f"{name}: {value}" for name in ("Via", "Record-Route", "From", "To", "Call-ID", "CSeq") for value in asked.all(name)]
    kept = [text + (";tag=callee" if text.startswith("To:") and ";tag=" not in text else "") for text in kept]
    contact = [f"Contact: <sip:callee@{line.me}>"]
    line.send("\r\n".join([f"SIP/2.0 {status} {reason}", *kept, *contact, "Content-Length: 0", "", ""]))


def asked(messages, method):
    return [m for m in messages if not m.is_response and m.method == method]


class Pair:
    """A caller and a callee that say nothing of themselves."""

    def __init__(self, node, there, domain):
        self.caller, self.callee = Line(node, f"{PHONES}.1", "udp"), Line(there, f"{PHONES}.2", "udp")
        self.uri = f"sip:callee@{domain}"
        register(self.callee, "callee", domain)

    def close(self):
        self.caller.close()
        self.callee.close()

    def send(self, method, names, to_tag=""):
        self.caller.send(request(method, self.uri, f"SIP/2.0/UDP {self.caller.me}", names, to_tag=to_tag))

    def heard(self, names, within=0.4):
        """What the caller is told beyond 100."""
        return [m for m in drain(self.caller, within) if m.is_response and m.status > 100 and m.get("call-id") == names]


def copies(pair, method, names, within):
    """The request, which is sent again and again."""
    pair.send(method, names)
    found = asked(drain(pair.callee, within), method)
    if not found or any(m.headers != found[0].headers for m in found):
        raise LabError(f"{method}: {[m.headers for m in found]}")
    return found


def refusal(pair):
    """Sent again at 0.5 and 1.5 s, not once it rings; each copy of the refusal is ACKed, the caller hears one."""
    found = copies(pair, "INVITE", "refused", 1.8)
    if not 2 <= len(found) <= 3:
        raise LabError(f"{len(found)} INVITEs in 1.8 s")
    answer(pair.callee, found[0], 180)
    if asked(drain(pair.callee, 2.2), "INVITE"):
        raise LabError("the INVITE is sent again although it rings")
    acks = []
    for _ in range(3):
        answer(pair.callee, found[0], 486)
        acks += asked(drain(pair.callee, 0.4), "ACK")
    if len(acks) != 3 or any(a.headers != acks[0].headers for a in acks) or acks[0].all("via")[0] != found[0].all("via")[0]:
        raise LabError(f"three refusals, ACKs: {[a.headers for a in acks]}")
    heard = pair.heard("refused")
    if {m.status for m in heard} != {180, 486}:
        raise LabError(f"the caller heard {[m.start for m in heard]}")
    pair.send("ACK", "refused", f";tag={heard[-1].tag('to')}")
    answer(pair.callee, found[0], 180)
    answer(pair.callee, found[0], 486)
    late = pair.heard("refused", 1.2)
    if late:
        raise LabError(f"after its ACK the caller heard {[m.start for m in late]}")


def success(pair, is_one_node):
    """Each copy of a 200 leads to the caller, or to an ACK; a late 180 does not."""
    found = copies(pair, "INVITE", "answered", 0.3)
    answer(pair.callee, found[0], 200)
    if [m.status for m in pair.heard("answered")] != [200]:
        raise LabError("the caller did not hear the 200")
    answer(pair.callee, found[0], 200)
    again = [m.status for m in pair.heard("answered")]
    if is_one_node and again != [200]:
        raise LabError(f"the 200 came again, and the caller heard {again}")
    answer(pair.callee, found[0], 180)
    if [m for m in pair.heard("answered") if m.status == 180]:
        raise LabError("a 180 that comes after the 200 is passed to the caller")
    if asked(drain(pair.callee, 0.6), "INVITE"):
        raise LabError("the INVITE is sent again after its 200")


def message(pair):
    """Sent again at 0.5, 1.5 and 3.5 s, not once it is answered; the caller hears one response."""
    found = copies(pair, "MESSAGE", "said", 1.8)
    if not 2 <= len(found) <= 3:
        raise LabError(f"{len(found)} MESSAGEs in 1.8 s")
    for _ in range(3):
        answer(pair.callee, found[0], 200)
    heard = [m.status for m in pair.heard("said", 0.6)]
    if heard != [200]:
        raise LabError(f"the caller heard {heard}")
    if asked(drain(pair.callee, 2.2), "MESSAGE"):
        raise LabError("it is sent again after its response")


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        east, west = (island.nodes[0] for island in lab.islands)
        for where, node, domain in (("", east, "site.east"), (", in the other overlay", west, "site.west")):
            pair = Pair(east, node, domain)
            tests.run(f"a refusal that comes again{where}", refusal, pair)
            tests.run(f"a 200 that comes again{where}", success, pair, node is east)
            tests.run(f"a request that is no INVITE{where}", message, pair)
            pair.close()
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
