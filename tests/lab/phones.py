"""Headless baresip phones: a real user agent with real RTP, for the demo and the end-to-end tests."""
import json
import math
import os
import queue
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
import wave

from lab import LabError, wait_for

MODULES = "/usr/lib/baresip/modules"
TONE = "tone.wav"
ESTABLISHED, CLOSED = "CALL_ESTABLISHED", "CALL_CLOSED"

CONFIG = """\
poll_method epoll
sip_listen {host}:{sip_port}
call_local_timeout {ring_s}
call_max_calls 8
audio_path /usr/share/baresip
audio_source aufile,{tone}
audio_player aubridge,sink
audio_alert aubridge,alert
ausrc_channels 1
auplay_channels 1
audio_buffer 20-160
rtp_ports {rtp}-{rtp_end}
rtcp_mux no
jitter_buffer_delay 5-10
rtp_stats yes
rtp_timeout 60
{interface}
dns_server 127.0.0.1:9
module_path {modules}
module g711.so
module aufile.so
module aubridge.so
module_tmp uuid.so
module_tmp account.so
module_app contact.so
module_app debug_cmd.so
module_app menu.so
module_app ctrl_tcp.so
module_app rtcpsummary.so
ctrl_tcp_listen 127.0.0.1:{control}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write_tone(path, seconds=60, hertz=440, rate=8000):
    """The generated audio source: a sine at 8 kHz."""
    with wave.open(path, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(b"".join(struct.pack("<h", int(8000 * math.sin(2 * math.pi * hertz * i / rate)))
                                 for i in range(rate * seconds)))


class Phone:
    """One baresip process; registers with the node at @proxy as sip:user@domain.

    It lets a call ring for @ring_s, and writes each SIP message into its log if it @is_traced.  One that
    @has_both kinds of IP takes media of either, on what interfaces it finds."""

    def __init__(self, folder, user, domain, ip, proxy, transport="udp", sip_port=5060, rtp=20000,
                 answer="auto", ring_s=60, is_traced=False, has_both=False):
        self.user, self.uri = user, f"sip:{user}@{domain}"
        self.dir = os.path.join(folder, f"phone-{user}")
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        self.events, self.answers, self.seen = queue.Queue(), queue.Queue(), []
        tone = os.path.join(folder, TONE)
        if not os.path.exists(tone):
            write_tone(tone)
        control = free_port()
        with open(os.path.join(self.dir, "config"), "w", encoding="ascii") as out:
            out.write(CONFIG.format(interface="" if has_both else f"net_interface {ip}",
                                    host=f"[{ip}]" if ":" in ip else ip, ring_s=ring_s, sip_port=sip_port, tone=tone,
                                    modules=MODULES, rtp=rtp, rtp_end=rtp + 100, control=control))
        with open(os.path.join(self.dir, "accounts"), "w", encoding="ascii") as out:
            out.write(f'<{self.uri};transport={transport}>;outbound="sip:{proxy};transport={transport}"'
                      f";regint=60;answermode={answer};audio_codecs=PCMU/8000/1;ptime=20\n")
        open(os.path.join(self.dir, "contacts"), "w", encoding="ascii").close()
        with open(os.path.join(self.dir, "log"), "wb") as log:
            self.process = subprocess.Popen(["baresip", "-f", self.dir,
                                             *([] if has_both else ["-6" if ":" in ip else "-4"]),
                                             *(["-s"] if is_traced else [])], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        self.socket = wait_for(f"phone {user} starts", lambda: self._connect(control), 10)
        threading.Thread(target=self._read, daemon=True).start()

    def _connect(self, port):
        if self.process.poll() is not None:
            raise LabError(f"phone {self.user} ended: {self.log()}")
        try:
            return socket.create_connection(("127.0.0.1", port), 1)
        except OSError:
            return None

    def _read(self):
        """Netstrings of JSON: events and answers."""
        buffer = b""
        self.socket.settimeout(None)
        while True:
            try:
                more = self.socket.recv(65536)
            except OSError:
                return
            if not more:
                return
            buffer += more
            while b":" in buffer:
                length, _, rest = buffer.partition(b":")
                if len(rest) <= int(length):
                    break
                item = json.loads(rest[:int(length)].decode("utf-8", "replace"))
                buffer = rest[int(length) + 1:]
                (self.events if item.get("event") else self.answers).put(item)

    def command(self, name, params=""):
        data = json.dumps({"command": name, "params": params, "token": "t"}).encode()
        self.socket.sendall(b"%d:%s," % (len(data), data))
        try:
            return self.answers.get(timeout=5)
        except queue.Empty:
            return None

    def has_event(self, kind):
        while not self.events.empty():
            self.seen.append(self.events.get())
        for event in self.seen:
            if event.get("type") == kind:
                self.seen.remove(event)
                return event
        return None

    def forget_events(self):
        """Events of an earlier call must not be taken for those of the next."""
        self.seen.clear()
        while not self.events.empty():
            self.events.get()

    def wait_event(self, kind, timeout=15):
        return wait_for(f"phone {self.user}: {kind}", lambda: self.has_event(kind), timeout, 0.01)

    def log(self):
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_registered(self, timeout=15):
        wait_for(f"phone {self.user} registers", lambda: re.search(r"\} 200 .*binding", self.log()),
                 timeout)

    def dial(self, uri):
        self.command("dial", uri)

    def hang_up(self):
        self.command("hangup")

    def rtp_statistics(self):
        """[(packets sent, packets received)] of the calls that ended, by the phone's own statistics."""
        return [(int(sent), int(received))
                for sent, received in re.findall(r"packets:\s+(\d+)\s+(\d+)", self.log())]

    def stop(self):
        try:
            self.command("quit")
            self.process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()  # a phone in a call takes its time over SIGTERM
            self.process.wait()
        self.socket.close()


def call(caller, callee, seconds=3.0, timeout=15):
    """One call with talk.  Returns (post-dial ms, {user: (sent, received)})."""
    before = {phone: len(phone.rtp_statistics()) for phone in (caller, callee)}
    begin = time.monotonic()
    caller.dial(callee.uri)
    caller.wait_event(ESTABLISHED, timeout)
    took_ms = (time.monotonic() - begin) * 1000
    callee.wait_event(ESTABLISHED, timeout)
    time.sleep(seconds)  # the talk itself
    caller.hang_up()
    for phone in (caller, callee):
        phone.wait_event(CLOSED, timeout)
    packets = {}
    for phone in (caller, callee):
        wait_for(f"phone {phone.user}: statistics",
                 lambda p=phone: len(p.rtp_statistics()) > before[p], 5)
        packets[phone.user] = phone.rtp_statistics()[-1]
    return took_ms, packets
