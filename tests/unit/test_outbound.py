"""Which addresses may be called: plain public ones, and not those that lead somewhere else."""

from __future__ import annotations

import pytest

from shared.engine.outbound import ForbiddenAddress, Guard

INSIDE = {
    "NAT64 to link-local": "64:ff9b::a9fe:a9fe",
    "NAT64 for local use": "64:ff9b:1::1",
    "6to4 to a private network": "2002:a00:1::1",
    "IPv4-compatible loopback": "::7f00:1",
    "IPv4-translated loopback": "::ffff:0:7f00:1",
    "IPv4-mapped loopback": "::ffff:127.0.0.1",
    "Teredo": "2001::1",
    "site-local": "fec0::1",
    "unique local": "fd00::1",
    "link-local with a zone": "fe80::1%eth0",
    "documentation": "2001:db8::1",
    "documentation, the newer": "3fff::1",
    "multicast": "ff0e::1",
    "multicast, IPv4": "224.0.1.1",
    "shared": "100.64.0.1",
    "nowhere": "0.0.0.0",
}


@pytest.mark.parametrize("address", INSIDE.values(), ids=INSIDE.keys())
def test_an_address_that_may_lead_inside_is_refused(address: str) -> None:
    with pytest.raises(ForbiddenAddress) as refusal:
        Guard([]).permits(address)
    assert address not in str(refusal.value)


@pytest.mark.parametrize("address", ["2606:4700::1111", "8.8.8.8", "::ffff:8.8.8.8"])
def test_a_public_address_may_be_called_and_is_not_one_of_the_allowed_networks(address: str) -> None:
    assert Guard(["10.0.0.0/8", "fd00::/8"]).permits(address) is False


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1"])
def test_a_network_that_is_allowed_may_be_called_however_its_address_is_written(address: str) -> None:
    assert Guard(["10.0.0.0/8", "fd00::/8"]).permits(address) is True
