"""How often anybody may ask: a bucket per account and per address (GCRA, ITU-T I.371), and where a request came from.

What is left is said in `RateLimit-*` (IETF draft httpapi-ratelimit-headers); too much is 429 with `Retry-After`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from math import ceil

from starlette.requests import Request

from shared.web.problems import Problem

REMEMBERED = 50_000
BURST_SECONDS = 2.0
"""A full bucket holds what comes in so long."""
Address = IPv4Address | IPv6Address


class Buckets:
    """A bucket per name; the least recently used are forgotten, which is as good as full."""

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        burst_seconds: float = BURST_SECONDS,
    ) -> None:
        self._each, self._clock = 1 / per_second, clock
        self.limit = max(1, round(per_second * burst_seconds))
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def left(self, name: str) -> int:
        """How many more requests may come now."""
        return int((self.limit * self._each - self._wait(name) + 1e-9) / self._each)

    def take(self, name: str) -> tuple[int, int]:
        """Take one: what is left, and in how many seconds the bucket is full again. Raises TOO_MANY_REQUESTS."""
        if self.left(name) < 1:
            seconds = ceil(self._wait(name) - (self.limit - 1) * self._each)
            raise Problem("TOO_MANY_REQUESTS", headers={"Retry-After": str(max(1, seconds))})
        self._full_at[name] = self._clock() + self._wait(name) + self._each
        self._full_at.move_to_end(name)
        while len(self._full_at) > REMEMBERED:
            self._full_at.popitem(last=False)
        return self.left(name), ceil(self._wait(name))

    def _wait(self, name: str) -> float:
        return max(0.0, self._full_at.get(name, 0.0) - self._clock())


class Addresses:
    """Where requests come from. Only a gateway that we trust may say it for others (X-Forwarded-For)."""

    def __init__(self, trusted: str) -> None:
        """`trusted`: CIDRs, comma separated. Raises ValueError."""
        self._trusted = [ip_network(one.strip()) for one in trusted.split(",") if one.strip()]

    def of(self, request: Request) -> str:
        """The nearest address that is not a gateway of ours; what a gateway cannot name is counted to the gateway."""
        peer = request.client.host if request.client else ""
        found = _address(peer)
        if found is None or not self._ours(found):
            return _counted(found) if found else peer
        said = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        for one in filter(None, map(str.strip, reversed(said))):
            address = _address(one)
            if address is None:
                break
            if not self._ours(address):
                return _counted(address)
        return peer

    def _ours(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _address(text: str) -> Address | None:
    """With or without a port; an IPv4 address inside an IPv6 address is itself."""
    bare = text[1:].partition("]")[0] if text.startswith("[") else text
    try:
        found = ip_address(bare.partition(":")[0] if bare.count(":") == 1 else bare)
    except ValueError:
        return None
    return found if isinstance(found, IPv4Address) else found.ipv4_mapped or found


def _counted(address: Address) -> str:
    """Whoever has IPv6 has 2^64 addresses at least; they are counted as one."""
    return str(address if isinstance(address, IPv4Address) else IPv6Network((int(address), 64), strict=False))
