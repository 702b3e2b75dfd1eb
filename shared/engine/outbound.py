"""Calling strangers without being used against ourselves (OWASP: SSRF): which addresses may be called, checked twice.

Once when an address is saved, and again when a connection is made, on the very addresses that are then connected to.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

Network = IPv4Network | IPv6Network
LONGEST_URL = 2000
_TUNNELS = [ip_network(one) for one in ("::/3", "4000::/2", "8000::/1", "2001::/23", "2001:db8::/32", "2002::/16")]
_TUNNELS.append(ip_network("3fff::/20"))
"""IPv6 that is not plain global unicast (2000::/3): some of it leads to IPv4 addresses of any kind (NAT64, 6to4)."""


class ForbiddenAddress(Exception):
    """This may not be called; the message says why, without repeating the address."""


class Guard:
    """`allowed` names networks that may be called although they are not public: partners inside the city's own net."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed: list[Network] = [ip_network(one) for one in allowed]

    async def check(self, url: str) -> None:
        """Raises ForbiddenAddress unless the URL is one that may be saved and called."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ForbiddenAddress("it is not a URL") from None
        if parts.scheme not in {"https", "http"} or not host or len(url) > LONGEST_URL or not url.isascii():
            raise ForbiddenAddress("an https URL in ASCII is needed")
        if parts.username or parts.password or parts.fragment:
            raise ForbiddenAddress("no user, password or fragment belongs in it")
        private = await self._resolve(host)
        if not private and (parts.scheme != "https" or port not in {None, 443} or "." not in host or _is_literal(host)):
            raise ForbiddenAddress("outside the allowed networks only https, port 443 and a host name are called")

    async def _resolve(self, host: str) -> bool:
        """Whether all addresses of a host are in the allowed networks. Raises ForbiddenAddress."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise ForbiddenAddress("its host cannot be resolved") from None
        inside = [self.permits(str(one[4][0])) for one in found]
        return all(inside)

    def permits(self, address: str) -> bool:
        """True for the allowed networks, False for public addresses. Raises ForbiddenAddress for everything else."""
        plain = ip_address(address.partition("%")[0])
        mapped = getattr(plain, "ipv4_mapped", None) or plain
        if any(mapped in network for network in self._allowed if network.version == mapped.version):
            return True
        if not mapped.is_global or mapped.is_multicast or any(mapped in network for network in _TUNNELS):
            raise ForbiddenAddress("its host is not on the public internet")
        return False

    def session(self, timeout_seconds: float) -> aiohttp.ClientSession:
        """A client that connects to permitted addresses only, keeps no cookies and follows nothing."""
        connector = aiohttp.TCPConnector(resolver=_Checked(self), use_dns_cache=False, limit=100)
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())


class _Checked(AbstractResolver):
    """Resolves, and drops what may not be connected to: the connection uses these addresses and no others."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._inner: Any = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self._inner = self._inner or aiohttp.ThreadedResolver()
        found: list[ResolveResult] = await self._inner.resolve(host, port, family)
        for one in found:
            self._guard.permits(one["host"])
        return found

    async def close(self) -> None:
        if self._inner is not None:
            await self._inner.close()


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
