"""A laboratory of Ringway nodes on loopback: authorities, configurations, daemons.

Used by the demo, the end-to-end tests and the benchmarks.  Each node has an address of its own in
127.0.0.0/8, or (an island whose net holds a colon) under an IPv6 prefix that the test has put on an interface.  Everything lives in one folder; stop() ends every process that was started, by its id.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GLOBAL = "p2psip.global"
OVERLAY_PORT, GLOBAL_PORT, SIP_PORT, GATEWAY_PORT, PEER_PORT = 6084, 6085, 5060, 5061, 5062

CONFIG = """\
node "{name}" {{
  address   = "{ip}"
  state-dir = "{dir}/state"
}}
log-level = "{log_level}"
local-overlay "{overlay}" {{
  algorithm   = "{algorithm}"
  listen      = "{host}:{overlay_port}"
  bootstrap   = {{{bootstrap}}}
  credentials = "{dir}/local"
  {local_extra}
}}
global-overlay "{global_name}" {{
  listen      = "{host}:{global_port}"
  bootstrap   = {{{global_bootstrap}}}
  credentials = "{dir}/global"
}}
election {{
  candidate = {candidate}
  hello-interval = {hello_ms}
  hello-misses = 3
  threshold = 100
  {election_extra}
}}
sip {{
  listen         = {{"udp:{host}:{sip_port}", "tcp:{host}:{sip_port}"}}
  gateway-listen = "tls:{host}:{gateway_port}"
  peer-listen    = "tls:{host}:{peer_port}"
  authentication = "none"
  {sip_extra}
}}
control {{
  socket = "{dir}/control.sock"
  {control_extra}
}}
"""


class LabError(Exception):
    """Something did not come about; the text says what, with the last thing seen."""


def wait_for(what, question, timeout=20.0, pause=0.05):
    """Ask until the answer is true; returns it.  The last false answer is told on failure."""
    end = time.monotonic() + timeout
    seen = None
    while time.monotonic() < end:
        seen = question()
        if seen:
            return seen
        time.sleep(pause)
    raise LabError(f"{what}: not within {timeout:g} s (last seen: {seen!r})")


def quoted(items):
    return ", ".join(f'"{item}"' for item in items)


class Node:
    """One daemon."""

    def __init__(self, lab, island, index):
        self.lab, self.island = lab, island
        self.ip = f"{island.net}{index}" if ":" in island.net else f"{island.net}.{index}"
        self.host = f"[{self.ip}]" if ":" in self.ip else self.ip
        self.name = f"gw{index}.{island.site}"
        self.dir = os.path.join(lab.dir, f"{island.name}-{index}")
        self.socket = os.path.join(self.dir, "control.sock")
        self.log_path = os.path.join(self.dir, "log")
        self.config_path = os.path.join(self.dir, "ringway.conf")
        self.sip = f"{self.host}:{SIP_PORT}"
        self.process = None
        self.exit_codes = []

    def prepare(self, **options):
        os.makedirs(os.path.join(self.dir, "state"), exist_ok=True)
        self.lab.ctl_offline("ca", "issue", self.island.authority, "--address", self.ip, "--user",
                             f"{self.name}@{self.island.name}", "--out",
                             os.path.join(self.dir, "local"))
        self.lab.ctl_offline("ca", "issue", self.lab.authority, "--address", self.ip, "--user",
                             f"overlay@{self.island.name}", "--out",
                             os.path.join(self.dir, "global"))
        self.configure(**options)

    def configure(self, **options):
        island = self.island
        values = dict(name=self.name, ip=self.ip, host=self.host, dir=self.dir, overlay=island.name,
                      algorithm=island.algorithm, overlay_port=OVERLAY_PORT,
                      global_port=GLOBAL_PORT, sip_port=SIP_PORT, gateway_port=GATEWAY_PORT,
                      peer_port=PEER_PORT, global_name=GLOBAL, log_level=self.lab.log_level,
                      bootstrap=quoted(f"{n.host}:{OVERLAY_PORT}" for n in island.nodes),
                      global_bootstrap=quoted(f"{n.host}:{GLOBAL_PORT}" for n in self.lab.nodes()),
                      candidate="true", hello_ms=self.lab.hello_ms, local_extra="",
                      election_extra="", sip_extra="", control_extra="")
        values.update(self.lab.options)
        values.update(options)
        with open(self.config_path, "w", encoding="ascii") as out:
            out.write(CONFIG.format(**values))

    def start(self, wrap=()):
        environment = dict(os.environ, **self.lab.environment)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*wrap, self.lab.program("ringwayd"), "-c", self.config_path], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, env=environment)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def ctl(self, *words):
        """The parsed JSON of a ringwayctl command, None while the daemon does not answer.  What `status` tells is told while the
        overlay is not served, too."""
        done = subprocess.run([self.lab.program("ringwayctl"), "-s", self.socket, "--json", *words],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return json.loads(done.stdout) if done.returncode in (0, 1) and done.stdout.strip() else None

    def ctl_code(self, *words):
        return subprocess.run([self.lab.program("ringwayctl"), "-s", self.socket, *words],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode

    def ctl_text(self, *words):
        done = subprocess.run([self.lab.program("ringwayctl"), "-s", self.socket, *words],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.stdout.decode("utf-8", "replace")

    def local_state(self):
        if self.process is not None and self.process.poll() is not None:
            raise LabError(f"{self.name} ended with {self.process.returncode}: {self.log()[-300:]}")
        status = self.ctl("status")
        return status["local"]["state"] if status else "down"

    def role(self):
        status = self.ctl("status")
        return status["election"]["role"] if status else "down"

    def kill(self):
        """SIGKILL; its exit code is nobody's mistake."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def hang(self):
        """SIGSTOP; from the return on it does nothing, until SIGCONT."""
        self.process.send_signal(signal.SIGSTOP)
        folder = f"/proc/{self.process.pid}/task"

        def states():
            found = set()
            for task in os.listdir(folder):
                with open(f"{folder}/{task}/stat", encoding="ascii", errors="replace") as stat:
                    found.add(stat.read().rpartition(")")[2].split()[0])
            return found
        wait_for(f"{self.name} stands still", lambda: states() == {"T"}, 5, 0.001)

    def stop(self, timeout=15, is_told=False):
        """SIGTERM (unless it @is_told already) and wait; the exit code, killed after the timeout: -9."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            if not is_told:
                self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        code = self.process.returncode
        self.exit_codes.append(code)
        self.process = None
        return code

    def log(self):
        """What it has logged, without the times."""
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                return re.sub(r"^\d{4}-\d\d-\d\dT[\d:.]+Z ", "", log.read(), flags=re.M)
        except OSError:
            return ""


class Island:
    """One campus: an overlay and its nodes."""

    def __init__(self, lab, name, net, count, algorithm, site):
        self.lab, self.name, self.net, self.algorithm, self.site = lab, name, net, algorithm, site
        self.domain = f"{site}.{name}"
        self.authority = os.path.join(lab.dir, f"ca-{name}")
        self.nodes = [Node(lab, self, i + 1) for i in range(count)]

    def gateway(self):
        """The active gateway: the one that every running node of the island agrees on, else None."""
        found = set()
        for node in self.nodes:
            if not node.is_running():
                continue
            election = node.ctl("election")
            active = election and election.get("active")
            if not active:
                return None
            found.add(active["name"])
        if len(found) != 1:
            return None
        name = found.pop()
        for node in self.nodes:
            if node.name == name and node.is_running() and node.role() == "active":
                return node
        return None

    def others(self):
        """Running nodes that are not the gateway."""
        gateway = self.gateway()
        return [n for n in self.nodes if n.is_running() and n is not gateway]


class Lab:
    """Islands that share one global ring."""

    def __init__(self, build=None, folder=None, log_level="info", hello_ms=100, environment=None,
                 **options):
        self.build = build or os.environ.get("RINGWAY_BUILD") or os.path.join(ROOT, "build/release")
        self.dir = folder or tempfile.mkdtemp(prefix="ringway-lab-")
        self.authority = os.path.join(self.dir, "ca-global")
        self.log_level, self.hello_ms, self.options = log_level, hello_ms, options
        self.environment = environment or {}
        self.islands = []

    def program(self, name):
        return os.path.join(self.build, name)

    def nodes(self):
        return [n for island in self.islands for n in island.nodes]

    def ctl_offline(self, *words):
        done = subprocess.run([self.program("ringwayctl"), *words], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise LabError(f"ringwayctl {' '.join(words)}: {done.stdout.decode()}")

    def island(self, name, net, count=3, algorithm="chord", site="site"):
        island = Island(self, name, net, count, algorithm, site)
        self.islands.append(island)
        return island

    def prepare(self, **options):
        """Authorities, certificates and configurations of all islands."""
        self.ctl_offline("ca", "init", self.authority, "--overlay", GLOBAL)
        for island in self.islands:
            self.ctl_offline("ca", "init", island.authority, "--overlay", island.name)
        for node in self.nodes():
            node.prepare(**options)

    def start(self):
        for node in self.nodes():
            node.start()

    def wait_joined(self, timeout=30):
        """Every running node has joined its overlay, and each island agrees on a gateway in the ring."""
        for node in self.nodes():
            if node.process is not None:  # one that has ended by itself is told by local_state
                wait_for(f"{node.name}@{node.island.name} joins",
                         lambda n=node: n.local_state() in ("joined", "alone"), timeout)
        for island in self.islands:
            self.wait_gateway(island, timeout)
        for island in self.islands:
            for other in self.islands:
                if other is not island:
                    self.wait_resolves(self.wait_gateway(island, timeout), f"sip:overlay@{other.name}", timeout)

    def wait_gateway(self, island, timeout=30):
        gateway = wait_for(f"{island.name} elects a gateway", island.gateway, timeout)

        def in_ring():
            status = gateway.ctl("status")
            return status and status["global"] and status["global"]["state"] in ("joined", "alone")
        wait_for(f"{gateway.name} is in the ring", in_ring, timeout)
        return gateway

    def wait_resolves(self, node, uri, timeout=20):
        """A node finds contacts of a URI."""
        def question():
            found = node.ctl("resolve", uri)
            return found if found and found.get("contacts") else None
        return wait_for(f"{node.name} resolves {uri}", question, timeout)

    def stop(self, keep=False):
        """End every daemon gracefully; returns {node: exit code}."""
        for node in self.nodes():
            if node.is_running():
                node.process.send_signal(signal.SIGTERM)
        codes = {f"{n.island.name}/{n.name}": n.stop(is_told=True) for n in self.nodes()}
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)
        return codes
