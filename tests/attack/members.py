"""The attacks of hostile members: good certificates, bad deeds (tests/e2e/intruder.c), and bad certificates (see deeds.py)."""
import os
import socket
import ssl
import subprocess
import time

from deeds import at_most
from floods import raw
from lab import GATEWAY_PORT, GLOBAL, GLOBAL_PORT, OVERLAY_PORT, PEER_PORT, LabError, wait_for
from test_identity import CBC, NAMES, Forger, is_closed, serial_of, tls_to
from agent import Agent

SPY, SECOND_SPY = "127.91.8.1", "127.91.8.2"
RECORDS = 4000  # max-records of west's nodes


class Spies:
    """What hostile members hold: certificates of the real authorities for addresses that no daemon has."""

    def __init__(self, lab):
        self.lab = lab
        east, west = lab.islands
        self.local = self.issue("spy-local", east.authority, "spy.site@east")
        self.second = self.issue("spy-second", east.authority, "second.site@east", SECOND_SPY)
        self.bad = self.issue("spy-bad", east.authority, "bad.site@east", SECOND_SPY)
        self.west = self.issue("spy-west", west.authority, "spy.site@west")
        self.ring = self.issue("spy-ring", lab.authority, "overlay@west")
        self.program = os.path.join(lab.intruders, "tests/e2e/intruder")
        self.deeds = subprocess.run([self.program, "deeds"], stdout=subprocess.PIPE, check=True).stdout.decode().split()

    def issue(self, name, authority, user, address=SPY):
        out = os.path.join(self.lab.dir, name)
        self.lab.ctl_offline("ca", "issue", authority, "--address", address, "--user", user, "--out", out)
        return out

    def do(self, deed, node, is_ring=False, folder=None, address=SPY, **options):
        """One deed against a node; what came of it."""
        overlay, port = (GLOBAL, GLOBAL_PORT) if is_ring else (node.island.name, OVERLAY_PORT)
        folder = folder or (self.ring if is_ring else self.local)
        done = subprocess.run([self.program, deed, folder, overlay, address, f"{node.ip}:{port}", *(f"{k}={v}" for k, v in options.items())],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
        text = done.stdout.decode("utf-8", "replace").strip()
        if done.returncode:
            raise LabError(f"intruder {deed}: exit {done.returncode}: {text}")
        self.lab.notes.append(f"{deed}{' (ring)' if is_ring else ''} at {node.name}: {text.splitlines()[-1][:90] if text else ''}")
        return text


def same_gateways(lab, before):
    for node, (term, gateway) in before.items():
        now = node.ctl("election")
        if now["term"] > term + 100 or now["active"]["name"] != gateway:
            raise LabError(f"{node.name}: term {term}, gateway {gateway} became {now['term']}, {now['active']['name']}")


def gateways(lab):
    found = {}
    for node in lab.nodes():
        now = node.ctl("election")
        found[node] = (now["term"], now["active"]["name"])
    return found


def terms(lab):
    """A5: claims, HELLOs and records with the highest term there is, in one's own name and in the gateway's; HELLOs again."""
    spies, before, east = lab.spies, gateways(lab), lab.islands[0]
    of_gateway = f"{os.path.join(east.gateway().dir, 'global')},{GLOBAL}"
    for node in east.nodes:
        for term in (2, 5000, 2 ** 31, 2 ** 32 - 1):
            spies.do("hello", node, count=term)
        spies.do("claim", node)
        spies.do("claim", node, other=f"{spies.ring},{GLOBAL}")
        spies.do("claim-for-another", node, other=of_gateway)
        spies.do("handover", node, count=before[node][0])
        spies.do("store-gateway-record", node, under="overlay@east")
        spies.do("store-gateway-record", node, under="overlay@east", other=of_gateway)
        text = spies.do("replayed", node, count=5, ms=500, under="east", other=f"{east.others()[1].dir}/local,east")
        if "answer" in text:
            raise LabError(f"{node.name}: a HELLO is taken from who did not send it: {text}")
    time.sleep(6)  # records are read every 5 s
    same_gateways(lab, before)


def full_store(lab):
    """A7: one certificate fills the store of west and stores in the ring; phones that were there and new ones register."""
    west = lab.islands[1]
    for node in west.nodes[:2]:
        text = lab.spies.do("fill", node, folder=lab.spies.west, under="site.west", count=RECORDS)
        if "Data_Too_Large 0," in text:
            raise LabError(f"no share is kept: {text}")
    lab.spies.do("fill", lab.islands[0].gateway(), True, under="overlay@west", count=200)
    lab.spies.do("store-copy", lab.islands[0].gateway(), True, under="mallory@site.east")
    for number in range(10):
        phone = Agent(f"{SPY.rsplit('.', 1)[0]}.{10 + number}", f"late{number}", west.domain, west.nodes[number % 3].sip)
        phone.register()
        phone.register(expires=0)
        phone.close()


def replica_stores(lab):
    """A9: copies from who is no replica, at each node, in one's own name and in another's."""
    for node in lab.islands[0].nodes:
        for under in ("mallory@site.east", "target@site.east", "a0@site.east"):
            text = lab.spies.do("store-copy", node, under=under)
            if text.startswith("answer"):
                raise LabError(f"{node.name} takes a stranger's copy")
        lab.spies.do("store-foreign-copy", node, True, under="overlay@east")
        lab.spies.do("store-foreign-key", node, True, under="overlay@west", id=node.ctl("status")["node"]["node_id"])
        lab.spies.do("store-broken-value", node, True, under="overlay@west")


def names_of_others(lab):
    """A10: Joins, Leaves and messages in another's name; Attach to an address outside; a second certificate for a living node's address."""
    spies, east = lab.spies, lab.islands[0]
    gateway, (node, other) = east.gateway(), east.others()
    its_id = other.ctl("status")["node"]["node_id"]
    outside = socket.create_server(("127.91.7.9", 0))
    outside.settimeout(0.1)
    for at in (gateway, node):
        spies.do("join-for-another", at, id=its_id)
        spies.do("leave-for-another", at, id=its_id)
        spies.do("wrong-node-id", at, other=f"{os.path.join(other.dir, 'local')},east", ms=500)
        spies.do("attach-elsewhere", at, under="127.91.7.9:%d" % outside.getsockname()[1], count=5, ms=500)
    second = spies.issue("spy-address", east.authority, "usurper.site@east", node.ip)
    for deed in ("ping", "hello", "attach-elsewhere"):
        spies.do(deed, gateway, folder=second, under=f"{node.ip}:{OVERLAY_PORT}", count=3, ms=500)
    try:
        came = outside.accept()[1]
        raise LabError(f"a node connects to where an Attach says: {came}")
    except socket.timeout:
        pass
    finally:
        outside.close()
    wait_for("the node is still a neighbour", lambda: node.local_state() == "joined", 5)


def routes_and_fragments(lab):
    """A10: destination lists of 90 entries, beginnings without ends, bad signatures."""
    spies, east = lab.spies, lab.islands[0]
    gateway, (node, other) = east.gateway(), east.others()
    its_id = other.ctl("status")["node"]["node_id"]
    for at in (gateway, node):
        spies.do("rounds", at, id=its_id, other=f"{os.path.join(gateway.dir, 'local')},east")
        text = spies.do("beginnings", at, under="east", count=300, other=f"{spies.second},east")
        if text != "other link: answer\nsame link: answer":
            raise LabError(f"beginnings without ends: {text}")
        spies.do("broken-signatures", at, folder=spies.bad, address=SECOND_SPY, count=20, ms=300)
        spies.do("wrong-overlay", at, ms=300)
        spies.do("unsigned", at, ms=300)


def noise(lab):
    """Mutated, truncated and oversized messages and frames, deaf and silent links, in overlay and ring."""
    spies, east = lab.spies, lab.islands[0]
    gateway, (node, _) = east.gateway(), east.others()
    its_id = node.ctl("status")["node"]["node_id"]
    for is_ring in (False, True):
        for deed in ("mutated", "mutated-signed", "mutated-frames", "truncated", "fragments"):
            spies.do(deed, gateway, is_ring, id=its_id, count=1000)
        for deed in ("oversize", "unknown-frame", "unsent-acknowledged", "no-certificate", "no-tls"):
            spies.do(deed, gateway, is_ring, ms=500)
        spies.do("deaf", gateway, is_ring, count=20000, ms=500)
        spies.do("half-open", gateway, is_ring, count=300, ms=500)


def odd_certificates(lab):
    """A11: TLS to each port of the nodes with certificates of the real authority that no one should take, without any, with CBC, with
    half a handshake; then with one that is revoked."""
    spies, node = lab.spies, lab.islands[0].others()[0]
    forger = Forger(lab, spies)
    odd = [forger.make(**change) for change in (
        {"subjectAltName": NAMES + ",URI:sip:east"}, {"subjectAltName": NAMES.replace("sip:west", "sip:east")},
        {"subjectAltName": NAMES + ",email:overlay@east"}, {"subjectAltName": "critical,email:overlay@west,URI:sip:west"},
        {"subjectAltName": NAMES + ",URI:reload://011000112233445566778899aabbccddeeff@p2psip.global/"},
        {"extendedKeyUsage": "emailProtection"}, {"basicConstraints": "critical,CA:TRUE"}, {"keyUsage": "critical,keyEncipherment"})]
    for port in (PEER_PORT, GATEWAY_PORT, OVERLAY_PORT, GLOBAL_PORT):
        for folder in odd:
            let_in(node, port, folder, "an odd certificate")
        let_in(node, port, spies.local if port in (PEER_PORT, OVERLAY_PORT) else spies.ring, "CBC", CBC)
        half = socket.create_connection((node.ip, port), 3, source_address=(SPY, 0))
        half.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100)
        half.close()
    revoked(lab, node)


def let_in(node, port, folder, what, ciphers=None):
    connection, _ = tls_to(node, port, folder, ciphers)
    if connection:
        connection.close()
        raise LabError(f"{node.name}, port {port}: let in with {what}")


def revoked(lab, node):
    files = [os.path.join(node.dir, part, "revoked") for part in ("global", "local")]
    open_before = [tls_to(node, GATEWAY_PORT, lab.spies.ring)[0], tls_to(node, PEER_PORT, lab.spies.local)[0]]
    for path, folder in zip(files, (lab.spies.ring, lab.spies.local)):
        with open(path, "w", encoding="ascii") as file:
            file.write(serial_of(folder).lower() + "\n")
    try:
        node.ctl_text("reload")
        wait_for("the revoked one's connections end", lambda: all(one and is_closed(one) for one in open_before), 5)
        for port, folder in ((GATEWAY_PORT, lab.spies.ring), (PEER_PORT, lab.spies.local), (OVERLAY_PORT, lab.spies.local)):
            let_in(node, port, folder, "a revoked certificate")
    finally:
        for path in files:
            os.unlink(path)
        node.ctl_text("reload")


def sip_of_members(lab):
    """A10, A13: SIP over TLS by a member that is no gateway, and by another overlay's: for foreign users, to addresses, with Gateway-Term."""
    for node in lab.islands[0].nodes:
        for port, folder in ((PEER_PORT, lab.spies.local), (GATEWAY_PORT, lab.spies.ring)):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
            with context.wrap_socket(socket.create_connection((node.ip, port), 3, source_address=(SPY, 0))) as one:
                for method in ("INVITE", "MESSAGE", "UPDATE", "BYE", "REGISTER"):
                    for uri in ("sip:a0@site.east", "sip:target@site.west", "sip:x@127.91.7.1:9"):
                        for domain in ("site.east", "site.west", "nowhere.example"):
                            one.sendall(raw(method, uri, f"{SPY}:5062", domain=domain, transport="TLS", extra="Gateway-Term: 4000000000\r\nNode-ID: x\r\n",
                                            to_tag=";tag=x" if method in ("UPDATE", "BYE") else ""))
                one.settimeout(1)
                got = 0
                try:
                    while len(one.recv(65536)):
                        got += 1
                except OSError:
                    pass
                at_most("reads", got, 10000)
