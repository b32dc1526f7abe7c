#!/usr/bin/env python3
"""Three overlays, of which one has its name inside another's: whose a domain is says the longest name that is
known, in all directions, and while the longer one is down, over restarts.
"""
import os
import sys
import time

from common import Tests, clean_log, same_codes
from lab import Lab, LabError, wait_for
from agent import Agent, final_of

SHORT, LONG, THIRD = "pastry", "bupt.pastry", "can"
NETS = {SHORT: "127.84.121", LONG: "127.84.122", THIRD: "127.84.123"}
PHONES = "127.84.124"
FRESH_S = 12  # a name that came is known: asked for every 5 s


class Phones:
    """One of each overlay, at its node; those of the shorter one at both."""

    def __init__(self, lab):
        short, long, third = lab.islands
        self.short = [Agent(f"{PHONES}.{i + 1}", f"s{i}", SHORT, node.sip) for i, node in enumerate(short.nodes)]
        self.site = Agent(f"{PHONES}.4", "site", f"lab.{SHORT}", short.nodes[0].sip)
        self.long = Agent(f"{PHONES}.5", "l", LONG, long.nodes[0].sip)
        self.third = Agent(f"{PHONES}.6", "t", f"site.{THIRD}", third.nodes[0].sip)
        self.aside = Agent(f"{PHONES}.7", "early", LONG, short.nodes[0].sip)

    def all(self):
        return [*self.short, self.site, self.long, self.third, self.aside]

    def close(self):
        for phone in self.all():
            phone.close()


def call(caller, callee):
    final = final_of(caller, callee.uri, callee)
    if final.status != 200:
        raise LabError(f"{caller.uri} to {callee.uri}: {final.start}")


def refused_for_now(caller, uri):
    final = final_of(caller, uri)
    if final.status != 500 or not final.get("retry-after"):
        raise LabError(f"{caller.uri} to {uri}: {final.start}, Retry-After {final.get('retry-after')!r}")


def before_the_longer_one(lab, phones):
    """Its name is a site of the shorter one as long as nobody else has it."""
    for phone in (*phones.short, phones.site, phones.third, phones.aside):
        phone.register()
    call(phones.third, phones.aside)
    call(phones.short[-1], phones.aside)


def is_refused_here(phone):
    phone.request("REGISTER", f"sip:{phone.domain}", extra=[("Expires", "300")])
    final = phone.expect("a final response", lambda m: m.is_response and m.status >= 200)
    if final.status == 403 and LONG not in final.get("warning"):
        raise LabError(f"403 with Warning {final.get('warning')!r}")
    return final.status == 403


def the_longer_one_comes(lab, phones):
    """Its users are registered at its own nodes alone, and those bound before are set aside."""
    lab.islands[1].nodes[0].start()
    lab.wait_gateway(lab.islands[1])
    phones.long.register()
    stranger = Agent(f"{PHONES}.8", "late", LONG, lab.islands[0].nodes[1].sip)
    try:
        wait_for("both nodes know", lambda: is_refused_here(stranger) and is_refused_here(phones.aside), FRESH_S)
    finally:
        stranger.close()
    final = final_of(phones.short[0], phones.aside.uri)
    if final.status != 404:
        raise LabError(f"a binding that is set aside: {final.start}")
    kept = lab.islands[0].nodes[0].ctl("registrations")
    if not any(line["aor"] == f"early@{LONG}" for line in kept):
        raise LabError(f"the binding is gone: {kept}")


def all_directions(phones):
    callers = [*phones.short, phones.site, phones.long, phones.third]
    # who has called the name's former users knows their gateway for 10 s
    wait_for("the third overlay knows", lambda: final_of(phones.third, phones.long.uri, phones.long).status == 200,
             FRESH_S)
    for caller in callers:
        for callee in callers:
            if caller is not callee:
                call(caller, callee)


def shorter_may_not_speak(lab, phones):
    """A phone of the shorter one does not call as a user of the longer one."""
    for phone in phones.short:
        phone.request("OPTIONS", phones.third.uri, from_uri=phones.long.uri)
        phone.expect_status(403, "OPTIONS")


def the_longer_one_goes(lab, phones):
    """Killed, and forgotten by a ring that is new: its users are nobody else's, on restarted nodes too."""
    lab.islands[1].nodes[0].kill()
    for caller in (*phones.short, phones.third):
        refused_for_now(caller, phones.long.uri)
    restart(lab)
    for phone in (*phones.short, phones.third):
        phone.register()
        refused_for_now(phone, phones.long.uri)
        refused_for_now(phone, phones.aside.uri)
    if not is_refused_here(phones.aside):
        raise LabError("REGISTER of the longer name was accepted")


def restart(lab, before_start=lambda: None):
    """Every node of the other overlays: nobody has its entry any longer."""
    nodes = [*lab.islands[0].nodes, *lab.islands[2].nodes]
    for node in nodes:
        node.kill()
    before_start()
    for node in nodes:
        node.start()
    for island in (lab.islands[0], lab.islands[2]):
        lab.wait_gateway(island)
    lab.wait_resolves(lab.islands[2].nodes[0], f"sip:overlay@{SHORT}")


def forget(lab):
    for node in lab.islands[0].nodes:
        os.unlink(os.path.join(node.dir, "state", "names"))


def gone_for_good(lab, phones):
    """Without a memory of it the name is a site again: the binding that was set aside is back."""
    restart(lab, lambda: forget(lab))
    call(phones.third, phones.aside)
    phones.short[1].register()
    call(phones.short[1], phones.aside)


def configured(lab, phones):
    """One that the configuration lists is foreign without ever having been seen."""
    for node in lab.islands[0].nodes:
        node.configure(local_extra=f'foreign = {{"{LONG}"}}')
    restart(lab)
    for caller in (*phones.short, phones.third):
        caller.register()
        refused_for_now(caller, phones.aside.uri)


def main():
    tests = Tests()
    lab = Lab()
    for name, count, algorithm, site in ((SHORT, 2, "pastry", "lab"), (LONG, 1, "chord", "s"), (THIRD, 1, "can", "site")):
        lab.island(name, NETS[name], count, algorithm, site)
    lab.prepare()
    phones = Phones(lab)
    logs = {}
    try:
        for island in (lab.islands[0], lab.islands[2]):
            for node in island.nodes:
                node.start()
        for island in (lab.islands[0], lab.islands[2]):
            lab.wait_gateway(island)
        lab.wait_resolves(lab.islands[2].nodes[0], f"sip:overlay@{SHORT}")
        tests.run("before the longer name there is one overlay", before_the_longer_one, lab, phones)
        tests.run("a longer name comes", the_longer_one_comes, lab, phones)
        tests.run("calls in all directions", all_directions, phones)
        tests.run("nobody calls as another overlay's user", shorter_may_not_speak, lab, phones)
        tests.run("the longer name goes", the_longer_one_goes, lab, phones)
        tests.run("the longer name is forgotten", gone_for_good, lab, phones)
        tests.run("a longer name is configured", configured, lab, phones)
    except LabError as problem:
        tests.run("the lab", same_codes, {"lab": problem})
    finally:
        phones.close()
        logs = {node: node.log for node in lab.nodes()}
        codes = lab.stop(keep=True)
        tests.run("every daemon leaves with exit code 0", same_codes, codes)
        for node, log in logs.items():
            tests.run(f"{node.island.name}/{node.name}: sanitizers are silent", clean_log, log())
        lab.stop(keep=bool(os.environ.get("KEEP")))
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
