"""Real phones, each a process that is told what to do and writes each SIP message it sees into its log.

All kinds have the same verbs.  What came of a verb is asked of the messages, not of what the phone
prints: the same questions for every kind.
"""
import os
import re
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab"))
from agent import Message  # noqa: E402
from lab import LabError, wait_for  # noqa: E402
from phones import Phone  # noqa: E402

RING_S = 200  # every phone lets a call ring for longer than a test does
START = re.compile(rb"^(?:[A-Z]+ \S+ SIP/2\.0|SIP/2\.0 \d{3} [^\r\n]*)\r?$", re.M)
CUT = b"<cut off>"  # so does Twinkle end a long body in its log
END = re.compile(rb"\r?\n\r?\n")


class Trace:
    """The SIP messages in the log of a phone, in their order; is_sent tells the direction."""

    def __init__(self, path, marker, sent):
        """@marker: what stands before a message, with both addresses if they tell; @sent: if it goes out"""
        self.path, self.marker, self.sent = path, re.compile(marker.encode(), re.M), re.compile(sent.encode(), re.M)
        self.found, self.offset, self.is_sent, self.lock = [], 0, False, threading.Lock()

    def _body_end(self, data, head_end):
        length = re.search(rb"^(?:Content-Length|l)\s*:\s*(\d+)", data[:head_end], re.M | re.I)
        return head_end + (int(length.group(1)) if length else 0)

    def messages(self):
        with self.lock:
            with open(self.path, "rb") as log:
                log.seek(self.offset)
                data = log.read()
            at = 0
            while (start := START.search(data, at)):
                head = END.search(data, start.end() - 1)
                end = self._body_end(data[start.start():], head.end() - start.start()) + start.start() if head else 0
                cut = data.find(CUT, start.end(), end)
                if not head or (end > len(data) and cut < 0):
                    break
                end = cut + len(CUT) if cut >= 0 else end
                self._direct(data[at:start.start()])
                message = Message(data[start.start():end].decode("utf-8", "replace").replace("\r\n", "\n")
                                  .replace("\n", "\r\n"))
                message.is_sent, message.is_cut = self.is_sent, cut >= 0
                self.found.append(message)
                at = end
            self.offset += at
            return list(self.found)

    def _direct(self, between):
        """Which way a message went says the last marker before it, if there is any."""
        for marker in self.marker.finditer(between):
            self.is_sent = bool(self.sent.search(marker.group()))


class Handset:
    """What all kinds have in common; the verbs are each kind's own."""

    kind = ""
    has_ipv6 = True  # else it takes SDP with IPv6 addresses for malformed
    has_attended = True  # transfers with consultation, and does as such a REFER says
    takes_replaces = True  # answers an INVITE with Replaces
    has_info = True  # sends digits by INFO
    hears_media = True  # takes digits by RFC 4733, too

    def __init__(self, user, domain, trace):
        self.user, self.uri, self.trace, self.since = user, f"sip:{user}@{domain}", trace, 0

    # ---- what it saw --------------------------------------------------------------------------------

    def mark(self):
        """What it saw until now does not count."""
        self.since = len(self.trace.messages())

    def seen(self, is_wanted):
        return [m for m in self.trace.messages()[self.since:] if is_wanted(m)]

    def wait(self, what, is_wanted, timeout=15.0):
        """The first message since the mark that is wanted."""
        try:
            return wait_for(what, lambda: self.seen(is_wanted), timeout, 0.05)[0]
        except LabError as problem:
            raise LabError(f"{self.kind} {self.user}: {what} not within {timeout:g} s") from problem

    def story(self):
        """What it saw since the mark: > out, < in."""
        return f"{self.kind} {self.user}: " + ", ".join(
            ("> " if m.is_sent else "< ") + (f"{m.status} {m.method}" if m.is_response else m.method) +
            f" {m.sequence}" for m in self.trace.messages()[self.since:])

    def gets(self, method, has=None, timeout=15.0):
        """It receives a request, whose text has a word."""
        return self.wait(f"receives {method}" + (f" with {has.pattern}" if has else ""),
                         lambda m: not m.is_sent and not m.is_response and m.method == method and
                         (not has or m.is_cut or has.search(m.body)), timeout)

    def sends(self, method, has=None, timeout=15.0):
        return self.wait(f"sends {method}" + (f" with {has.pattern}" if has else ""),
                         lambda m: m.is_sent and not m.is_response and m.method == method and
                         (not has or m.is_cut or has.search(m.body)), timeout)

    def says(self, status, method="INVITE", timeout=15.0):
        """It sends a response."""
        return self.wait(f"sends {status} to {method}", lambda m: m.is_sent and m.is_response and
                         m.method == method and m.status == status, timeout)

    def hears(self, status, method="INVITE", timeout=15.0):
        """It receives a response; another final one fails at once."""
        found = self.wait(f"receives {status} to {method}",
                          lambda m: not m.is_sent and m.is_response and m.method == method and
                          (m.status == status or m.status >= 200), timeout)
        if found.status != status:
            raise LabError(f"{self.kind} {self.user}: {status} to {method} expected, it received {found.start}")
        return found

    def wait_registered(self):
        self.hears(200, "REGISTER", 20)


class Process(Handset):
    """A phone that reads commands from its standard input."""

    def __init__(self, user, domain, trace, home, words, environment):
        super().__init__(user, domain, trace)
        self.output = os.path.join(home, "output")
        with open(self.output, "wb") as out:
            self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=out, stderr=out, cwd=home,
                                            env=dict(os.environ, HOME=home, **environment))

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def printed(self):
        with open(self.output, encoding="utf-8", errors="replace") as out:
            return out.read()

    def stop(self):
        try:
            self.say("quit")
            self.process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended before


class Baresip(Handset):
    kind, has_attended, takes_replaces, has_info = "baresip", False, False, False

    def __init__(self, folder, user, domain, node, transport, place):
        self.phone = Phone(folder, user, domain, place.ip, node.sip, transport, place.sip_port, place.rtp_port,
                           answer="manual", ring_s=RING_S, is_traced=True, has_both=True)
        host = re.escape(f"[{place.ip}]" if ":" in place.ip else place.ip)
        super().__init__(user, domain, Trace(os.path.join(self.phone.dir, "log"), r"\S+ -> \S+$",
                                             f"^{host}:|> {re.escape(node.sip)}$"))

    def dial(self, uri):
        self.phone.dial(uri)

    def answer(self):
        self.phone.command("accept")

    def hold(self):
        self.phone.command("hold")

    def resume(self):
        self.phone.command("resume")

    def transfer(self, uri):
        self.phone.command("transfer", uri)

    def press(self, digit):
        """DTMF: this phone knows RFC 4733 alone."""
        self.phone.command("sndcode", digit)
        time.sleep(0.2)
        self.phone.command("sndcode", "\x04")  # the key is let go

    def has_heard(self, digit):
        event = self.phone.has_event("CALL_DTMF_START")
        return event and event.get("param") == digit

    def hang_up(self):
        self.phone.hang_up()

    def stop(self):
        self.phone.stop()


LINPHONE = """\
[sip]
sip_port={port}
sip_tcp_port={port}
sip_tls_port=-1
default_proxy=0
use_info=1
use_rfc2833=1
use_ipv6={is_ipv6}
register_only_when_network_is_up=0
auto_net_state_mon=0
inc_timeout={ring_s}
[rtp]
audio_rtp_port={rtp}
[proxy_0]
reg_proxy=<sip:{proxy};transport={transport}>
reg_route=<sip:{proxy};transport={transport}>
reg_identity=sip:{user}@{domain}
reg_expires=600
reg_sendregister=1
[net]
firewall_policy=0
"""


class Linphone(Process):
    kind = "linphone"

    def __init__(self, folder, user, domain, node, transport, place):
        home = os.path.join(folder, f"phone-{user}")
        shutil.rmtree(home, ignore_errors=True)
        os.makedirs(os.path.join(home, ".local/share/linphone"))  # its database
        with open(os.path.join(home, "rc"), "w", encoding="ascii") as out:
            out.write(LINPHONE.format(port=place.sip_port, rtp=place.rtp_port, proxy=node.sip, transport=transport,
                                      user=user, domain=domain, ring_s=RING_S, is_ipv6=int(":" in place.ip)))
        log = os.path.join(home, "log")
        open(log, "w", encoding="ascii").close()
        super().__init__(user, domain, Trace(log, "message sent to|new bytes from", "sent"), home,
                         ["linphonec", "-c", os.path.join(home, "rc"), "-d", "6", "-l", log], {})
        self.say("soundcard use files")

    def dial(self, uri):
        self.say(f"call {uri}")

    def answer(self):
        self.say("answer")

    def hold(self):
        self.say("pause")

    def resume(self):
        self.say("resume")

    def transfer(self, uri):
        self.say(f"transfer {uri}")

    def consult(self, uri):
        """A second call; the first one is held."""
        self.hold()
        self.sends("ACK")
        self.mark()
        self.say(f"call {uri}")

    def join(self):
        """Transfers the first call to the other end of the second."""
        first, second = re.findall(r"assigned id (\d+)", self.printed())[-2:]
        self.say(f"transfer {first} --to-call {second}")

    def press(self, digit):
        self.say(digit)

    def has_heard(self, digit):
        return f"Receiving tone {digit}" in self.printed()

    def hang_up(self):
        self.say("terminate all")


TWINKLE_SYSTEM = """\
dev_ringtone=alsa:null
dev_speaker=alsa:null
dev_mic=alsa:null
validate_audio_dev=no
sip_port={port}
rtp_port={rtp}
log_show_sip=yes
log_show_debug=no
log_max_size=100
play_ringtone=no
play_ringback=no
"""
TWINKLE_PROFILE = """\
user_name={user}
user_domain={domain}
registrar={proxy}
register_at_startup=yes
registration_time=600
outbound_proxy={proxy}
all_requests_to_proxy=yes
sip_transport={transport}
persistent_tcp=yes
codecs=g711u
dtmf_transport=info
allow_refer=yes
ask_user_to_refer=no
timer_noanswer={ring_s}
zrtp_enabled=no
"""


class Twinkle(Process):
    """It says 100 to an INVITE with Replaces and no more, behind any proxy."""

    kind, has_ipv6, takes_replaces, hears_media = "twinkle", False, False, False

    def __init__(self, folder, user, domain, node, transport, place):
        home = os.path.join(folder, f"phone-{user}")
        shutil.rmtree(home, ignore_errors=True)
        os.makedirs(os.path.join(home, ".twinkle"))
        for name, text in (("twinkle.sys", TWINKLE_SYSTEM), (f"{user}.cfg", TWINKLE_PROFILE)):
            with open(os.path.join(home, ".twinkle", name), "w", encoding="ascii") as out:
                out.write(text.format(port=place.sip_port, rtp=place.rtp_port, proxy=node.sip, transport=transport,
                                      user=user, domain=domain, ring_s=RING_S))
        log = os.path.join(home, ".twinkle", "twinkle.log")
        open(log, "w", encoding="ascii").close()
        super().__init__(user, domain, Trace(log, "Send to: |Received from: ", "Send"), home,
                         ["nice", "twinkle", "-c", "-f", f"{user}.cfg"], {"QT_QPA_PLATFORM": "offscreen"})

    def dial(self, uri):
        self.say(f"call {uri}")

    def answer(self):
        self.say("answer")

    def hold(self):
        self.say("hold")

    def resume(self):
        self.say("retrieve")

    def transfer(self, uri):
        self.say(f"transfer {uri}")

    def consult(self, uri):
        self.say(f"transfer -c {uri}")

    def join(self):
        self.say("transfer -c")

    def press(self, digit):
        self.say(f"dtmf {digit}")

    def has_heard(self, digit):
        return f"DTMF detected: {digit}" in self.printed()

    def hang_up(self):
        self.say("bye")


KINDS = {kind.kind: kind for kind in (Baresip, Linphone, Twinkle)}
