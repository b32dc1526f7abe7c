"""What the tests of certificates that end share: certificates for some seconds, and a gateway that loses its own."""
import datetime
import os
import socket
import subprocess
import time

from common import Tests, lab_of
from lab import GATEWAY_PORT, GLOBAL_PORT, OVERLAY_PORT, PEER_PORT, LabError, wait_for
from agent import Agent, final_of

LIFE_S, STAYS_OUT_S, LATE_S = 10, 3, 12

CA = """[ca]
default_ca = own
[own]
new_certs_dir = {dir}
database = {dir}/index
default_md = sha256
policy = any
copy_extensions = copyall
unique_subject = no
rand_serial = yes
[any]
commonName = optional
"""


def openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise LabError(f"openssl {arguments[0]}: {done.stderr.decode()}")


def stamp(seconds):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.strftime("%Y%m%d%H%M%SZ")


def renew(node, side, authority, life_s):
    """The same certificate again, for @life_s seconds, in place of the one in the folder."""
    folder = os.path.join(node.dir, side)
    work = os.path.join(node.dir, f"{side}-ca")
    os.makedirs(work, exist_ok=True)
    with open(f"{work}/index", "w", encoding="ascii"):
        pass
    with open(f"{work}/conf", "w", encoding="ascii") as out:
        out.write(CA.format(dir=work))
    openssl("x509", "-x509toreq", "-copy_extensions", "copyall", "-in", f"{folder}/cert.pem", "-signkey",
            f"{folder}/key.pem", "-out", f"{work}/request")
    openssl("ca", "-batch", "-config", f"{work}/conf", "-cert", f"{authority}/ca.pem", "-keyfile",
            f"{authority}/ca-key.pem", "-in", f"{work}/request", "-out", f"{work}/cert.pem", "-notext", "-startdate",
            stamp(-60), "-enddate", stamp(life_s))
    os.replace(f"{work}/cert.pem", f"{folder}/cert.pem")


def reload(node):
    if node.ctl("reload") is None:
        raise LabError(f"{node.name}: {node.ctl_text('reload')}")


def shown(node, port, side):
    """The serial number of the certificate that a TLS port of the node shows."""
    folder = os.path.join(node.dir, side)
    done = subprocess.run(["openssl", "s_client", "-connect", f"{node.ip}:{port}", "-cert", f"{folder}/cert.pem",
                           "-key", f"{folder}/key.pem"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=10, check=False)
    done = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=done.stdout, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    return done.stdout.decode().strip()


def serial_of(node, side):
    done = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", os.path.join(node.dir, side, "cert.pem")],
                          stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().strip()


class Calls:
    """A phone of each overlay; east's is at a node whose certificates are good."""

    def __init__(self, net, near, far):
        self.near = Agent(f"{net}.1", "al", near.island.domain, near.sip)
        self.far = Agent(f"{net}.2", "bob", far.island.domain, far.sip)
        self.near.register()
        self.far.register()

    def out(self):
        return final_of(self.near, self.far.uri, self.far).status

    def back(self):
        return final_of(self.far, self.near.uri, self.near).status

    def close(self):
        self.near.close()
        self.far.close()


def metrics(node):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(node.socket)
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts).decode()


def has_ended(node):
    status = node.ctl("status")
    return status and "has ended" in (status["election"]["trouble"] or "")


def role_goes_on(lab, east, calls, side, authority):
    """Calls pass all the while; the node that had the role is none that claims."""
    gateway = wait_for("all agree on a gateway", east.gateway)
    renew(gateway, side, authority, LIFE_S)
    reload(gateway)
    statuses = []

    def is_over():
        statuses.append(calls.out())
        statuses.append(calls.back())
        return has_ended(gateway)
    wait_for("the certificate ends", is_over, LIFE_S + LATE_S, 0.02)
    end = time.monotonic() + STAYS_OUT_S
    while time.monotonic() < end:
        statuses.append(calls.out())
        if gateway.role() != "observer":
            raise LabError(f"without a certificate it is {gateway.role()}")
    wrong = [status for status in statuses if status != 200]
    if wrong or len(statuses) < 20:
        raise LabError(f"of {len(statuses)} calls were not answered: {wrong}")
    log = gateway.log()
    for text in ("warn: daemon: " + gateway.dir, "error: daemon: " + gateway.dir, "hand over to"):
        if text not in log:
            raise LabError(f"not in its log: {text}")
    if "ends in 0 min" not in log:
        raise LabError("the warning says no time")
    return gateway


def comes_back(lab, east, calls, node, side, authority):
    """By reload, without a new start."""
    renew(node, side, authority, 86400)
    reload(node)
    ports = (GLOBAL_PORT, GATEWAY_PORT) if side == "global" else (OVERLAY_PORT, PEER_PORT)
    wait_for("its ports show the new one",
             lambda: {shown(node, port, side) for port in ports} == {serial_of(node, side)}, 10, 0.2)
    wait_for("it is a candidate again", lambda: node.role() == "candidate", 20)
    wait_for("it has its overlay again", lambda: node.local_state() == "joined", 20)
    left = [c["left_s"] for c in node.ctl("status")["certificates"]]
    if min(left) < 80000:
        raise LabError(f"certificates end in {left} s")
    active = wait_for("all agree on a gateway", east.gateway, 30)
    wait_for("it takes the role again", lambda: active.ctl("election", "handover", node.name) is not None, 20, 0.5)
    wait_for("it is gateway", lambda: node.role() == "active", 10)
    wait_for("the ring has it", lambda: (node.ctl("status")["ring"] or {}).get("published"), 20)
    wrong = [status for status in (calls.out(), calls.back(), calls.out()) if status != 200]
    if wrong:
        raise LabError(f"calls through it: {wrong}")


def run(islands, net, side, what, further=None):
    """@side's certificate of the first of two islands' gateway ends and is made anew; @further(tests, lab, calls) follows."""
    tests = Tests()
    with lab_of(tests, islands) as lab:
        east, west = lab.islands
        authority = lab.authority if side == "global" else east.authority
        gateway = wait_for("all agree on a gateway", east.gateway)
        others = [node for node in east.nodes if node is not gateway]
        calls = Calls(net, others[-1], west.nodes[0])
        try:
            ended = []
            tests.run(f"the certificate of the {what} ends",
                      lambda: ended.append(role_goes_on(lab, east, calls, side, authority)))
            if ended:
                tests.run("a new one is taken in", comes_back, lab, east, calls, ended[0], side, authority)
            if further:
                further(tests, lab, calls)
        finally:
            calls.close()
    return tests.end()
