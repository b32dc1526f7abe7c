"""Network namespaces on one bridge, for benchmarks that cut links.

A program that calls alone() first runs again in namespaces of its own (network, mounts, processes): what
it makes is not seen outside, and goes with it however it ends.  A node of the network is a namespace with
one link to the bridge; sockets are made in it by inside(), counters are read from it.
"""
import contextlib
import ctypes
import fcntl
import itertools
import os
import signal
import socket
import struct
import subprocess
import sys

from lab import LabError

PORTS = itertools.count()
ROUTER = "10.77.255.254"
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
ALONE = "RINGWAY_BENCH_ALONE"


def stop(*_):
    for number in (signal.SIGINT, signal.SIGTERM):  # once is enough: the end is not to be interrupted
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def die_with_parent():
    LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def run_inside(words):
    """Run a command that has one child and waits for it, itself deaf to signals: they go to the child.
    Returns its exit code."""
    process = subprocess.Popen(words, preexec_fn=die_with_parent)  # pylint: disable=subprocess-popen-preexec-fn

    def pass_on(number, _):
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as listing:
            for child in listing.read().split():
                os.kill(int(child), number)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    return process.wait()


def alone():
    """Run this program again in namespaces of its own.  Returns in the inner one, where /run is a file
    system in memory; the folder for the program's files.  Without root a user namespace is tried."""
    if os.environ.get(ALONE):
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        os.mkdir("/run/bench")
        return "/run/bench"
    words = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=SIGTERM", "--mount-proc"]
    if os.geteuid():
        words += ["--user", "--map-root-user"]
    done = subprocess.run([*words, "true"], stderr=subprocess.PIPE, check=False)
    if done.returncode:
        print("This needs namespaces of its own (root, or user namespaces that are allowed): "
              + done.stderr.decode("utf-8", "replace").strip(), file=sys.stderr)
        sys.exit(1)
    os.environ[ALONE] = "1"
    sys.exit(run_inside([*words, sys.executable, *sys.argv]))


def ip(*words):
    done = subprocess.run(["ip", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise LabError(f"ip {' '.join(words)}: {done.stdout.decode('utf-8', 'replace').strip()}")


class Space:
    """One namespace, with one link (eth0) and its addresses."""

    def __init__(self, network, name, addresses):
        self.name = f"rw{os.getpid()}-{name}"
        self.port = f"p{next(PORTS)}"  # the bridge's end; never one that is still being taken away
        self.wrap = ("ip", "netns", "exec", self.name)
        ip("netns", "add", self.name)
        network.spaces.append(self)
        ip("link", "add", self.port, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("link", "set", self.port, "master", network.bridge, "up")
        for address in addresses:
            ip("-n", self.name, "address", "add", address + ("/32" if network.is_routed else "/16"), "dev", "eth0")
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "link", "set", "eth0", "up")
        if network.is_routed:
            ip("-n", self.name, "route", "add", "default", "via", ROUTER, "dev", "eth0", "onlink")

    @contextlib.contextmanager
    def inside(self):
        """Sockets made here belong to this namespace, and stay there."""
        with open("/proc/self/ns/net", "rb") as own, open(f"/run/netns/{self.name}", "rb") as there:
            if LIBC.setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                LIBC.setns(own.fileno(), CLONE_NEWNET)

    def set_link(self, is_up):
        """The link goes down, or comes up again: one system call, no process in between."""
        with self.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            request = struct.pack("16sH14x", b"eth0", 0)
            flags = struct.unpack("16sH14x", fcntl.ioctl(s, SIOCGIFFLAGS, request))[1]
            flags = flags | IFF_UP if is_up else flags & ~IFF_UP
            fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"eth0", flags))

    def mac(self):
        with self.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            return fcntl.ioctl(s, 0x8927, struct.pack("16s16x", b"eth0"))[18:24]

    def counters(self, pid):
        """(bytes, packets), received and sent, of the link; @pid: of a process that lives there."""
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as table:
            for line in table:
                name, _, figures = line.partition(":")
                if name.strip() == "eth0":
                    figures = [int(word) for word in figures.split()]
                    return figures[0] + figures[8], figures[1] + figures[9]
        raise LabError(f"{self.name} has no eth0")


class Network:
    """The bridge, and all that hangs on it.

    @is_routed: the bridge routes between nodes.  The kernel keeps about a thousand neighbours for all
    namespaces together, which forty nodes that all know each other would fill.
    """

    def __init__(self, is_routed=False):
        self.is_routed = is_routed
        self.bridge, self.spaces = "bridge", []
        ip("link", "set", "lo", "up")
        ip("link", "add", self.bridge, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        ip("link", "set", self.bridge, "up")
        if is_routed:
            ip("address", "add", ROUTER + "/16", "dev", self.bridge)
            for name, value in (("ip_forward", "1"), ("conf/all/send_redirects", "0"),
                                (f"conf/{self.bridge}/send_redirects", "0")):
                with open(f"/proc/sys/net/ipv4/{name}", "w", encoding="ascii") as setting:
                    setting.write(value)

    def space(self, name, *addresses):
        return Space(self, name, addresses)

    def close(self):
        for space in self.spaces:
            subprocess.run(["ip", "netns", "delete", space.name], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "link", "delete", self.bridge], check=False, stderr=subprocess.DEVNULL)
