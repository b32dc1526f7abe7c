"""keepalived, VRRP version 3: nodes that share one address, and a probe that sees who answers for it."""
import os
import re
import select
import signal
import socket
import struct
import subprocess
import time

from lab import LabError, wait_for
from measure import children

ADDRESS = "10.77.200.100"
CONFIG = """\
global_defs {{
    router_id node{index}
    vrrp_version 3
}}
vrrp_instance shared {{
    state BACKUP
    interface eth0
    virtual_router_id 77
    priority {priority}
    advert_int {interval_s}
    virtual_ipaddress {{
        {address}/16 dev eth0
    }}
}}
"""


class LogTail:
    """What is added to a log from now on."""

    def __init__(self, path):
        self.file = open(path, "rb")  # pylint: disable=consider-using-with
        self.file.seek(0, os.SEEK_END)
        self.rest = b""

    def lines(self):
        data = self.file.read()
        if not data:
            return []
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]

    def close(self):
        self.file.close()


class Keepalived:
    """One node: a keepalived in the foreground, in a namespace and a process group of its own."""

    def __init__(self, network, folder, index, interval_ms):
        self.name = f"keepalived{index}"
        self.space = network.space(self.name, f"10.77.200.{index}")
        self.mac = self.space.mac()
        self.path = os.path.join(folder, self.name)
        self.log_path = self.path + ".log"
        self.process, self.children = None, []
        # The highest priorities that may be configured: with them VRRP waits least (RFC 5798, Skew_Time).
        with open(self.path + ".conf", "w", encoding="ascii") as out:
            out.write(CONFIG.format(index=index, priority=255 - index, interval_s=interval_ms / 1000,
                                    address=ADDRESS))

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.space.wrap, "keepalived", "-n", "-l", "-D", "-P", "-f", self.path + ".conf", "-p",
                 self.path + ".pid", "-r", self.path + ".vrrp.pid"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    def wait(self):
        """Until all that was killed is gone, and forgotten: what lost its parent is ours to bury."""
        self.process.wait()
        for child in self.children:
            try:
                os.waitpid(child, 0)
            except ChildProcessError:
                pass
        self.process = None

    def signal(self, number):
        """To all its processes at once."""
        self.children = children(self.process.pid)[1:]
        os.killpg(self.process.pid, number)

    def state(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            found = re.findall(r"Entering (\w+) STATE", log.read())
        return found[-1] if found else None

    def stop(self):
        if not self.process or self.process.poll() is not None:
            return
        for number in (signal.SIGCONT, signal.SIGTERM):
            self.signal(number)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
        self.wait()


class Probe:
    """Asks the shared address every ms by ICMP; the answers tell by their MAC who sent them."""

    def __init__(self, space, every_s=0.001):
        self.every_s, self.next_s, self.sequence = every_s, 0.0, 0
        with space.inside():
            self.sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            self.receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
            self.receiver.bind(("eth0", 0x0800))
        self.receiver.setblocking(False)
        self.sender.setblocking(False)

    def sockets(self):
        return [self.receiver]

    def close(self):
        self.sender.close()
        self.receiver.close()

    def turn(self):
        """Ask if it is time; the MACs of those that have answered since the last turn."""
        now = time.monotonic()
        if now >= self.next_s:
            self.next_s = max(self.next_s + self.every_s, now)
            self.sequence = (self.sequence + 1) & 0xffff
            head = struct.pack("!BBHHH", 8, 0, 0, 0x7777, self.sequence)
            total = sum(struct.unpack("!4H", head))
            total = (total & 0xffff) + (total >> 16)
            try:
                self.sender.sendto(head[:2] + struct.pack("!H", ~total & 0xffff) + head[4:], (ADDRESS, 0))
            except OSError:
                pass  # nobody has the address just now
        found = []
        while select.select([self.receiver], [], [], 0)[0]:
            packet = self.receiver.recv(2048)
            if packet[23] == 1 and packet[26:30] == socket.inet_aton(ADDRESS) and packet[34] == 0:
                found.append(packet[6:12])
            try:
                self.sender.recv(2048)  # the same answer once more
            except BlockingIOError:
                pass
        return found


class Vrrp:
    """The nodes, highest priority first: without a fault the first is master."""

    def __init__(self, network, folder, count, interval_ms):
        self.nodes = [Keepalived(network, folder, n + 1, interval_ms) for n in range(count)]
        self.probe = Probe(network.space("probe", "10.77.200.200"))
        for node in self.nodes:
            node.start()

    def is_settled(self):
        ended = [n.name for n in self.nodes if n.process.poll() is not None]
        if ended:
            with open(self.nodes[0].log_path, encoding="utf-8", errors="replace") as log:
                raise LabError(f"{', '.join(ended)} ended: {log.read()[-500:]}")
        if [n.state() for n in self.nodes] != ["MASTER"] + ["BACKUP"] * (len(self.nodes) - 1):
            return False
        heard = []
        for _ in range(3):
            self.probe.turn()
            time.sleep(0.002)
            heard = self.probe.turn()
        return heard and set(heard) == {self.nodes[0].mac}

    def masters(self):
        return [n for n in self.nodes if n.state() == "MASTER"]

    def settle(self, timeout=20):
        wait_for("keepalived: the first node is master, and answers", self.is_settled, timeout, 0.02)

    def close(self):
        for node in self.nodes:
            node.stop()
        self.probe.close()
