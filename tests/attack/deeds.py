"""The attacks: each is a function of the laboratory that takes some seconds and raises LabError where it sees for itself that it has
succeeded.  What it does to others is seen by the honest phones (honest.py)."""
import os
import random
import shutil
import socket
import ssl
import subprocess
import time

from agent import Agent, establish
from lab import GATEWAY_PORT, GLOBAL, GLOBAL_PORT, OVERLAY_PORT, PEER_PORT, LabError, wait_for

FLOODS = "127.91.9"
SPY = "127.91.8.1"


# ---- small things ---------------------------------------------------------------------------------------------------

def raw(method, uri, me, via=None, extra="", body="", user="mallory", domain="site.east", to_tag="", branch=None, call_id=None, tag=None, cseq=1,
        transport="UDP"):
    n = f"{random.getrandbits(48):x}"
    via = via or f"SIP/2.0/{transport} {me};rport"
    return (f"{method} {uri} SIP/2.0\r\nVia: {via};branch={branch or 'z9hG4bK' + n}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:{user}@{domain}>;tag={tag or n}\r\nTo: <{uri}>{to_tag}\r\nCall-ID: {call_id or n}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:{user}@{me}>\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}").encode()


def udp(ip=f"{FLOODS}.1"):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((ip, 0))
    return one, "%s:%d" % one.getsockname()


def sip_of(node):
    host, port = node.sip.split(":")
    return host, int(port)


def paced(seconds, rate, send):
    """Call send(i) @rate times a second."""
    begin = time.monotonic()
    count = int(seconds * rate)
    for i in range(count):
        send(i)
        ahead = begin + (i + 1) / rate - time.monotonic()
        if ahead > 0.002:
            time.sleep(ahead)
    return count


def intruder(lab, deed, node, is_ring=False, folder=None, **options):
    """One deed of a hostile member (tests/e2e/intruder.c); what it says."""
    program = os.path.join(lab.intruders, "tests/e2e/intruder")
    overlay, port = (GLOBAL, GLOBAL_PORT) if is_ring else (node.island.name, OVERLAY_PORT)
    folder = folder or (lab.spy_ring if is_ring else lab.spy_local)
    done = subprocess.run([program, deed, folder, overlay, SPY, f"{node.ip}:{port}", *(f"{k}={v}" for k, v in options.items())],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
    return done.stdout.decode("utf-8", "replace").strip()


# ---- phones -----------------------------------------------------------------------------------------------------------

def unanswerable(lab):
    """Requests whose top Via nobody can be answered at, and their ACKs."""
    vias = ("SIP/2.0/UDP 1.2.3.4:0", "SIP/2.0/UDP 1.2.3.4;maddr=255.255.255.255", "SIP/2.0/UDP 1.2.3.4;maddr=240.0.0.1", "SIP/2.0/UDP 0.0.0.0",
            "SIP/2.0/UDP 224.0.0.1", "SIP/2.0/UDP 255.255.255.255:5060", "SIP/2.0/UDP 1.2.3.4:65536", "SIP/2.0/UDP [::1]:0", "SIP/2.0/TCP 1.2.3.4:0")
    one, me = udp()
    for node in lab.nodes():
        for via in vias:
            for uri in ("sip:nobody@site.east", "sip:nobody@site.west", "sip:nobody@nowhere.example"):
                names = dict(via=via, branch=f"z9hG4bK{random.getrandbits(40):x}", call_id=f"{random.getrandbits(40):x}", tag="t")
                one.sendto(raw("INVITE", uri, me, **names), sip_of(node))
                time.sleep(0.03)
                one.sendto(raw("ACK", uri, me, to_tag=";tag=x", **names), sip_of(node))
    one.close()


def header_injection(lab):
    """Users whose names hold line ends, through every node to the other overlay."""
    names = ("a%0D%0AX-Evil:%20yes", "a%3E%0D%0A%0D%0ABYE%20sip:x@site.west%20SIP/2.0%0D%0Al:60000%0D%0A%0D%0A", "a%0A", "a%0D%0AContent-Length:%2090000%0D%0A",
             "%00", "a%7F", "a%22%3E", "a%09b")
    one, me = udp()
    for node in lab.nodes():
        for name in names:
            for method in ("MESSAGE", "INVITE", "OPTIONS", "SUBSCRIBE"):
                one.sendto(raw(method, "sip:target@site.west", me, user=name), sip_of(node))
                one.sendto(raw(method, f"sip:{name}@site.west", me), sip_of(node))
                time.sleep(0.01)
    one.close()


def contact_of_another(lab):
    """mallory's contact is somebody else's address of record, or the node itself."""
    east, west = lab.islands
    for island in (east, west):
        for node in island.nodes:
            mallory = Agent(f"{FLOODS}.2", "mallory", island.domain, node.sip, "tcp")
            for contact in (f"sip:target@{island.domain}", f"sip:target@{island.domain.upper()}", f"sip:target@{node.sip}", f"sip:t%61rget@{island.domain}:5060"):
                mallory.last_cseq += 1
                mallory.write("REGISTER", f"sip:{island.domain}", [
                    ("Via", mallory._via()), ("Max-Forwards", "70"), ("From", f"<{mallory.uri}>;tag=x"), ("To", f"<{mallory.uri}>"),
                    ("Call-ID", mallory.registration), ("CSeq", f"{mallory.last_cseq} REGISTER"), ("Contact", f"<{contact}>"), ("Expires", "120")])
                mallory.expect("an answer", lambda m: m.is_response and m.method == "REGISTER")
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                mallory.poll(0.2)
            if any(m.method == "INVITE" and not m.is_response for m in mallory.waiting):
                raise LabError("mallory was called in another's place")
            mallory.close()


def take_over_by_header(lab):
    """A phone's UPDATE that says it comes from a new gateway."""
    east, west = lab.islands
    for node in east.nodes:
        a = Agent(f"{FLOODS}.3", "eve", east.domain, node.sip)
        b = Agent(f"{FLOODS}.4", "adam", west.domain, west.nodes[0].sip)
        a.register()
        b.register()
        dialog, _, _ = establish(a, b)
        a.in_dialog(dialog, "UPDATE", extra=[("Gateway-Term", "7")])
        update = b.expect_request("UPDATE")
        b.answer(update, 200, "OK")
        a.expect_status(200, "UPDATE")
        a.in_dialog(dialog, "BYE")
        b.answer(b.expect_request("BYE"), 200, "OK")
        a.expect_status(200, "BYE")
        for one in (a, b):
            one.register(expires=0)
            one.close()


def flood_invites(lab):
    """3,000 INVITEs a second to nobody for 10 s, none of whose responses is acknowledged."""
    node = lab.islands[0].others()[0]
    senders = [udp(f"{FLOODS}.{i}") for i in range(10, 40)]

    def send(i):
        one, me = senders[i % len(senders)]
        one.sendto(raw("INVITE", "sip:nobody@site.east", me), sip_of(node))
    paced(10, 3000, send)
    for one, _ in senders:
        one.close()


def flood_registers(lab):
    """50,000 REGISTERs of as many users at 1,500 a second."""
    node = lab.islands[0].others()[0]
    senders = [udp(f"{FLOODS}.{i}") for i in range(10, 40)]

    def send(i):
        one, me = senders[i % len(senders)]
        one.sendto(raw("REGISTER", "sip:site.east", me, user=f"flood{i}", extra="Expires: 60\r\n").replace(
            b"To: <sip:site.east>", b"To: <sip:flood%d@site.east>" % i), sip_of(node))
    paced(33, 1500, send)
    for one, _ in senders:
        one.close()


def flood_unacknowledged(lab):
    """500 INVITEs a second to a phone that refuses them; nobody acknowledges its refusal."""
    east = lab.islands[0]
    node = east.others()[0]
    busy = Agent(f"{FLOODS}.5", "busy", east.domain, node.sip)
    busy.register()
    senders = [udp(f"{FLOODS}.{i}") for i in range(10, 20)]

    def send(i):
        one, me = senders[i % len(senders)]
        one.sendto(raw("INVITE", busy.uri, me), sip_of(node))
        while busy.poll(0):
            pass
        for message in busy.waiting:
            if message.method == "INVITE" and not message.is_response:
                busy.answer(message, 486, "Busy Here", "b")
        busy.waiting.clear()
    paced(10, 500, send)
    busy.register(expires=0)
    busy.close()
    for one, _ in senders:
        one.close()


def idle_connections(lab):
    """1,100 connections to the phones' port of the east gateway, one OPTIONS each; then the west gateway dies."""
    east, west = lab.islands
    gateway, held = east.gateway(), []
    for i in range(1100):
        try:
            one = socket.create_connection(sip_of(gateway), 2, source_address=(f"{FLOODS}.{50 + i % 100}", 0))
            one.sendall(raw("OPTIONS", "sip:site.east", "%s:%d" % one.getsockname(), transport="TCP"))
            held.append(one)
        except OSError:
            pass
    dead = west.gateway()
    dead.kill()
    wait_for("another gateway of west", west.gateway, 30)
    time.sleep(3)
    dead.start()
    wait_for(f"{dead.name} joins", lambda: dead.local_state() == "joined", 60)
    for one in held:
        one.close()


def odd_messages(lab):
    """Other versions, odd methods, lies about lengths and connections, over UDP and TCP."""
    for node in lab.nodes():
        one, me = udp()
        stream = socket.create_connection(sip_of(node), 5, source_address=(f"{FLOODS}.1", 0))
        for text in (raw("OPTIONS", "sip:site.east", me).replace(b"SIP/2.0\r\n", b"SIP/3.0\r\n", 1), raw("!odd%token'~", "sip:target@site.west", me),
                     raw("INVITE", "sip:target@site.west", me).replace(b"Content-Length: 0", b"Content-Length: -1"),
                     raw("INVITE", "sip:target@site.west", me).replace(b"Content-Length: 0", b"Content-Length: 99999999999"),
                     raw("INVITE", "sip:target@site.west", me, extra="X: " + "y" * 60000 + "\r\n"),
                     raw("CANCEL", "sip:target@site.west", me), b"\0" * 2000, b"INVITE", b"\r\n\r\n" * 500):
            one.sendto(text[:65000], sip_of(node))
            try:
                stream.sendall(text)
            except OSError:
                stream = socket.create_connection(sip_of(node), 5, source_address=(f"{FLOODS}.1", 0))
        stream.close()
        one.close()


def third_party(lab):
    """MESSAGEs to an outside address by way of a dialog's Contact; a REGISTER with somebody else's address, and calls to it."""
    east, west = lab.islands
    victim, victim_at = udp("127.91.7.1")
    victim.settimeout(0.2)
    node = east.others()[0]
    a = Agent(f"{FLOODS}.6", "cain", east.domain, node.sip)
    b = Agent(f"{FLOODS}.7", "abel", west.domain, west.nodes[0].sip)
    a.contact = f"sip:x@{victim_at}"
    b.register()
    sent = a.request("INVITE", b.uri, body=a.sdp())
    b.answer(b.expect_request("INVITE"), 486, "Busy Here", "x")
    a.ack_failure(b.uri, sent, a.expect_status(486))
    for i in range(50):
        a.request("MESSAGE", f"sip:x@{victim_at}", body="spam", content_type="text/plain", to_tag=f";tag={i}" if i % 2 else "")
    a.register(contact=f"<sip:x@{victim_at}>")
    for i in range(20):
        a.request("INVITE", a.uri, body=a.sdp())
    got, end = 0, time.monotonic() + 8
    while time.monotonic() < end:
        try:
            got += len(victim.recv(65536)) > 0
        except socket.timeout:
            pass
    a.register(expires=0, contact="*", expect=200)
    lab.notes.append(f"third_party: {got} datagrams reached the victim for 70 of the attacker's")
    for one in (a, b, victim):
        one.close()


# ---- connections between nodes ----------------------------------------------------------------------------------------

def odd_certificates(lab):
    """TLS to the nodes' ports without a certificate, with a phone's idea of one, half a handshake, garbage."""
    for node in lab.nodes():
        for port in (PEER_PORT, GATEWAY_PORT, OVERLAY_PORT, GLOBAL_PORT):
            for folder in (None, lab.spy_local, lab.spy_ring):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                if folder:
                    context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
                try:
                    plain = socket.create_connection((node.ip, port), 3, source_address=(SPY, 0))
                    plain.settimeout(3)
                    with context.wrap_socket(plain) as one:
                        one.sendall(raw("INVITE", "sip:target@site.west", "127.0.0.1:1", transport="TLS"))
                        one.recv(4096)
                except OSError:
                    pass
            half = socket.create_connection((node.ip, port), 3, source_address=(SPY, 0))
            half.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100)
            half.close()


def slow_http(lab):
    """200 connections to the control socket that never finish their head."""
    held = []
    for node in lab.nodes():
        for _ in range(50):
            one = socket.socket(socket.AF_UNIX)
            try:
                one.connect(node.socket)
                one.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX-A: ")
                held.append(one)
            except OSError:
                one.close()
    end = time.monotonic() + 8
    while time.monotonic() < end:
        for one in held:
            try:
                one.sendall(b"a")
            except OSError:
                pass
        time.sleep(0.5)
    for node in lab.nodes():
        if not node.ctl("status"):
            raise LabError(f"{node.name}: the control socket does not answer")
    for one in held:
        one.close()


# ---- hostile members -----------------------------------------------------------------------------------------------------

def terms(lab):
    """Claims and HELLOs with the highest term there is."""
    before = {n: n.ctl("election")["term"] for n in lab.nodes()}
    for deed in lab.deeds & {"claim", "claim-for-another", "hello-term", "hand-over", "hello-replay"}:
        for node in lab.islands[0].nodes:
            lab.notes.append(f"{deed}: {intruder(lab, deed, node)[:100]}")
    for node, term in before.items():
        now = node.ctl("election")["term"]
        if now > term + 1000:
            raise LabError(f"{node.name}: the term went from {term} to {now}")


def members(lab):
    """Every deed that the hostile member knows, one after the other, in overlay and ring."""
    for deed in sorted(lab.deeds):
        for node in lab.islands[0].nodes:
            lab.notes.append(f"{deed}: {intruder(lab, deed, node, count=50, ms=200)[:100]}")
        gateway = lab.islands[0].gateway() or lab.islands[0].nodes[0]
        lab.notes.append(f"{deed} (ring): {intruder(lab, deed, gateway, True, under='overlay@west', count=50, ms=200)[:100]}")


def deeds_of(program):
    """The names of the deeds that the intruder knows, by its own words."""
    return set(subprocess.run([program, "deeds"], stdout=subprocess.PIPE, check=True).stdout.decode().split())


def overwritten_plugin(lab):
    """The plug-in object that daemons have loaded is written over, then cut short."""
    path = os.path.join(lab.dir, "plugins", "onehop.so")
    if not os.path.exists(path):
        lab.notes.append("overwritten_plugin: no daemon of this laboratory has loaded one")
        return
    keep = path + ".keep"
    shutil.copyfile(path, keep)
    with open(path, "r+b") as out:
        out.write(b"\0" * 5000)
        out.truncate(3000)
    time.sleep(3)
    shutil.copyfile(keep, path)


ATTACKS = [unanswerable, header_injection, contact_of_another, take_over_by_header, odd_messages, third_party, odd_certificates, slow_http,
           terms, members, idle_connections, flood_unacknowledged, flood_invites, flood_registers]
FLOOD_ATTACKS = {flood_unacknowledged, flood_invites, flood_registers}
