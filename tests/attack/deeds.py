"""The attacks: each is a function of the laboratory that takes some seconds and raises LabError where it sees for itself that it has
succeeded.  What it does to others is seen by the honest phones (honest.py).  Here those of phones and strangers; those of members are
in members.py."""
import http.client
import os
import random
import shutil
import socket
import subprocess
import sys
import time

from agent import Agent, establish
from floods import NET as FLOODS, raw, udp
from lab import LabError, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
OUTSIDE = "127.91.7"
PRIVATE_CONTACT = "<sip:100@192.168.1.10:5060>"


# ---- small things ---------------------------------------------------------------------------------------------------

def sip_of(node):
    host, port = node.sip.split(":")
    return host, int(port)


def stranger():
    return udp(f"{FLOODS}.1")


def refuse(agent, request):
    agent.answer(request, 486, "Busy Here", "busy")


def final_of(agent, method, uri, **options):
    """One request, and its final response; a refused INVITE is acknowledged."""
    sent = agent.request(method, uri, **options)
    found = agent.expect(f"a final response to {method}",
                         lambda m: m.is_response and m.status >= 200 and m.method == method and m.sequence == agent.last_cseq, 35)
    if method == "INVITE" and found.status >= 300:
        agent.ack_failure(uri, sent, found)
    return found.status


class Outside:
    """An address that has nothing to do with any of this."""

    def __init__(self, host):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((f"{OUTSIDE}.{host}", 0))
        self.at = "%s:%d" % self.socket.getsockname()

    def count(self, seconds):
        """Datagrams that come within so many seconds."""
        got, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                self.socket.recv(65536)
                got += 1
            except socket.timeout:
                pass
        return got


def at_most(what, got, most):
    if got > most:
        raise LabError(f"{what}: {got}, at most {most} are allowed")


# ---- A1, A2, A14: messages ----------------------------------------------------------------------------------------------

def unanswerable(lab):
    """Requests whose top Via nobody can be answered at, and their ACKs."""
    vias = ("SIP/2.0/UDP 1.2.3.4:0", "SIP/2.0/UDP 1.2.3.4;maddr=255.255.255.255", "SIP/2.0/UDP 1.2.3.4;maddr=240.0.0.1", "SIP/2.0/UDP 0.0.0.0",
            "SIP/2.0/UDP 224.0.0.1", "SIP/2.0/UDP 255.255.255.255:5060", "SIP/2.0/UDP 1.2.3.4:65536", "SIP/2.0/UDP [::1]:0", "SIP/2.0/TCP 1.2.3.4:0")
    one, me = stranger()
    for node in lab.nodes():
        for via in vias:
            for uri in ("sip:nobody@site.east", "sip:nobody@site.west", "sip:nobody@nowhere.example"):
                names = dict(via=via, branch=f"z9hG4bK{random.getrandbits(40):x}", call_id=f"{random.getrandbits(40):x}", tag="t")
                one.sendto(raw("INVITE", uri, me, **names), sip_of(node))
                time.sleep(0.03)
                one.sendto(raw("ACK", uri, me, to_tag=";tag=x", **names), sip_of(node))
    one.close()


def header_injection(lab):
    """Users whose names hold line ends and other bytes below 0x20, through every node to the other overlay, and at the registrar."""
    names = ("a%0D%0AX-Evil:%20yes", "a%3E%0D%0A%0D%0ABYE%20sip:x@site.west%20SIP/2.0%0D%0Al:60000%0D%0A%0D%0A", "a%0A", "a%0D%0AContent-Length:%2090000%0D%0A",
             "%00", "a%7F", "a%22%3E", "a%09b")
    one, me = stranger()
    for node in lab.nodes():
        for name in names:
            for method in ("MESSAGE", "INVITE", "OPTIONS", "SUBSCRIBE"):
                one.sendto(raw(method, "sip:target@site.west", me, user=name), sip_of(node))
                one.sendto(raw(method, f"sip:{name}@site.west", me), sip_of(node))
                time.sleep(0.01)
            one.sendto(raw("REGISTER", f"sip:{node.island.domain}", me, user=name, domain=node.island.domain,
                           to=f"sip:{name}@{node.island.domain}"), sip_of(node))
    one.close()


def odd_messages(lab):
    """Other versions, odd methods, lies about lengths and connections, over UDP and TCP."""
    for node in lab.nodes():
        one, me = stranger()
        stream = socket.create_connection(sip_of(node), 5, source_address=(f"{FLOODS}.1", 0))
        for text in (raw("OPTIONS", "sip:site.east", me).replace(b"SIP/2.0\r\n", b"SIP/3.0\r\n", 1), raw("!odd%token'~", "sip:target@site.west", me),
                     raw("INVITE", "sip:target@site.west", me).replace(b"Content-Length: 0", b"Content-Length: -1"),
                     raw("INVITE", "sip:target@site.west", me).replace(b"Content-Length: 0", b"Content-Length: 99999999999"),
                     raw("OPTIONS", "sip:site.east", me, via="SIP/2.0/TLS 192.0.2.1:1"), raw("OPTIONS", "sip:site.east", me, via="SIP/2.0/SCTP 192.0.2.1"),
                     raw("INVITE", "sip:target@site.west", me, extra="X: " + "y" * 60000 + "\r\n"),
                     raw("CANCEL", "sip:target@site.west", me), b"\0" * 2000, b"INVITE", b"\r\n\r\n" * 500):
            one.sendto(text[:65000], sip_of(node))
            try:
                stream.sendall(text)
            except OSError:
                stream = socket.create_connection(sip_of(node), 5, source_address=(f"{FLOODS}.1", 0))
        stream.close()
        one.close()


# ---- A3, A4, A13: whose call --------------------------------------------------------------------------------------------

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


def same_private_contact(lab):
    """Two users behind two NATs have the same private Contact; each is called from its node, from another and from the other overlay."""
    east, west = lab.islands
    node, other = east.others()
    phones = [Agent(f"{FLOODS}.{41 + i}", f"same{i}", east.domain, node.sip) for i in range(2)]
    callers = [Agent(f"{FLOODS}.{43 + i}", f"caller{i}", at.island.domain, at.sip) for i, at in enumerate((node, other, west.nodes[0]))]
    for phone in phones:
        phone.register(contact=PRIVATE_CONTACT)
    for caller in callers:
        for phone, wrong in (phones, phones[::-1]):
            sent = caller.request("INVITE", phone.uri, body=caller.sdp())
            refuse(phone, phone.expect_request("INVITE"))
            caller.ack_failure(phone.uri, sent, caller.expect_status(486))
            if any(m.method == "INVITE" and not m.is_response for m in wrong.waiting):
                raise LabError(f"{wrong.user} was called in the place of {phone.user}")
    for phone in phones:
        phone.register(contact="*", expires=0)
    for one in phones + callers:
        one.close()


def take_over_by_header(lab):
    """A phone's UPDATE that says it comes from a new gateway."""
    east, west = lab.islands
    for node in east.nodes:
        a = Agent(f"{FLOODS}.3", "eve", east.domain, node.sip)
        b = Agent(f"{FLOODS}.4", "adam", west.domain, west.nodes[0].sip)
        a.register()
        b.register()
        dialog, _, _ = establish(a, b)
        for term in ("7", "4294967295"):
            a.in_dialog(dialog, "UPDATE", extra=[("Gateway-Term", term)])
            update = b.expect_request("UPDATE")
            if update.get("gateway-term"):
                raise LabError("Gateway-Term reaches a phone")
            b.answer(update, 200, "OK")
            a.expect_status(200, "UPDATE")
        a.in_dialog(dialog, "BYE")
        b.answer(b.expect_request("BYE"), 200, "OK")
        a.expect_status(200, "BYE")
        for one in (a, b):
            one.register(expires=0)
            one.close()


# ---- A10: third parties -------------------------------------------------------------------------------------------------

def named_in_a_dialog(lab):
    """MESSAGEs of a stranger to an address outside that a call has named as its Contact, while it is up and later."""
    east = lab.islands[0]
    node, other = east.others()
    victim = Outside(1)
    a, b = Agent(f"{FLOODS}.6", "cain", east.domain, node.sip), Agent(f"{FLOODS}.7", "abel", east.domain, other.sip)
    third = Agent(f"{FLOODS}.8", "seth", east.domain, node.sip)
    a.contact = f"sip:x@{victim.at}"
    b.register()
    dialog, _, _ = establish(a, b)
    victim.count(0.2)

    def knock():
        for i in range(50):
            third.request("MESSAGE", a.contact, body="spam", content_type="text/plain", to_tag=f";tag={i}" if i % 2 else "")
    knock()
    a.in_dialog(dialog, "BYE")
    b.answer(b.expect_request("BYE"), 200, "OK")
    a.expect_status(200, "BYE")
    knock()
    at_most("MESSAGEs to an address outside that a call named", victim.count(2), 0)
    for one in (a, b, third):
        one.close()


def address_of_another(lab):
    """A REGISTER with somebody else's address, in Contact and as its source, then 40 calls and 40 MESSAGEs to it: what reaches that
    address is what was sent, and little more."""
    east = lab.islands[0]
    node = east.others()[0]
    victim = Outside(2)
    a = Agent(f"{FLOODS}.9", "cain", east.domain, node.sip)
    a.register()  # where the attacker is: its calls go there, whatever Contact it names
    victim.socket.sendto(raw("REGISTER", f"sip:{east.domain}", victim.at, user="abel", domain=east.domain, to=f"sip:abel@{east.domain}",
                             extra="Expires: 60\r\n"), sip_of(node))
    at_most("responses to a REGISTER", victim.count(1), 1)
    for _ in range(40):
        a.request("INVITE", f"sip:abel@{east.domain}", body=a.sdp())
        a.request("MESSAGE", f"sip:abel@{east.domain}", body="spam", content_type="text/plain")
    got = victim.count(10)
    lab.notes.append(f"address_of_another: {got} datagrams reached the victim for 80 of the attacker's")
    a.register(expires=0)
    a.close()
    at_most("datagrams to somebody else's address for 80 requests", got, 160)


def spoofed_source(lab):
    """200 INVITEs by UDP with somebody else's source address; nobody ACKs their finals."""
    node = lab.islands[0].others()[0]
    victim = Outside(3)
    for _ in range(200):
        victim.socket.sendto(raw("INVITE", "sip:nobody@site.east", victim.at), sip_of(node))
        time.sleep(0.01)
    got = victim.count(10)
    lab.notes.append(f"spoofed_source: {got} responses reached the victim for 200 of the attacker's")
    at_most("responses to a spoofed source for 200 requests", got, 900)  # 64 finals seven times, 136 once; 100 Trying


# ---- A6: floods ---------------------------------------------------------------------------------------------------------

def flood(lab, what, node, user, seconds, rate, sources=30):
    """floods.py in a process of its own, until it ends."""
    return subprocess.Popen([sys.executable, os.path.join(HERE, "floods.py"), what, *map(str, (*sip_of(node), node.island.domain, user, seconds, rate, 10, sources))],
                            stdout=subprocess.PIPE)


def ended(lab, name, process):
    text = process.communicate(timeout=120)[0].decode().strip()
    lab.notes.append(f"{name}: sent {text}")
    if process.returncode:
        raise LabError(f"floods.py ended with {process.returncode}")


def flood_invites(lab):
    """3,000 INVITEs a second to nobody for 10 s, none of whose responses is acknowledged."""
    ended(lab, "flood_invites", flood(lab, "invites", lab.islands[0].others()[0], "nobody", 10, 3000))


def flood_dead(lab):
    """500 INVITEs a second for 10 s to a phone that is registered and says nothing."""
    east = lab.islands[0]
    node = east.others()[0]
    dead = Agent(f"{FLOODS}.6", "dead", east.domain, node.sip)
    dead.register()
    ended(lab, "flood_dead", flood(lab, "invites", node, "dead", 10, 500))
    lab.after.append(lambda: (dead.register(expires=0), dead.close()))


def flood_unacknowledged(lab):
    """500 INVITEs a second for 10 s to a phone that refuses them; nobody acknowledges its refusal."""
    east = lab.islands[0]
    node = east.others()[0]
    busy = Agent(f"{FLOODS}.5", "busy", east.domain, node.sip)
    busy.register()
    process = flood(lab, "invites", node, "busy", 10, 500)
    while process.poll() is None:
        busy.poll(0.2)
        for message in busy.waiting:
            if message.method == "INVITE" and not message.is_response:
                refuse(busy, message)
        busy.waiting.clear()
    ended(lab, "flood_unacknowledged", process)
    busy.register(expires=0)
    busy.close()


def flood_registers(lab):
    """50,000 REGISTERs of as many users at 1,500 a second."""
    ended(lab, "flood_registers", flood(lab, "registers", lab.islands[0].others()[0], "flood", 33, 1500))


flood_registers.lasts_s = 60  # the bindings do, and their memory with them


# ---- A8, A12: connections -----------------------------------------------------------------------------------------------

def idle_connections(lab):
    """1,100 connections to the phones' port of the east gateway, one OPTIONS each; then west takes another gateway, which has to get in."""
    east, west = lab.islands
    gateway, held = east.gateway(), []
    for i in range(1100):
        try:
            one = socket.create_connection(sip_of(gateway), 2, source_address=(f"{FLOODS}.{50 + i % 100}", 0))
            one.sendall(raw("OPTIONS", "sip:site.east", "%s:%d" % one.getsockname(), transport="TCP"))
            held.append(one)
        except OSError:
            pass
    old = west.gateway()
    target = next(n for n in west.nodes if n is not old)
    old.ctl_text("election", "handover", target.name)
    wait_for("another gateway of west", lambda: west.gateway() is target, 30)
    time.sleep(5)
    for one in held:
        one.close()
    lab.notes.append(f"idle_connections: {len(held)} of 1100 were taken")


def slow_http(lab):
    """33 connections to the HTTP port of each node that never finish their head: the control socket answers, and when their time is over
    the port does, too."""
    held = []
    for node in lab.nodes():
        for _ in range(33):
            one = socket.socket()
            one.bind((f"{FLOODS}.1", 0))
            one.settimeout(0.05)  # those that are not taken wait in the kernel
            try:
                one.connect((node.ip, lab.http_port))
                one.sendall(f"GET /v1/status HTTP/1.1\r\nHost: {node.ip}\r\nX-A: ".encode())
            except OSError:
                pass
            held.append(one)

    def drip():
        for one in held:
            try:
                one.sendall(b"a")
            except OSError:
                pass
        return all(is_served(node) for node in lab.nodes())
    for node in lab.nodes():
        begin = time.monotonic()
        if not node.ctl("status"):
            raise LabError(f"{node.name}: the control socket does not answer")
        at_most(f"{node.name}: seconds until the control socket answers", time.monotonic() - begin, 5)
    wait_for("HTTP is served again", drip, 90, 1)
    for one in held:
        one.close()


def is_served(node):
    try:
        client = http.client.HTTPConnection(node.ip, node.lab.http_port, timeout=2)
        client.request("GET", "/metrics", headers={"Host": node.ip})
        return client.getresponse().status == 200
    except OSError:
        return False


# ---- A15: plug-ins --------------------------------------------------------------------------------------------------------

def overwritten_plugin(lab):
    """The plug-in object that west's daemons run is written over, cut short, made anybody's: they go on, and none starts with it."""
    path = os.path.join(lab.plugins, "onehop.so")
    west = lab.islands[1]
    keep = path + ".keep"
    shutil.copyfile(path, keep)

    def check(what, is_good):
        done = subprocess.run([lab.program("ringwayd"), "-c", west.nodes[0].config_path, "--check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=20, check=False)
        if done.returncode != (0 if is_good else 2):
            raise LabError(f"--check with {what}: {done.returncode}: {done.stdout.decode()[-300:]}")
    try:
        with open(path, "r+b") as out:
            out.write(b"\0" * 5000)
        check("one written over", False)
        with open(path, "r+b") as out:
            out.truncate(3000)
        check("one cut short", False)
        time.sleep(3)
        shutil.copyfile(keep, path)  # as cp does: into the file that was loaded
        os.chmod(path, 0o666)
        check("one that everybody may write", False)
        os.chmod(path, 0o644)
        os.chown(path, 12345, 12345)
        check("a stranger's", False)
        os.chown(path, os.geteuid(), os.getegid())
        check("a good one", True)
        for node in west.nodes:
            node.ctl_text("reload")
        time.sleep(2)
    finally:
        shutil.copyfile(keep, path)
        os.unlink(keep)
