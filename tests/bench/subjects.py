"""What the benchmarks compare: Kamailio and Ringway, for a call inside and a call between."""
import os

from lab import Lab
from measure import Kamailio, pin, register

KAMAILIO, KAMAILIO_FAR, KAMAILIO_SPARE, CALLER, CALLEE, DIAL = (
    f"127.40.0.{n}" for n in (1, 2, 3, 8, 9, 10))


class Subject:
    """Something that carries calls: where they enter, and the processes that they cost."""

    def __init__(self, name, target, domain, caller_domain, pids, peer=None, served_at=None):
        self.name, self.target, self.domain, self.caller_domain = name, target, domain, caller_domain
        self.served_at = served_at or target  # where the callees are registered
        self.pids = pids  # {label: pid}; labels that begin with "other" are not on the call's way
        self.peer = peer  # key of the subject it is held against

    def calls(self, load, rate, calls, **options):
        return load.run(self.target, self.domain, self.caller_domain, rate, calls, **options)


def lab_of(folder, cpu, log_level="warn"):
    """Two islands of three nodes, the limits on strangers out of the way."""
    lab = Lab(folder=os.path.join(folder, "lab"), log_level=log_level,
              sip_extra="max-requests-per-source = 1000000\n  max-pending-per-destination = 100000\n"
                        "  max-unacknowledged = 100000\n  max-calls = 200000")
    os.makedirs(lab.dir)
    lab.island("east", "127.41.0", site="bupt")
    lab.island("west", "127.42.0", site="pku")
    lab.prepare()
    lab.start()
    lab.wait_joined()
    for node in lab.nodes():
        pin(node.process.pid, cpu)
    return lab


class Spare:
    """A place where phones are registered that nobody calls."""

    def __init__(self, sip, domain, pid):
        self.sip, self.domain, self.pid = sip, domain, pid


def others_of(lab, on_way):
    """The nodes a call does not touch: their own beat, and what they look up for others."""
    return {f"other {n.island.name} {n.name}": n.process.pid for n in lab.nodes() if n not in on_way}


def subjects_of(folder, lab, load, cpu):
    """Returns (Kamailios to be stopped, {key: Subject}, a spare node and a spare Kamailio).

    bob is registered wherever he is called.
    """
    near = Kamailio(folder, f"{KAMAILIO}:5060", "near.test", f"{KAMAILIO_FAR}:5060", cpu=cpu)
    far = Kamailio(folder, f"{KAMAILIO_FAR}:5060", "far.test", cpu=cpu)
    spare = Kamailio(folder, f"{KAMAILIO_SPARE}:5060", "spare.test", cpu=cpu)
    east, west = lab.islands
    gateway, far_gateway = east.gateway(), west.gateway()
    inside, behind, unused = east.others()[0], west.others()[0], east.others()[1]
    beyond = f"far.{west.name}"  # a site whose phones are not at the gateway
    for node, domain in ((near.sip, "near.test"), (far.sip, "far.test"), (inside.sip, east.domain),
                         (far_gateway.sip, west.domain), (behind.sip, beyond)):
        register(node, "bob", domain, load.contact("bob"))
    lab.wait_resolves(gateway, f"sip:bob@{west.domain}")
    lab.wait_resolves(gateway, f"sip:bob@{beyond}")
    gateways = {"caller's gateway": gateway.process.pid, "callee's gateway": far_gateway.process.pid}
    return (near, far, spare), {
        "kamailio": Subject("Kamailio", near.sip, "near.test", "near.test", {"kamailio": near.pid}),
        "inside": Subject("a node", inside.sip, east.domain, east.domain,
                          {"node": inside.process.pid, **others_of(lab, (inside,))}, "kamailio"),
        "chained": Subject("two Kamailios", near.sip, "far.test", "near.test",
                           {"first": near.pid, "second": far.pid}),
        "between": Subject("two gateways", gateway.sip, west.domain, east.domain,
                           {**gateways, **others_of(lab, (gateway, far_gateway))}, "chained",
                           far_gateway.sip),
        "through": Subject("node, two gateways, node", inside.sip, beyond, east.domain,
                           {"caller's node": inside.process.pid, **gateways,
                            "callee's node": behind.process.pid,
                            **others_of(lab, (gateway, far_gateway, inside, behind))}, "chained"),
    }, (Spare(unused.sip, east.domain, unused.process.pid), Spare(spare.sip, "spare.test", spare.pid))
