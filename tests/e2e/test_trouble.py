#!/usr/bin/env python3
"""What keeps calls in an overlay: no node can be gateway, or a node that never met its own overlay, whose
gateways live in the ring.  Both are said, and neither costs anybody a wait or a name.
"""
import sys
import time

from common import Tests, clean_log, same_codes
from lab import Lab, LabError, wait_for
from agent import Agent

NETS = {"east": "127.84.71", "west": "127.84.72"}
PHONES = "127.84.73"
AT_ONCE_S, JOINS_S = 0.5, 25


def nobody_can_be_gateway(lab):
    """Every foreign call is refused at once; the log, status and metrics say why."""
    east, west = lab.islands
    for node in east.nodes:
        node.configure(candidate="false" if node is east.nodes[0] else "true",
                       election_extra="" if node is east.nodes[0] else 'role = "barred"')
        node.start()
    west.nodes[0].start()
    node = east.nodes[0]
    wait_for("the trouble is in the status",
             lambda: (node.ctl("status") or {}).get("election", {}).get("trouble"), 20)
    caller = Agent(f"{PHONES}.1", "al", east.domain, node.sip)
    try:
        caller.register()
        begin = time.monotonic()
        caller.request("INVITE", f"sip:bob@{west.domain}", body=caller.sdp(1))
        refusal = caller.expect_status(500)
        taken = time.monotonic() - begin
        if taken > AT_ONCE_S or not refusal.get("retry-after"):
            raise LabError(f"{refusal.start} after {taken:.2f} s, Retry-After {refusal.get('retry-after')!r}")
        local = Agent(f"{PHONES}.2", "ann", east.domain, east.nodes[1].sip)
        local.register()
        caller.request("OPTIONS", local.uri)
        local.answer(local.expect_request("OPTIONS"), 200, "OK", "t")
        caller.expect_status(200, "OPTIONS")
        local.close()
    finally:
        caller.close()
    for where, text in (("log", node.log()), ("status", node.ctl_text("status")),
                        ("the other's log", east.nodes[1].log())):
        if "no node of east can be gateway" not in text:
            raise LabError(f"nothing in {where}")
    if "candidate = false" not in node.log():
        raise LabError("the reason is not told")
    if node.ctl_code("status") != 1 or "ringwayctl: not served: no node of east" not in node.ctl_text("status"):
        raise LabError("status does not say by its exit code that the overlay is not served")
    for each in east.nodes:
        each.stop()
        each.configure()


def a_gateway_ends_the_trouble(lab):
    """One that may be gateway starts: foreign calls are answered."""
    east, west = lab.islands
    east.nodes[0].configure(candidate="false")
    east.nodes[0].start()
    wait_for("trouble", lambda: (east.nodes[0].ctl("status") or {}).get("election", {}).get("trouble"), 20)
    east.nodes[1].start()
    lab.wait_resolves(east.nodes[0], f"sip:overlay@{west.name}")
    if east.nodes[0].ctl("status")["election"]["trouble"] is not None:
        raise LabError("the trouble is not over")
    if east.nodes[0].ctl_code("status") != 0:
        raise LabError("status says that the overlay is not served")


def a_stranger_joins(lab):
    """Its bootstrap entries are dead, and its overlay lives: it takes no name, and joins the gateways that the ring
    has."""
    east, west = lab.islands
    stranger = east.nodes[2]
    term = east.nodes[1].ctl("election")["term"]
    stranger.configure(bootstrap=f'"{east.net}.250:6084"')
    stranger.start()
    callee = Agent(f"{PHONES}.3", "bob", east.domain, east.nodes[1].sip)
    caller = Agent(f"{PHONES}.4", "cleo", west.domain, west.nodes[0].sip)
    own = Agent(f"{PHONES}.5", "eve", east.domain, stranger.sip)
    try:
        callee.register()
        caller.register()
        end = time.monotonic() + JOINS_S
        while stranger.local_state() != "joined":
            caller.request("OPTIONS", callee.uri)
            callee.answer(callee.expect_request("OPTIONS"), 200, "OK", "t")
            caller.expect_status(200, "OPTIONS")
            if stranger.role() == "active":
                raise LabError("it has made itself a gateway")
            if time.monotonic() > end:
                raise LabError(f"it is {stranger.local_state()}: {stranger.log()[-600:]}")
            time.sleep(0.1)
        wait_for("all agree on a gateway", east.gateway)
        wait_for("the trouble is over", lambda: not stranger.ctl("status")["election"]["trouble"])
        own.register()
        caller.request("OPTIONS", own.uri)
        own.answer(own.expect_request("OPTIONS"), 200, "OK", "t")
        caller.expect_status(200, "OPTIONS")
    finally:
        for phone in (callee, caller, own):
            phone.close()
    if east.nodes[1].ctl("election")["term"] != term or stranger.role() == "active":
        raise LabError("it has claimed")
    if "live in the ring" not in stranger.log():
        raise LabError("it does not say what is wrong with its configuration")


def main():
    tests = Tests()
    lab = Lab()
    lab.island("east", NETS["east"], 3)
    lab.island("west", NETS["west"], 1)
    try:
        lab.prepare()
        east = lab.islands[0]
        spare = east.nodes.pop()  # the stranger of later; the others do not expect it
        for node in east.nodes:
            node.configure()
        tests.run("nobody can be gateway", nobody_can_be_gateway, lab)
        tests.run("a gateway ends the trouble", a_gateway_ends_the_trouble, lab)
        east.nodes.append(spare)
        tests.run("a node that never met its own overlay joins by way of the ring", a_stranger_joins, lab)
    finally:
        logs = {node: node.log for node in lab.nodes()}
        tests.run("every daemon leaves with exit code 0", same_codes, lab.stop(keep=True))
        for node, log in logs.items():
            tests.run(f"{node.island.name}/{node.name}: sanitizers are silent", clean_log, log())
        lab.stop()
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
