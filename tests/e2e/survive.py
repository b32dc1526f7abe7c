"""What the tests of calls that survive their gateway share."""
from lab import LabError, wait_for
from agent import Agent, establish, uri_of
import scenarios

UPDATE = [("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO")]
NO_UPDATE = [("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS")]


class Call:
    """One call, with the dialog of each end."""

    def __init__(self, caller, callee, allow, number):
        self.phones = (caller, callee)
        one, other, _ = establish(caller, callee, tag=f"b{number}", extra=allow)
        self.dialog = {caller: one, callee: other}

    def other(self, phone):
        return self.phones[1] if phone is self.phones[0] else self.phones[0]


def of_call(dialog, method):
    return lambda m: not m.is_response and m.method == method and m.get("call-id") == dialog.call_id


def take_update(phone, dialog):
    """The gateway's refresh: the phone's requests go to its Contact from now on."""
    update = phone.expect("a refresh", of_call(dialog, "UPDATE"), 20)
    if update.body:
        raise LabError(f"an offer in the refresh: {update.body}")
    phone.answer(update, 200, "OK", extra=UPDATE)
    dialog.target = uri_of(update.get("contact"))
    return update


def take_invite(phone, dialog, offer):
    """The same for a phone without UPDATE: it is offered again what the other end said last."""
    invite = phone.expect("a refresh", of_call(dialog, "INVITE"), 20)
    scenarios.same("the offer", invite.body, offer)
    phone.answer(invite, 200, "OK", body=phone.sdp(2), extra=NO_UPDATE)
    dialog.target = uri_of(invite.get("contact"))
    phone.expect("the ACK", of_call(dialog, "ACK"))
    return invite


def hang_up(call, phone):
    other = call.other(phone)
    phone.in_dialog(call.dialog[phone], "BYE")
    bye = other.expect("the BYE", of_call(call.dialog[other], "BYE"), 20)
    other.answer(bye, 200, "OK")
    phone.expect_status(200, "BYE", 20)


def hold(call, phone):
    """re-INVITE with an offer and an answer, end to end."""
    other, dialog = call.other(phone), call.dialog[phone]
    phone.in_dialog(dialog, "INVITE", body=phone.sdp(5))
    invite = other.expect("the re-INVITE", of_call(call.dialog[other], "INVITE"), 20)
    scenarios.same("the offer", invite.body, phone.sdp(5))
    other.answer(invite, 200, "OK", body=other.sdp(6))
    scenarios.same("the answer", phone.expect_status(200).body, other.sdp(6))
    phone.in_dialog(dialog, "ACK", sequence=dialog.sequence)
    other.expect("its ACK", of_call(call.dialog[other], "ACK"))


def copied(island, count):
    """The gateway's calls are all at its stand-bys."""
    gateway = gateway_of(island)
    status = gateway and gateway.ctl("status")
    replicas = status and status["replicas"]
    return replicas and replicas["calls"] == count and replicas["heirs"] and \
        not any(heir["pending"] for heir in replicas["heirs"])


def make_calls(a, b, count, allow, islands):
    calls = [Call(a, b, allow, n) for n in range(count)]
    for island in islands:
        wait_for(f"the calls are copied in {island.name}", lambda i=island: copied(i, count), 20)
    return calls


def other_gateway(island, old):
    """A node that has become gateway; those who have no calls may not have heard of it yet."""
    return next((n for n in island.nodes if n is not old and n.is_running() and n.role() == "active"), None)


def gateway_of(island):
    return wait_for(f"{island.name} has one gateway",
                    lambda: next((n for n in island.nodes if n.is_running() and n.role() == "active"), None))


def quiet(*phones):
    """Nothing is left that a phone was not meant to hear.  A copy is some milliseconds old: a gateway that
    takes over a call which has just ended is told so, as any phone tells it."""
    for phone in phones:
        while phone.poll(0.2):
            pass
        for message in [m for m in phone.waiting if not m.is_response and m.tag("to") and m.method != "ACK"]:
            phone.waiting.remove(message)
            phone.answer(message, 481, "Call/Transaction Does Not Exist")
        phone.waiting = [m for m in phone.waiting if m.method != "ACK" and (not m.is_response or m.status > 100)]
        if phone.waiting:
            raise LabError(f"{phone.user} heard {[m.start for m in phone.waiting]}")


def silent(old, *phones):
    """Nothing that the old gateway could have sent: the only thing to be heard is a refresh of the new one."""
    for phone in phones:
        while phone.poll(0.5):
            pass
        for message in phone.waiting:
            if not message.is_response and \
                    (message.method not in ("UPDATE", "ACK") or old.ip in message.get("contact")):
                raise LabError(f"{phone.user} heard {message.start} of the gateway that was asleep")


def no_calls(lab):
    for node in lab.nodes():
        if node.is_running():
            wait_for(f"{node.name}@{node.island.name} has no calls", lambda n=node: n.ctl("calls") == [], 20)


def back(node):
    """A node that was ended comes back."""
    node.start()
    wait_for(f"{node.name} is back", lambda: node.local_state() in ("joined", "alone"), 30)


def back_in_role(node):
    """It is back, and a candidate again, or the gateway."""
    back(node)
    wait_for("it is a candidate", lambda: is_candidate(node) or node.role() == "active", 20)


def restored(test):
    """Afterwards every node runs, and each island has one gateway, whatever became of the test."""
    def run(lab, *arguments, **options):
        for phone in (one for one in arguments if isinstance(one, Agent)):
            phone.waiting.clear()
        try:
            test(lab, *arguments, **options)
        finally:
            for node in lab.nodes():
                if not node.is_running():
                    back(node)
            for island in lab.islands:
                gateway_of(island)
    return run


def is_candidate(node):
    """In the eyes of the gateway, who asks a candidate to take over."""
    known = gateway_of(node.island).ctl("election")["candidates"]
    return node.name in [candidate["name"] for candidate in known]


def spare_nodes(lab):
    """A node of each island that never becomes its gateway: phones there lose no serving peer."""
    spare = [island.others()[-1] for island in lab.islands]
    for node in spare:
        node.stop()
        node.configure(candidate="false")
        back(node)
        wait_for(f"{node.name}@{node.island.name} is no candidate", lambda n=node: not is_candidate(n), 30)
    return spare


def phones_at(lab, spare, net, first=1, transport="udp"):
    """Registered: alice in the first island, bob in the second."""
    phones = [Agent(f"{net}.{first + n}", user, island.domain, node.sip, transport)
              for n, (user, island, node) in enumerate(zip(("alice", "bob"), lab.islands, spare))]
    for phone in phones:
        phone.register()
    return phones
