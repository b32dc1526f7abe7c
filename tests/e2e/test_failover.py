#!/usr/bin/env python3
"""A planned hand-over keeps the calls that are up, and a gateway's death is got over."""
import sys

from common import Tests, lab_of
from lab import wait_for
from agent import Agent, end_call, establish, uri_of
import scenarios

ISLANDS = [("east", "127.54.0", 2), ("west", "127.55.0", 3)]
PHONES = "127.56.0"


def other_gateway(island, old):
    """The gateway that the island agrees on, if it is another than @old."""
    found = island.gateway()
    return found if found and found is not old else None


def take_refresh(phone, dialogs):
    """The new gateway tells the phone, which knows no UPDATE, where its requests go from now on."""
    invite = phone.expect_request("INVITE", 20)
    dialog = dialogs.pop(invite.get("call-id"), None)
    phone.answer(invite, 200, "OK", body=phone.sdp(2))
    if dialog:  # else it came once more before it was answered
        dialog.target = uri_of(invite.get("contact"))
        phone.expect("the ACK", lambda m: m.method == "ACK" and m.get("call-id") == dialog.call_id, 20)


def hand_over(a, b, west, target):
    """To @target. Both ends of two calls hang up after the hand-over, and a new call is set up."""
    one, first, _ = establish(a, b)
    _, other, _ = establish(a, b)
    old = west.gateway()
    old.ctl_text("election", "handover", target.name)
    wait_for("the hand-over", lambda: other_gateway(west, old), 20)
    dialogs = {dialog.call_id: dialog for dialog in (first, other)}
    while dialogs or any(not m.is_response and m.method == "INVITE" for m in b.waiting):
        take_refresh(b, dialogs)
    end_call(a, one, b)
    end_call(b, other, a)
    b.waiting.clear()
    wait_for("a new call after the hand-over", lambda: try_call(a, b), 20)


def kill_gateway(a, b, west):
    """After SIGKILL another node is the gateway, and calls are set up again."""
    old = west.gateway()
    old.kill()
    wait_for("another gateway", lambda: other_gateway(west, old), 20)
    wait_for("a call after the gateway's death", lambda: try_call(a, b), 20)


def try_call(a, b):
    """True if a call is set up and ended; false where it was refused, as a phone would try again."""
    sent = a.request("INVITE", b.uri, body=a.sdp(1))

    def either():
        for phone, other in ((b, a), (a, b)):
            phone.poll(0.02)
            for message in phone.waiting:
                if message.method == "INVITE" and message.get("call-id") and \
                        (not message.is_response or message.status >= 300):
                    phone.waiting.remove(message)
                    return message
        return None
    first = wait_for("the INVITE arrives, or is refused", either, 20, 0.01)
    if first.is_response:
        a.ack_failure(b.uri, sent, first)
        return False
    b.answer(first, 200, "OK", "n1", body=b.sdp(2))
    dialog = a.dialog_of_response(sent, a.expect_status(200))
    a.in_dialog(dialog, "ACK")
    b.expect_request("ACK")
    end_call(a, dialog, b)
    return True


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS, hello_ms=200) as lab:
        east, west = lab.islands
        callee_node, target = west.others()
        a = Agent(f"{PHONES}.1", "alice", east.domain, east.others()[0].sip)
        b = Agent(f"{PHONES}.2", "bob", west.domain, callee_node.sip)
        for phone in (a, b):
            phone.register()
        tests.run("a call before", scenarios.basic, a, b)
        tests.run("planned hand-over", hand_over, a, b, west, target)
        a.waiting.clear()
        b.waiting.clear()
        tests.run("the gateway dies", kill_gateway, a, b, west)
        for phone in (a, b):
            phone.close()
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
