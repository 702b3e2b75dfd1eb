"""Past appeals, read again from intake's log: what a draft would make of them, what a model learns from.

Routing keeps no texts of its own. Those of persons who were erased stay closed and are left out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from services.routing_service.matter import Matter, matter_of
from shared.contracts.envelope import Envelope
from shared.contracts.intake import AppealRegistered
from shared.contracts.upcasters import payload_of
from shared.engine.runtime import Running
from shared.eventlog.sealing import SubjectErased, sealed_refs, unseal_data

REGISTERED = AppealRegistered.event_type()
BATCH = 500


@dataclass(frozen=True)
class Past:
    """An appeal as it came in."""

    appeal_id: str
    ticket_no: str
    kind: str
    matter: Matter


async def past_appeals(running: Running, back: int | None = None) -> AsyncIterator[Past]:
    """Every appeal that can still be read; only those in the last `back` events of each partition, if given.

    Raises BusUnavailable.
    """
    heads = await running.bus.heads("intake")
    after = {partition: max(0, head - back) if back else 0 for partition, head in enumerate(heads)}
    left = {partition for partition, head in enumerate(heads) if head > after[partition]}

    async def reached() -> Mapping[int, int]:
        return after

    subscription = await running.bus.subscribe("past", "intake", reached, BATCH, alone=True)
    try:
        while left:
            for batch in await subscription.next():
                wanted = [one.envelope for one in batch.events if one.position <= heads[batch.partition]]
                registered = [one for one in wanted if one.type == REGISTERED]
                await running.keyring.load({ref for one in registered for ref in sealed_refs(REGISTERED, one.data)})
                for envelope in registered:
                    if past := _read(running, envelope):
                        yield past
                if batch.events[-1].position >= heads[batch.partition]:
                    left.discard(batch.partition)
    finally:
        await subscription.close()


def _read(running: Running, envelope: Envelope) -> Past | None:
    try:
        place = f"{envelope.stream}/{envelope.id}"
        facts = payload_of(REGISTERED, unseal_data(running.keyring, REGISTERED, envelope.data, place))
    except SubjectErased:
        return None
    assert isinstance(facts, AppealRegistered)
    matter = matter_of(facts)
    return Past(envelope.subject, facts.ticket_no, facts.kind, matter) if matter.content else None
