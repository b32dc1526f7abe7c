#!/usr/bin/env python3
"""Who a certificate is of, what it is good for and until when: one judgement on links and in SIP; and what a
member may not bring about with a good one."""
import os
import socket
import ssl
import stat
import subprocess
import sys
import time

from common import Tests, lab_of
from lab import GATEWAY_PORT, GLOBAL_PORT, OVERLAY_PORT, PEER_PORT, LabError, wait_for
from test_trust import Spy

ISLANDS = [("east", "127.80.12", 2), ("west", "127.80.13", 1)]
AEAD, CBC = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA"
NAMES = "critical,URI:reload://0110{node}@p2psip.global/,email:overlay@west,URI:sip:west"
GOOD = {"subjectAltName": NAMES, "basicConstraints": "critical,CA:FALSE",
        "keyUsage": "critical,digitalSignature", "extendedKeyUsage": "serverAuth,clientAuth"}


def tls_to(node, port, folder, ciphers=None):
    """A TLS connection that the other side has agreed to, or the reason why it has not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # its handshake ends with the server's word
    if ciphers:
        context.set_ciphers(ciphers)
    raw = socket.create_connection((node.ip, port), timeout=10)
    try:
        return context.wrap_socket(raw), None
    except (ssl.SSLError, OSError) as error:
        raw.close()
        return None, str(error)


def is_closed(connection):
    connection.settimeout(0.2)
    try:
        return connection.recv(1) == b""
    except (TimeoutError, socket.timeout):
        return False
    except OSError:
        return True


class Forger:
    """Certificates of the real authority of the ring that no ringwayctl would issue."""

    def __init__(self, lab, spy):
        self.lab, self.count = lab, 0
        self.node = next(part for part in openssl("x509", "-in", f"{spy.ring}/cert.pem", "-noout", "-text").split()
                         if "reload://" in part).split("reload://0110")[1][:32]

    def make(self, **changes):
        self.count += 1
        out = os.path.join(self.lab.dir, f"forged-{self.count}")
        os.mkdir(out)
        with open(f"{out}/extensions", "w", encoding="ascii") as file:
            for name, value in {**GOOD, **changes}.items():
                if value:
                    file.write(f"{name}={value.format(node=self.node)}\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/",
                "-keyout", f"{out}/key.pem", "-out", f"{out}/request.pem")
        openssl("x509", "-req", "-in", f"{out}/request.pem", "-CA", f"{self.lab.authority}/ca.pem",
                "-CAkey", f"{self.lab.authority}/ca-key.pem", "-CAcreateserial", "-days", "1",
                "-extfile", f"{out}/extensions", "-out", f"{out}/cert.pem")
        return out


def openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise LabError(f"openssl {arguments[0]}: {done.stderr.decode()}")
    return done.stdout.decode()


def serial_of(folder):
    return openssl("x509", "-in", f"{folder}/cert.pem", "-noout", "-serial").strip().split("=")[1]


def terms(lab):
    return {node.name + node.island.name: node.ctl("election")["term"] for node in lab.nodes()}


def hello_raises_nothing(lab, spy):
    """A term that a plain member says is nobody's, and the log does not fill up."""
    before = terms(lab)
    for node in lab.islands[0].nodes:
        for term in (2, 5000, 2 ** 31, 2 ** 32 - 1):
            text = spy.do("hello", node, count=term)
            if not text.startswith("answer exp_a_ans"):
                raise LabError(f"HELLO: {text}")
    end = time.monotonic() + 9  # records are read every 5 s, and whoever believes it waits for one
    while time.monotonic() < end:
        if terms(lab) != before:
            raise LabError(f"terms {before} became {terms(lab)}")
        time.sleep(0.2)


def reset_is_for_high_terms(lab):
    gateway = next(n for n in lab.islands[0].nodes if n.ctl("election")["role"] == "active")
    text = gateway.ctl_text("election", "reset-term")
    if "nothing to reset" not in text:
        raise LabError(f"reset-term: {text}")


def bad_signatures(lab, spy):
    """Three, then the link is gone, and the next is not let in."""
    node = lab.islands[1].nodes[0]
    folder = spy.issue("spy-west", lab.islands[1].authority, "spy.site@west")
    text = spy.do("broken-signatures", node, folder=folder, count=20, ms=300)
    if text.count("silent") > 3 or "closed" not in text:
        raise LabError(f"the intruder says {text!r}")
    if "spy.site@west" not in node.log() or "bad signatures" not in node.log():
        raise LabError(f"not named in the log:\n{node.log()[-1000:]}")
    again = spy.do("ping", node, folder=folder, ms=500)
    if "answer" in again:
        raise LabError(f"let in again: {again!r}")


def suites(lab, spy):
    node = lab.islands[0].nodes[0]
    for port, folder in ((OVERLAY_PORT, spy.local), (PEER_PORT, spy.local), (GATEWAY_PORT, spy.ring)):
        connection, reason = tls_to(node, port, folder, AEAD)
        if not connection:
            raise LabError(f"port {port}: {reason}")
        connection.close()
        connection, _ = tls_to(node, port, folder, CBC)
        if connection:
            raise LabError(f"port {port}: {connection.cipher()}")


def judgement(lab, spy):
    """The same certificates are refused on the ring's link and between gateways."""
    forger = Forger(lab, spy)
    node = lab.islands[0].nodes[0]
    for port in (GLOBAL_PORT, GATEWAY_PORT):
        connection, reason = tls_to(node, port, forger.make())
        if not connection:
            raise LabError(f"port {port}: a good one is refused: {reason}")
        connection.close()
        for change in ({"subjectAltName": NAMES + ",URI:sip:east"},
                       {"subjectAltName": NAMES.replace("sip:west", "sip:east")},
                       {"subjectAltName": NAMES + ",email:overlay@east"},
                       {"subjectAltName": NAMES + ",URI:reload://011000112233445566778899aabbccddeeff@p2psip.global/"},
                       {"subjectAltName": "critical,email:overlay@west,URI:sip:west"},
                       {"extendedKeyUsage": "clientAuth"}, {"extendedKeyUsage": "emailProtection"},
                       {"basicConstraints": "critical,CA:TRUE"}, {"keyUsage": "critical,keyEncipherment"},
                       {"keyUsage": "critical,digitalSignature,keyCertSign"}):
            connection, _ = tls_to(node, port, forger.make(**change))
            if connection:
                raise LabError(f"port {port}: let in with {change}")


def revoked(lab, spy):
    node = lab.islands[0].nodes[0]
    stays, _ = tls_to(node, GATEWAY_PORT, lab.islands[1].nodes[0].dir + "/global")
    ends, reason = tls_to(node, GATEWAY_PORT, spy.ring)
    peer, _ = tls_to(node, PEER_PORT, spy.local)
    if not stays or not ends or not peer:
        raise LabError(f"refused before: {reason}")
    files = [os.path.join(node.dir, part, "revoked") for part in ("global", "local")]
    for path, folder in zip(files, (spy.ring, spy.local)):
        with open(path, "w", encoding="ascii") as file:
            file.write(f"# who is out\n{serial_of(folder).lower()}  # the spy\n")
    node.ctl_text("reload")
    wait_for("the revoked one's connections end", lambda: is_closed(ends) and is_closed(peer), 5)
    if is_closed(stays):
        raise LabError("another gateway's connection ended, too")
    for port, folder in ((GATEWAY_PORT, spy.ring), (PEER_PORT, spy.local), (OVERLAY_PORT, spy.local)):
        if tls_to(node, port, folder)[0]:
            raise LabError(f"port {port}: let in though revoked")
    with open(files[0], "a", encoding="ascii") as file:
        file.write("not a number\n")
    text = node.ctl_text("reload")
    if "revoked:3" not in text:
        raise LabError(f"reload: {text}")
    if tls_to(node, GATEWAY_PORT, spy.ring)[0]:
        raise LabError("a mistake in the file lets everybody in")
    for path in files:
        os.unlink(path)
    node.ctl_text("reload")
    if not tls_to(node, GATEWAY_PORT, spy.ring)[0]:
        raise LabError("revoked no more, and still refused")


def private_files(lab):
    for node in lab.nodes():
        state = os.path.join(node.dir, "state")
        if stat.S_IMODE(os.stat(state).st_mode) != 0o700:
            raise LabError(f"{state}: mode {os.stat(state).st_mode:o}")
        for name in os.listdir(state):
            mode = os.lstat(os.path.join(state, name)).st_mode
            if stat.S_ISREG(mode) and stat.S_IMODE(mode) != 0o600:
                raise LabError(f"{state}/{name}: mode {mode:o}")


def main():
    tests = Tests()
    with lab_of(tests, ISLANDS) as lab:
        tests.run("the state of a node is its own", private_files, lab)
        spy = Spy(lab)
        tests.run("a HELLO raises no term", hello_raises_nothing, lab, spy)
        tests.run("reset-term is for high terms", reset_is_for_high_terms, lab)
        tests.run("a sender of bad signatures loses its link", bad_signatures, lab, spy)
        tests.run("no cipher suite with CBC", suites, lab, spy)
        tests.run("one judgement of certificates", judgement, lab, spy)
        tests.run("revoked certificates", revoked, lab, spy)
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
