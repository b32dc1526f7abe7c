"""What two phones, or three, do with a call; each deed raises LabError if a message of it does not come."""
import re
import time

from lab import LabError, wait_for

RING_S = 75
HELD = re.compile(r"^a=(sendonly|inactive)|^c=IN IP4 0\.0\.0\.0", re.M)
LIVE = re.compile(r"\A(?!(?:.|\n)*^(?:a=(?:sendonly|inactive)|c=IN IP4 0\.0\.0\.0))", re.M)
DIGIT = re.compile(r"^Signal\s*=\s*5", re.M)
TAKEN = re.compile(r"SIP/2\.0 200")


def mark(*phones):
    for phone in phones:
        phone.mark()


def until(verb, sign):
    """A phone that is busy with what was before does nothing when it is told to: its user tells it again."""
    for tries_left in (3, 2, 1, 0):
        verb()
        try:
            return sign(4)
        except LabError:
            if not tries_left:
                raise
    return None


def ring(caller, callee):
    mark(caller, callee)
    until(lambda: caller.dial(callee.uri), lambda within: caller.sends("INVITE", timeout=within))
    callee.gets("INVITE")
    callee.says(180)
    caller.hears(180)


def answer(caller, callee):
    until(callee.answer, lambda within: callee.says(200, timeout=within))
    caller.hears(200)
    caller.sends("ACK")
    callee.gets("ACK")


def call(caller, callee):
    ring(caller, callee)
    answer(caller, callee)


def hang_up(one, other):
    mark(one, other)
    until(one.hang_up, lambda within: one.sends("BYE", timeout=within))
    other.gets("BYE")
    one.hears(200, "BYE")


def change(one, other, verb, wanted):
    """A re-INVITE and its answer."""
    mark(one, other)
    until(verb, lambda within: one.sends("INVITE", wanted, within))
    other.gets("INVITE", wanted)
    one.hears(200)
    other.gets("ACK")


def hold(one, other):
    change(one, other, one.hold, HELD)
    change(one, other, one.resume, LIVE)


def press(one, other):
    """A digit: by INFO, or in the media by a phone that has no INFO."""
    mark(one, other)
    if one.has_info:
        until(lambda: one.press("5"), lambda within: one.sends("INFO", DIGIT, within))
    else:
        one.press("5")
    if not one.has_info:
        wait_for(f"{other.kind} {other.user} hears a digit", lambda: other.has_heard("5"), 10)
        return
    other.gets("INFO", DIGIT)
    one.hears(200, "INFO")


def is_bye(message):
    return message.method == "BYE" and not message.is_response


def parted(one, other):
    """Their call has ended, whoever said so."""
    one.wait("sends or receives BYE", is_bye)
    other.wait("sends or receives BYE", is_bye)


def transfer(one, other, target):
    """Blind: @one, in a call with @other, sends it to @target; those two hang up."""
    mark(one, other, target)
    until(lambda: one.transfer(target.uri), lambda within: one.sends("REFER", timeout=within))
    other.gets("REFER")
    one.hears(202, "REFER")
    target.gets("INVITE")
    target.says(180)
    until(target.answer, lambda within: target.says(200, timeout=within))
    target.gets("ACK")
    note = told(one, other)
    parted(one, other)
    hang_up(other, target)
    return note


def told(one, other):
    """Who asked @other for a transfer hears that it was taken; returns a note where phones prevent that.

    Twinkle sends its NOTIFY right behind its 202, over another connection; Linphone refuses one that comes first
    (491), and no other follows.  Twinkle also hangs up before its last NOTIFYs, which have lower CSeqs."""
    try:
        one.gets("NOTIFY", TAKEN, 5)
        return ""
    except LabError:
        notifies = other.seen(lambda m: m.method == "NOTIFY" or is_bye(m) and m.is_sent)
        ends = [i for i, m in enumerate(notifies) if is_bye(m)] + [len(notifies)]
        in_time = {m.sequence: m for m in notifies[:ends[0]] if m.is_sent}
        refused = {m.sequence: m for m in notifies if m.is_response and m.status >= 300}
        lost = [m for number, m in in_time.items() if number not in refused and TAKEN.search(m.body)]
        wrong = [m for number, m in refused.items() if number in in_time and m.status != 491]
        if lost or wrong:
            raise
        why = "is refused (491)" if set(refused) & set(in_time) else "hangs up first"
        return f"{other.kind} does not tell {one.kind} that it was taken: {why}"


def transfer_with_consultation(one, other, target):
    """Attended: @one calls @target meanwhile and joins the two; @other's INVITE replaces that second call."""
    call(one, other)
    mark(one, other, target)
    one.consult(target.uri)
    target.gets("INVITE")
    target.says(180)
    until(target.answer, lambda within: target.says(200, timeout=within))
    target.gets("ACK")
    mark(one, other, target)
    one.join()
    refer = other.gets("REFER")
    if "replaces=" not in refer.get("refer-to").lower():
        raise LabError(f"Refer-To without Replaces: {refer.get('refer-to')}")
    for phone, is_sent in ((other, True), (target, False)):
        phone.wait(f"{'sends' if is_sent else 'receives'} INVITE with Replaces", lambda m, s=is_sent: (
            m.is_sent == s and not m.is_response and m.method == "INVITE" and m.get("replaces")))
    target.says(200)
    target.gets("ACK")
    note = told(one, other)
    target.wait("its first call ends", is_bye)
    parted(one, other)
    hang_up(other, target)
    return note


def long_ring(caller, callee):
    """It rings for long, then the callee answers."""
    ring(caller, callee)
    time.sleep(RING_S)
    ended = caller.seen(lambda m: m.is_response and m.status >= 300 and m.method == "INVITE") + \
        callee.seen(lambda m: m.method == "CANCEL")
    if ended:
        raise LabError(f"{caller.kind} to {callee.kind}: ended while it rang: {ended[0].start}")
    answer(caller, callee)
    hang_up(callee, caller)
