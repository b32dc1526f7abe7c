#!/usr/bin/env python3
"""The certificate of a gateway in its own overlay ends while it runs: the role goes on, nobody believes the node any
longer, and with a new one it is a member and a candidate again, without a new start.
"""
import sys

from certificates import run

ISLANDS = [("east", "127.84.134", 3), ("west", "127.84.135", 1)]
PHONES = "127.84.136"


def main():
    return run(ISLANDS, PHONES, "local", "overlay")


if __name__ == "__main__":
    sys.exit(main())
