"""What watching and copying cost: traffic and CPU of HELLO, and of the calls' copies.

Bytes and packets are those of the node's only link, received and sent, IP and Ethernet headers included.
"""
import os
import statistics
import time

from control import ask
from lab import Lab, LabError, wait_for
from measure import cpu_s


BATCH = 4  # nodes that are started together
MOST_SHARE = 0.6  # of this machine: beyond that the figures are of something else


class Meter:
    """Traffic and CPU of some processes, each in a namespace of its own, from now on."""

    def __init__(self, places):
        """@places: {name: (space, pid)}"""
        self.places, self.begin, self.before = places, time.monotonic(), {}
        self.before = self.read()

    def read(self):
        return {name: (*space.counters(pid), cpu_s(pid)) for name, (space, pid) in self.places.items()}

    def rates(self):
        """{name: (bytes/s, packets/s, CPU ms/s)}"""
        now, seconds = self.read(), time.monotonic() - self.begin
        return {name: tuple((after - before) / seconds * scale for after, before, scale in
                            zip(now[name], self.before[name], (1, 1, 1000))) for name in now}


def print_rates(name, rates):
    print(f"  {name:<44} {rates[0] / 1000:8.2f} kB/s {rates[1]:7.1f} packets/s {rates[2]:7.2f} ms of CPU/s")


# ---- HELLO ----------------------------------------------------------------------------------------------

class Campus:
    """One island, all of whose nodes are candidates."""

    def __init__(self, network, folder, count, hello_ms):
        self.lab = Lab(folder=os.path.join(folder, f"hello-{count}-{hello_ms}"), hello_ms=hello_ms)
        os.makedirs(self.lab.dir)
        self.island = self.lab.island("east", "10.77.1", count)
        self.lab.prepare(bootstrap=", ".join(f'"10.77.1.{n}:6084"' for n in range(1, min(count, 8) + 1)),
                         global_bootstrap=", ".join(f'"10.77.1.{n}:6085"' for n in range(1, min(count, 8) + 1)))
        self.listed, self.same = None, 0
        self.space = {node: network.space(f"c{n}", node.ip) for n, node in enumerate(self.lab.nodes())}

    def open(self):
        nodes = self.lab.nodes()
        for at in range(0, len(nodes), BATCH):  # a machine that starts them all at once does nothing else
            for node in nodes[at:at + BATCH]:
                node.start(self.space[node].wrap)
            for node in nodes[at:at + BATCH]:
                wait_for(f"{node.name} joins", lambda n=node: (ask(n.socket, "/v1/status") or {}).get(
                    "local", {}).get("state") in (("joined",) if at else ("joined", "alone")), 30)
        wait_for("a gateway that every node knows, and that is sure of its candidates", self.is_settled, 120, 0.5)

    def election(self):
        """(the gateway, what it says of the election), None while there is none."""
        first = ask(self.island.nodes[0].socket, "/v1/election")
        name = first and first["active"] and first["active"]["name"]
        gateway = next((n for n in self.island.nodes if n.name == name), None)
        seen = gateway and ask(gateway.socket, "/v1/election")
        return (gateway, seen) if seen and seen["role"] == "active" else None

    def is_settled(self):
        """Everybody follows one gateway, whose list has been the same for a while (it ranks 128 at most)."""
        found = self.election()
        names = {((ask(n.socket, "/v1/election") or {}).get("active") or {}).get("name") for n in self.island.nodes}
        listed = found and sorted(c["name"] for c in found[1]["candidates"])
        self.same = self.same + 1 if listed and listed == self.listed else 0
        self.listed = listed
        return len(names) == 1 and self.same >= 5

    def places(self):
        found = self.election()
        if not found:
            raise LabError("no gateway was agreed on any more: too much for this machine")
        gateway, seen = found
        rank = [c["name"] for c in sorted(seen["candidates"], key=lambda c: c["rank"])]
        node = {n.name: n for n in self.island.nodes}
        return {"gateway": gateway, "first stand-by": node[rank[0]], "last stand-by": node[rank[-1]]}

    def measure(self, seconds):
        """({role: rates}, share of all cores that all daemons take, were roles still the same?)"""
        nodes = self.places()
        meter = Meter({role: (self.space[n], n.process.pid) for role, n in nodes.items()})
        begin = sum(cpu_s(n.process.pid) for n in self.island.nodes)
        time.sleep(seconds)
        rates = meter.rates()
        spent = sum(cpu_s(n.process.pid) for n in self.island.nodes) - begin
        return rates, spent / seconds / os.cpu_count(), self.places()["gateway"] is nodes["gateway"]

    def close(self):
        self.lab.stop()


def hello_table(network_of, folder, options, vrrp_of):
    """@network_of: makes a network; @vrrp_of: keepalived in one."""
    seconds = options.seconds
    print(f"\nHELLO: what an idle island spends, {seconds} s each; all that a node does is counted, with the "
          "overlay's and the ring's own upkeep")
    for count in (int(word) for word in options.hello_candidates.split(",")):
        share = 0.0
        for hello_ms in (10 * options.hello, options.hello):
            if share > MOST_SHARE:
                print(f"  {count} candidates, every {hello_ms} ms: not tried, this machine is too small")
                continue
            network = network_of(is_routed=True)
            campus = Campus(network, folder, count, hello_ms)
            try:
                campus.open()
                time.sleep(3 + count / 5)  # the overlay has its own business with so many that are new
                rates, share, is_same = campus.measure(seconds)
            except LabError as problem:
                print(f"  {count} candidates, every {hello_ms} ms: not told: {problem}")
                share = 1.0
                continue
            finally:
                campus.close()
                network.close()
            print(f"  {count} candidates, {len(campus.listed)} ranked, every {hello_ms} ms: all daemons take "
                  f"{share * 100:.0f} % of this machine"
                  + (": too much, the figures are of a busy machine" if share > MOST_SHARE else "")
                  + ("" if is_same else "; the gateway changed meanwhile"))
            for role, figures in rates.items():
                print_rates(f"    {role}", figures)
    network = network_of()
    vrrp = vrrp_of(network)
    try:
        vrrp.settle()
        time.sleep(1)
        names = ("master", "backup")
        meter = Meter({f"keepalived: {name}": (n.space, n.process.pid) for name, n in zip(names, vrrp.nodes)})
        time.sleep(seconds)
        print(f"  keepalived, {len(vrrp.nodes)} nodes, every {options.hello} ms:")
        for name, figures in meter.rates().items():
            print_rates("    " + name.split()[1], figures)
    finally:
        vrrp.close()
        network.close()


# ---- copies of calls ---------------------------------------------------------------------------------------

def copies_round(islands, run, options):
    """(CPU ms, bytes, packets) a call at the caller's gateway, its idle share taken off."""
    gateway = islands.settle()
    place = {"gateway": (islands.space[gateway], gateway.process.pid)}
    meter = Meter(place)
    run([], options.seconds)
    idle = meter.rates()["gateway"]
    stream = islands.streams["from"]
    stream.start()
    run([stream], 2 * stream.hold_s + 0.5)
    counted = stream.answered()
    meter = Meter(place)
    run([stream], options.seconds)
    busy, calls_s = meter.rates()["gateway"], (stream.answered() - counted) / options.seconds
    stream.is_running = False
    run([stream], stream.hold_s + 0.5)
    if not calls_s:
        return None
    return tuple((with_calls - without) / calls_s for with_calls, without in zip(busy, idle))


def copies_table(network_of, islands_of, run, folder, options):
    """The caller's gateway with stand-bys that hold copies, and with none."""
    print(f"\nCopies of calls: what a call between islands costs its caller's gateway, 50 a second, each up for 1 s "
          f"({options.rounds} rounds of {options.seconds} s), without what it spends idle")
    found = {}
    for candidates in (1, 3):
        network = network_of()
        islands = islands_of(network, os.path.join(folder, f"copies-{candidates}"), candidates)
        try:
            islands.open()
            if "replicas" not in (ask(islands.gateway().socket, "/v1/status") or {}):
                print("  not told: this daemon keeps no copies of calls")
                return
            rounds = [copies_round(islands, run, options) for _ in range(options.rounds)]
        finally:
            islands.close()
            network.close()
        rounds = [one for one in rounds if one]
        if not rounds:
            print(f"  {candidates - 1} stand-bys: no call was answered")
            continue
        found[candidates] = [statistics.median(values) for values in zip(*rounds)]
        print(f"  {candidates - 1} stand-bys {found[candidates][2]:9.3f} ms of CPU {found[candidates][0]:9.0f} bytes "
              f"{found[candidates][1]:7.1f} packets")
    if len(found) == 2:
        more = [b - a for a, b in zip(found[1], found[3])]
        print(f"  for the copies {more[2]:7.3f} ms of CPU {more[0]:9.0f} bytes {more[1]:7.1f} packets; CPU x "
              f"{found[3][2] / found[1][2]:.2f}")
