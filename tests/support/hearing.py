"""All that a caller is told of a service's events, as streams and webhooks tell it, without waiting for a stream."""

from __future__ import annotations

from typing import Any

from services.city import APIS
from shared.web.identity import Principal
from shared.web.visibility import told
from tests.support.city import City


async def heard(
    city: City, service: str, role: str, unit: str | None = None, district: str | None = None, sub: str = "somebody"
) -> list[dict[str, Any]]:
    """Every event that is the caller's business, in order of partitions."""
    running, principal = city.running[service], Principal(sub, (role,), unit, district)
    found: list[dict[str, Any]] = []
    for partition, head in enumerate(await running.log.heads()):
        events = await running.log.read_partition(partition, 0, 10_000) if head else ()
        said = await told(running, APIS[service].owners, principal, events) if events else ()
        assert said is not None, "the views have not taken everything yet"
        found += [dict(one) for one in said if one is not None]
    return found
