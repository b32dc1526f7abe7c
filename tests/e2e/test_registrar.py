#!/usr/bin/env python3
"""The registrar of an overlay: whose calls a contact gets, which binding is meant, and REGISTER at several
serving peers."""
import json
import os
import re
import signal
import sys
import time

from common import Tests, lab_of
from lab import LabError, wait_for
from agent import Agent, establish, end_call

ISLANDS = [("north", "127.61.0", 3), ("south", "127.62.0", 1)]
PHONES = "127.63.0"
LONG = "sip:{user}@{ip}:{port};pn-provider=acme;pn-param={a};pn-prid={b}"


class Phones:
    """Phones of one test: addresses of their own, all closed at its end; which still ring is asked."""
    last = 0

    def __init__(self):
        self.all = []

    def at(self, node, user, transport="udp", port=5060, **options):
        Phones.last += 1
        phone = Agent(f"{PHONES}.{Phones.last}", user, node.island.domain, node.sip, transport, port)
        self.all.append(phone)
        if options.pop("register", True):
            phone.register(**options)
        return phone

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for phone in self.all:
            phone.close()


def contacts(response):
    """The URIs that a 200 to REGISTER lists."""
    return sorted(uri for line in response.all("contact") for uri in re.findall(r"<(sips?:[^>]*)>", line))


def rings(caller, uri, phone, others=()):
    """A call of @uri reaches @phone and nobody else; it is refused and ended."""
    sent = caller.request("INVITE", uri, body=caller.sdp())
    try:
        invite = phone.expect_new("INVITE")
    except LabError:
        raise LabError(f"{phone.user} does not ring for {uri}: {[m.start for m in caller.waiting]}") from None
    phone.answer(invite, 486, "Busy Here", "t1")
    caller.ack_failure(uri, sent, caller.expect_status(486))
    if len(invite.start) < 1000:  # a long ACK goes by TCP, where this phone does not listen
        phone.expect_request("ACK")
    for other in others:
        other.expect_nothing("INVITE", lambda m: not m.is_response and m.method == "INVITE", 0.2)
    return invite


def refused(caller, uri, status):
    sent = caller.request("INVITE", uri, body=caller.sdp())
    response = caller.expect_status(status)
    caller.ack_failure(uri, sent, response)
    return response


def no_calls_left(lab):
    for node in lab.nodes():
        if node.is_running():
            wait_for(f"{node.name} has no calls", lambda n=node: n.ctl("calls") == [], 10)


# ---- whose calls a contact gets -----------------------------------------------------------------------

def a_contact_takes_nobodys_calls(north):
    """RFC 3261 section 16.5: a Request-URI of our domain goes to the location service by its AOR."""
    one, two = north.nodes[0], north.nodes[1]
    domain = north.domain
    with Phones() as phones:
        carol = phones.at(two, "carol")
        caller = phones.at(one, "caller1")
        for transport in ("tcp", "udp"):
            mallory = phones.at(one, "mallory", transport, register=False)
            for wanted in (f"sip:carol@{domain}", f"sip:carol@{domain.upper()}", f"sip:%63arol@{domain}",
                           f"sip:carol@{domain}:5060", f"sip:carol@{domain}.", f"sip:carol@{one.sip}",
                           f"sip:carol@{two.sip};transport=tcp", f"sip:carol@{two.host}:5062;transport=tls"):
                mallory.register(contact=f"<{wanted}>")
                rings(caller, f"sip:carol@{domain}", carol, [mallory])
                mallory.register(0, contact="*")


def a_forward_is_followed(north, south):
    """A contact may be another user: he rings, and his own calls are still his."""
    with Phones() as phones:
        carol = phones.at(north.nodes[1], "carol2")
        caller = phones.at(north.nodes[2], "caller2")
        far = phones.at(south.nodes[0], "far2")
        bob = phones.at(north.nodes[0], "bob2", contact=f"<{carol.uri}>")
        for who in (caller, far):
            rings(who, bob.uri, carol, [bob])
            rings(who, carol.uri, carol, [bob])


def every_forward_is_followed(north, south):
    """Contacts that are users again, and a phone beside them: all ring at once (16.6), and who is
    unknown or leads back says less than a phone."""
    with Phones() as phones:
        carol, dora = (phones.at(node, user) for node, user in zip(north.nodes, ("carol4", "dora4")))
        caller = phones.at(north.nodes[2], "caller4")
        far = phones.at(south.nodes[0], "far4")
        bob = phones.at(north.nodes[2], "bob4")
        one = north.nodes[0]
        phones.at(one, "bob4", register=False).register(contact=", ".join(
            f"<sip:{user}@{north.domain}>" for user in ("nobody4", "bob4", "carol4", "dora4")))
        for who in (caller, far):
            sent = who.request("INVITE", bob.uri, body=who.sdp())
            invites = [(phone, phone.expect_request("INVITE")) for phone in (carol, dora, bob)]
            for phone, invite in invites:
                phone.answer(invite, 486, "Busy Here", "t4")
            who.ack_failure(bob.uri, sent, who.expect_status(486))
            for phone, _ in invites:
                phone.expect_request("ACK")


def loops_of_forwards_end(north, south):
    with Phones() as phones:
        caller = phones.at(north.nodes[2], "caller3")
        far = phones.at(south.nodes[0], "far3")
        phones.at(north.nodes[0], "dave", contact=f"<sip:erin@{north.domain}>")
        phones.at(north.nodes[1], "erin", contact=f"<sip:Dave@{north.domain}>, <sip:dave@{north.domain}:5060>")
        for who in (caller, far):
            refused(who, f"sip:dave@{north.domain}", 482)


# ---- which binding is meant -----------------------------------------------------------------------------

def equal_private_contacts(north, south, transport, has_true_via):
    """Two users behind two NATs with the same Contact: each gets his own calls."""
    name = f"{transport}{int(has_true_via)}"
    private = "sip:100@192.168.1.10:5060" + (";transport=tcp" if transport == "tcp" else "")
    with Phones() as phones:
        pair = [phones.at(north.nodes[0], f"{who}-{name}", transport, register=False) for who in ("ann", "ben")]
        callers = [phones.at(north.nodes[k], f"call{k}-{name}") for k in range(3)]
        callers.append(phones.at(south.nodes[0], f"call-{name}"))
        for phone in pair:
            if not has_true_via:
                phone._via = lambda p=phone: re.sub(r" \S+?;", " 192.168.1.10:5060;", Agent._via(p), count=1)
            phone.register(contact=f"<{private}>")
        for caller in callers:
            for phone, other in (pair, pair[::-1]):
                invite = rings(caller, phone.uri, phone, [other])
                assert invite.start.split()[1].startswith("sip:100@192.168.1.10"), invite.start
        for phone, other in (pair, pair[::-1]):  # a whole call, hung up from either end
            one, two, _ = establish(callers[2], phone)
            end_call(phone, two, callers[2]) if phone is pair[0] else end_call(callers[2], one, phone)


def another_port_is_no_nat(north):
    """A phone registers from one port and listens on another (UDP): it is called where it listens."""
    with Phones() as phones:
        sender = phones.at(north.nodes[0], "twoports", port=5071, register=False)
        listener = Agent(sender.ip, "twoports", north.domain, north.nodes[0].sip, "udp", 5072)
        phones.all.append(listener)
        sender.register(contact=f"<sip:twoports@{sender.ip}:5072>")
        for node in north.nodes:
            rings(phones.at(node, f"caller4{node.name[2]}"), sender.uri, listener, [sender])


def one_machine_is_no_nat(north):
    """A program registers a phone of the same machine, which listens at another loopback address (UDP)."""
    with Phones() as phones:
        sender = phones.at(north.nodes[0], "twohosts", register=False)
        listener = phones.at(north.nodes[0], "twohosts", register=False)
        sender.register(contact=f"<{listener.contact}>")
        for node in north.nodes:
            rings(phones.at(node, f"caller6{node.name[2]}"), sender.uri, listener, [sender])


def a_new_connection(north):
    """The same contact from a new connection: the old one is nothing any more."""
    with Phones() as phones:
        caller = phones.at(north.nodes[1], "caller5")
        old = phones.at(north.nodes[0], "again", "tcp", contact="<sip:again@10.1.1.1;transport=tcp>")
        rings(caller, old.uri, old)
        new = phones.at(north.nodes[0], "again", "tcp", register=False)
        new.registration, new.last_cseq = old.registration, old.last_cseq
        new.register(contact="<sip:again@10.1.1.1;transport=tcp>")
        rings(caller, old.uri, new, [old])
        old.close()
        rings(caller, old.uri, new)
        new.close()
        phones.all.clear()
        refused(caller, old.uri, 480)
        caller.close()


def tokens(north):
    """Path is told to who asks for it; a token that is none of ours opens nothing."""
    node = north.nodes[0]
    with Phones() as phones:
        phone = phones.at(node, "tok", register=False)
        assert not phone.register().all("path")
        path = phone.register(extra=[("Supported", "path")]).get("path")
        token = re.match(r"<sip:([a-z2-7]{40})@", path).group(1)
        assert path == phone.register(extra=[("Supported", "path")]).get("path"), "a refresh keeps the binding"
        shown = next(r for r in node.ctl("registrations") if r["aor"] == phone.uri[4:])
        assert token in shown["path"], shown
        caller = phones.at(node, "tokcaller")
        for bad in (token[:-1] + ("a" if token[-1] != "a" else "b"), "a" * 40, "x"):
            route = f"<sip:{bad}@{node.host}:5062;transport=tls;lr>"
            sent = caller.request("INVITE", phone.contact, body=caller.sdp(), extra=[("Route", route)])
            response = caller.expect("a final response", lambda m: m.is_response and m.status >= 200)
            assert 400 <= response.status < 500, response.start
            if response.tag("to"):
                caller.ack_failure(phone.contact, sent, response)
        phone.register(0)
        phone.expect_nothing("INVITE", lambda m: not m.is_response, 0.2)
        sent = caller.request("INVITE", phone.contact, body=caller.sdp(), extra=[("Route", path)])
        caller.ack_failure(phone.contact, sent, caller.expect_status(480))


# ---- sizes --------------------------------------------------------------------------------------------

def long_contacts(north, south):
    """RFC 8599 makes Contacts long: 2 kB are carried to the phone; what is larger is refused as such."""
    with Phones() as phones:
        callers = [phones.at(north.nodes[1], "caller6"), phones.at(south.nodes[0], "far6")]
        for size in (298, 1000, 2048):
            phone = phones.at(north.nodes[0], f"push{size}", register=False)
            uri = LONG.format(user=phone.user, ip=phone.ip, port=phone.port, a="team.app", b="")
            uri += "d" * (size - len(uri))
            assert contacts(phone.register(contact=f"<{uri}>")) == [uri]
            assert any(r["contact"] == uri for r in north.nodes[0].ctl("registrations"))
            assert north.nodes[2].ctl("resolve", phone.uri)["contacts"] == [uri]
            for caller in callers:
                invite = rings(caller, phone.uri, phone)
                assert invite.start.split()[1] == uri, invite.start
        phone.register(contact=f"<{uri}d>", expect=513)


# ---- the overlay's registrar ----------------------------------------------------------------------------

def one_registrar(north, south):
    """RFC 3261 section 10.3 item 8: a 200 lists all contacts of the AOR, whichever peer serves them."""
    with Phones() as phones:
        caller = phones.at(south.nodes[0], "caller7")
        near = phones.at(north.nodes[2], "caller7n")
        one = phones.at(north.nodes[0], "multi", register=False)
        two = phones.at(north.nodes[1], "multi", register=False)
        assert contacts(one.register()) == [one.contact]
        both = sorted((one.contact, two.contact))
        assert contacts(two.register()) == both
        assert contacts(one.register()) == both
        query = Agent(f"{PHONES}.250", "multi", north.domain, north.nodes[2].sip)
        phones.all.append(query)
        query.write("REGISTER", f"sip:{north.domain}",
                    [("Via", query._via()), ("From", f"<{query.uri}>;tag=q"), ("To", f"<{query.uri}>"),
                     ("Call-ID", "q1"), ("CSeq", "1 REGISTER")])
        found = query.expect_status(200, "REGISTER")
        assert contacts(found) == both and found.get("date"), found.start
        # expires=0 for a contact that another peer serves
        gone = query.register(0, contact=f"<{one.contact}>;expires=0")
        assert contacts(gone) == [two.contact], contacts(gone)
        assert not [r for r in north.nodes[0].ctl("registrations") if r["aor"] == one.uri[4:]]
        rings(near, two.uri, two, [one])
        one.register()
        # "*" at a peer that serves neither
        assert contacts(query.register(0, contact="*")) == []
        for node in north.nodes:
            assert not [r for r in node.ctl("registrations") if r["aor"] == one.uri[4:]], node.name
        for who in (near, caller):
            refused(who, one.uri, 480)
        refused(near, f"sip:nobody-ever@{north.domain}", 404)


def a_phone_moves(north):
    """The same contact, or the same instance with another one, at another peer: it rings once."""
    with Phones() as phones:
        caller = phones.at(north.nodes[2], "caller8")
        instance = ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-000000000008>"'
        phone = phones.at(north.nodes[0], "mover8", register=False)
        phone.register(contact=f"<{phone.contact}>")
        phone.far = (north.nodes[1].ip, 5060)
        assert contacts(phone.register(contact=f"<{phone.contact}>")) == [phone.contact]
        assert not [r for r in north.nodes[0].ctl("registrations") if r["aor"] == phone.uri[4:]]
        rings(caller, phone.uri, phone)
        phone.expect_nothing("INVITE", lambda m: not m.is_response and m.method == "INVITE", 0.3)
        other = phones.at(north.nodes[0], "mover8", contact=None, register=False)
        phone.register(contact=f"<{phone.contact}>{instance}")
        other.register(contact=f"<{other.contact}>{instance}")
        rings(caller, phone.uri, other, [phone])


def order_across_peers(north):
    """A REGISTER that is older than what another peer has of its Call-ID changes nothing (10.3 item 7)."""
    with Phones() as phones:
        phone = phones.at(north.nodes[0], "order", register=False)
        phone.last_cseq = 10
        phone.register()
        phone.far = (north.nodes[1].ip, 5060)
        for contact in (f"<{phone.contact}>", f"<{phone.contact}>;expires=0", "*"):
            phone.last_cseq = 9
            phone.register(0 if contact == "*" else 300, contact=contact, expect=500)
        phone.last_cseq = 11
        assert contacts(phone.register()) == [phone.contact]
        # the peer knows the later one, too
        phone.far, phone.last_cseq = (north.nodes[0].ip, 5060), 11
        phone.register(expect=500)


def a_peer_that_is_silent(north):
    """A serving peer that does not answer is noted as superseded: 200, or 500 in time; readers leave its
    bindings out, also when it is back with them."""
    gateway = north.gateway()
    silent = next(n for n in north.nodes if n is not gateway)
    node, third = [n for n in north.nodes if n is not silent]
    with Phones() as phones:
        caller = phones.at(third, "caller9")
        old = phones.at(silent, "left", register=False)
        old.register()
        star = phones.at(silent, "starred", register=False)
        star.register()
        new = phones.at(node, "left", register=False)
        new.register()
        silent.hang()
        try:
            for phone, what in ((new, f"<{old.contact}>;expires=0"), (new, None), (None, "*")):
                agent = phone or phones.at(node, "starred", register=False)
                until = time.monotonic() + 15
                while True:
                    agent.last_cseq += 1
                    begin = time.monotonic()
                    agent.write("REGISTER", f"sip:{north.domain}",
                                [("Via", agent._via()), ("From", f"<{agent.uri}>;tag=s"), ("To", f"<{agent.uri}>"),
                                 ("Call-ID", agent.registration), ("CSeq", f"{agent.last_cseq} REGISTER"),
                                 ("Contact", what or f"<{agent.contact}>"),
                                 *([("Expires", "0")] if what == "*" else [])])
                    response = agent.expect("final", lambda m: m.is_response and m.status >= 200)
                    took = time.monotonic() - begin
                    if response.status == 200:
                        break
                    assert response.status == 500 and response.get("retry-after"), response.start
                    assert took < 6 and time.monotonic() < until, f"{response.start} after {took:.1f} s"
                    time.sleep(0.3)
                assert old.contact not in contacts(response), contacts(response)
                assert star.contact not in contacts(response), contacts(response)
            rings(caller, new.uri, new)
            refused(caller, star.uri, 480)
        finally:
            os.kill(silent.process.pid, signal.SIGCONT)
        wait_for(f"{silent.name} is back", lambda: silent.local_state() == "joined", 20)

        def has_read():
            told = json.dumps(silent.ctl("resolve", new.uri))
            return new.ip + ":" in told and old.ip + ":" not in told
        wait_for(f"{silent.name} has read what changed", has_read, 10)
        for who in (caller, phones.at(silent, "caller9s")):
            rings(who, new.uri, new, [old])
            refused(who, star.uri, 480)
        # the phone itself comes back there: it is newer than the note
        old.register()
        found = wait_for("the phone is bound again", lambda: caller_sees(third, old), 10)
        assert old.contact in found


def caller_sees(node, phone):
    found = node.ctl("resolve", phone.uri)
    return found["contacts"] if found and phone.contact in found["contacts"] else None


def a_node_restarts(north):
    """Bindings that a node stored before it was started anew count as its own: REGISTER of one phone of an AOR
    leaves the others bound, and removals reach them."""
    gateway = north.gateway()
    node = next(n for n in north.nodes if n is not gateway)
    third = next(n for n in north.nodes if n not in (gateway, node))
    with Phones() as phones:
        caller = phones.at(third, "caller10")
        old = [phones.at(node, f"back{k}", register=False) for k in range(4)]
        for phone in old:
            phone.register()
        gone = phones.at(node, "back0", "tcp")  # its connection ends with the node
        node.kill()
        phones.all.remove(gone)
        gone.close()
        node.start()
        wait_for(f"{node.name} is back", lambda: node.local_state() == "joined", 30)
        new = phones.at(node, "back0", register=False)
        both = sorted((old[0].contact, new.contact))
        assert contacts(new.register()) == both
        sent = caller.request("INVITE", old[0].uri, body=caller.sdp())
        for phone in (old[0], new):
            phone.answer(phone.expect_request("INVITE"), 486, "Busy Here", "t1")
        caller.ack_failure(old[0].uri, sent, caller.expect_status(486))
        # the CSeq of before counts, too
        old[1].last_cseq -= 1
        old[1].register(expect=500)
        # another peer's word: the phone moves, and goes
        moved = old[2]
        moved.far = (third.ip, 5060)
        assert contacts(moved.register()) == [moved.contact]
        rings(caller, moved.uri, moved)
        moved.expect_nothing("INVITE", lambda m: not m.is_response and m.method == "INVITE", 0.2)
        star = old[3]
        star.far = (third.ip, 5060)
        assert contacts(star.register(0, contact="*")) == []
        refused(caller, star.uri, 480)


# ---- clauses ------------------------------------------------------------------------------------------

def clauses(north):
    with Phones() as phones:
        p = phones.at(north.nodes[0], "clause", register=False)
        # 8.2.2.3
        bad = p.register(expect=420, extra=[("Require", "nothingSupportsThis, path")])
        assert bad.get("unsupported") == "nothingSupportsThis", bad.get("unsupported")
        # 10.2.1.1, 20.10: what is no number of seconds is 3600
        for value in ("abc", "-1", "1x", '""'):
            listed = p.register(contact=f"<{p.contact}>;expires={value}")
            assert 3590 <= int(re.search(r"expires=(\d+)", listed.get("contact")).group(1)) <= 3600, listed.get("contact")
        listed = p.register(expires=100, contact=f"<{p.contact}>;expires=200")  # the parameter comes first
        assert 190 <= int(re.search(r"expires=(\d+)", listed.get("contact")).group(1)) <= 200
        p.register(contact=f"<{p.contact}>;expires=4294967296")
        assert p.register(expires=1, expect=423).get("min-expires") == "60"
        for q in ("0.5", "0.123", "1.0", "0", "abc", "2", "0.1234", "-0.5"):
            p.register(contact=f"<{p.contact}>;q={q}")
        # 10.3 item 6
        p.register(300, contact="*", expect=400)
        p.register(0, contact=f"*, <{p.contact}>", expect=400)
        p.register(0, contact=f"<{p.contact}>, *", expect=400)
        p.register(0, contact="<sip:", expect=400)
        assert contacts(p.register()) == [p.contact]
        # 10.3 item 7: all or nothing
        p.register(contact=f"<sip:clause@{p.ip}:9000>, <sip:clause@{p.ip}:9001>;expires=1", expect=423)
        assert contacts(p.register()) == [p.contact]
        assert contacts(p.register(0, contact="*")) == []


def too_many_contacts(north):
    """The oldest of the same instance makes room; else it is 500, and what was there stays."""
    with Phones() as phones:
        p = phones.at(north.nodes[0], "crowd", register=False)
        instance = ';+sip.instance="<urn:uuid:1>"'
        uris = [f"sip:crowd@{p.ip}:{port}" for port in range(9000, 9010)]
        for number, uri in enumerate(uris):
            p.register(contact=f"<{uri}>" + (instance if number in (3, 5) else ""))
        refusal = p.register(contact=f"<sip:crowd@{p.ip}:9010>", expect=500)
        assert refusal.get("retry-after")
        listed = contacts(p.register(contact=f"<sip:crowd@{p.ip}:9011>{instance}"))
        assert listed == sorted(uris[:3] + uris[4:] + [f"sip:crowd@{p.ip}:9011"]), listed[-2:]
        assert contacts(p.register(0, contact="*")) == []


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        north, south = lab.islands
        tests.run("a contact takes nobody's calls", a_contact_takes_nobodys_calls, north)
        tests.run("a forward is followed", a_forward_is_followed, north, south)
        tests.run("every forward is followed", every_forward_is_followed, north, south)
        tests.run("loops of forwards end in 482", loops_of_forwards_end, north, south)
        for transport in ("udp", "tcp"):
            for has_true_via in (True, False):
                tests.run(f"equal private contacts, {transport}, {'true' if has_true_via else 'private'} Via",
                          equal_private_contacts, north, south, transport, has_true_via)
        tests.run("another port is no NAT", another_port_is_no_nat, north)
        tests.run("another address of the same machine is no NAT", one_machine_is_no_nat, north)
        tests.run("a new connection", a_new_connection, north)
        tests.run("tokens of bindings", tokens, north)
        tests.run("contacts of two kilobytes", long_contacts, north, south)
        tests.run("one registrar", one_registrar, north, south)
        tests.run("a phone moves", a_phone_moves, north)
        tests.run("order across peers", order_across_peers, north)
        tests.run("clauses of 10.2 and 10.3", clauses, north)
        tests.run("too many contacts", too_many_contacts, north)
        tests.run("a peer that is silent", a_peer_that_is_silent, north)
        tests.run("a node restarts", a_node_restarts, north)
        tests.run("nothing is left", no_calls_left, lab)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
