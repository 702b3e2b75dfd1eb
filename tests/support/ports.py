"""Ports for servers that a test starts, and starts again, by number."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

BELOW_WHAT_THE_SYSTEM_GIVES_OUT = range(20_000, 30_000)
"""Nobody gets one of these by chance before its server starts, or while it is down."""


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ports; tests that run beside this one hardly ever draw the same."""
    found: list[int] = []
    for port in random.SystemRandom().sample(BELOW_WHAT_THE_SYSTEM_GIVES_OUT, 100 + count):
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError("no port is free")
