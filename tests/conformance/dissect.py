"""Wireshark's dissector as a judge: run tshark and read its tree.

What its RELOAD dissector (4.0) has of its own making, and is taken into account here:
 - it calls the SignerIdentity "none" (RFC 6940 section 6.3.4, type 3) an unknown type;
 - it knows no length of a framed message inside TLS: see reload_stream.lua.
"""

import collections
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

NONE_IDENTITY = "Unknown identity type"

# code: the message code; problems: malformed marks and expert errors; time_s: since 1970;
# is_first_hop: its via list is empty, it comes from where it was made
Message = collections.namedtuple("Message", "frame time_s code problems is_first_hop")


def require(*programs):
    """End the program, with failure, where a tool is absent: a check that did not run is no check."""
    absent = [p for p in programs if not shutil.which(p)]
    if absent:
        sys.exit("not installed: " + ", ".join(absent))


def tshark_tree(capture, options=(), env=None):
    """The packets of a capture as PDML elements, one after the other."""
    command = ["tshark", "-r", capture, "-T", "pdml", *options]
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=env) as child:
            for _, element in xml.etree.ElementTree.iterparse(child.stdout):
                if element.tag == "packet":
                    yield element
                    element.clear()
        if child.returncode != 0:
            errors.seek(0)
            sys.exit("tshark failed: " + errors.read().decode(errors="replace").strip())


def fields_of(element):
    """All named fields below an element: name -> list of what tshark shows."""
    found = collections.defaultdict(list)
    for field in element.iter("field"):
        found[field.get("name")].append(field.get("show"))
    return found


def expert_problems(element):
    """Expert items of severity error below an element, but for the dissector's own mistakes."""
    none_count = sum(f.get("value") == "03" for f in element.iter("field")
                     if f.get("name") == "reload.signature.identity.type")
    problems = []
    for item in element.iter("field"):
        if item.get("name") != "_ws.expert":
            continue
        severity = [f.get("showname", "") for f in item.iter("field")
                    if f.get("name") == "_ws.expert.severity"]
        text = item.get("showname", "")
        if not any("Error" in s for s in severity):
            continue
        if NONE_IDENTITY in text and none_count > 0:
            continue
        problems.append(text)
    return problems


def messages_of(packet):
    """The RELOAD messages of one packet."""
    malformed = any(p.get("name") == "_ws.malformed" for p in packet.iter("proto"))
    malformed = malformed or any(f.get("name") == "_ws.malformed" for f in packet.iter("field"))
    packet_fields = fields_of(packet)
    number = packet_fields["num"][0]
    time_s = float(next(f.get("value") for f in packet.iter("field") if f.get("name") == "timestamp"))
    trees = [p for p in packet.iter("proto") if p.get("name") == "reload"]
    for tree in trees:
        fields = fields_of(tree)
        code = int(fields.get("reload.message.code", ["0"])[0], 0)
        problems = expert_problems(tree) + (["malformed"] if malformed else [])
        is_first_hop = fields.get("reload.forwarding.via_list.length") == ["0"]
        yield Message(number, time_s, code, problems, is_first_hop)
    if malformed and not trees:
        yield Message(number, time_s, 0, ["malformed, outside of a RELOAD message"], False)


def frame_types_of(packet):
    """"data" or "ack" for each RELOAD frame of one packet."""
    for field in packet.iter("field"):
        if field.get("name") == "reload_framing.type":
            yield {128: "data", 129: "ack"}.get(int(field.get("show"), 0), "other")
