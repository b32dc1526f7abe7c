#!/usr/bin/env python3
"""All other nodes of an overlay die, and with them the records of those who are registered at the gateway itself."""
import sys

from common import Tests, lab_of
from agent import Agent

USERS = 12


def gateway_knows_its_own(lab, net):
    """All other nodes of its overlay die: nobody who is registered at the gateway itself is unknown."""
    east, west = lab.islands
    gateway = east.gateway()
    phone = Agent(f"{net}.1", "phone", east.domain, gateway.sip)
    caller = Agent(f"{net}.2", "caller", west.domain, west.gateway().sip)
    caller.register()
    names = [f"own{n}" for n in range(USERS)]
    for name in names:
        phone.user, phone.uri = name, f"sip:{name}@{east.domain}"
        phone.register()
    for node in east.others():
        node.process.kill()
        node.process.wait()
        node.process = None
    for name in names:
        caller.request("MESSAGE", f"sip:{name}@{east.domain}", body="hello")
        phone.answer(phone.expect_request("MESSAGE"), 200)
        caller.expect_status(200, "MESSAGE")


def main():
    tests = Tests()
    with lab_of(tests, [("east", "127.98.0", 4), ("west", "127.98.1", 1)]) as lab:
        tests.run("who is at the gateway itself is found", gateway_knows_its_own, lab, "127.98.9")
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
