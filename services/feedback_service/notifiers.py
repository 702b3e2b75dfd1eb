"""Tells people: takes the notices that are due, one at a time for each person, and hands them to a gateway.

One process at a time does it for all. Before anything leaves that cannot recognise a repeat, the attempt is on record;
whoever takes over after a crash counts such an attempt as uncertain and leaves it. What a repeatable gateway was given
is given again under the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Never

import structlog
from sqlalchemy import RowMapping, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.feedback_service import delivery
from services.feedback_service.addressees import Known, known_about
from services.feedback_service.links import written
from services.feedback_service.notice import (
    NOTICES,
    Attempt,
    NoteFailed,
    NoteSent,
    Postpone,
    Standing,
    Suppress,
    Suppressed,
)
from services.feedback_service.telling import TELLER, link_of
from services.feedback_service.templates import WAYS, Template, notifications
from services.feedback_service.views import NOTICE_ROWS
from shared.contracts.codes import Audience, NoticeChannel
from shared.engine.consume import TRANSIENT
from shared.engine.decider import Command
from shared.engine.execute import Decision, Intention
from shared.engine.gateways import Gateway, GatewayAway, GatewayRefused, GatewayUncertain, Message, gateways
from shared.engine.runtime import Running
from shared.engine.telemetry import NOTIFIED
from shared.eventlog.log import partition_of

LOOK_SECONDS = 1.0
LOOKED_AT = frozenset({"cases", "notices", "preferences", "recipients", "restricted"})
"""Views that decide whether and how somebody is told."""
TOGETHER = 500
TRY_LOCK = "SELECT pg_try_advisory_lock(hashtext('notifying'))"
UNLOCK = "SELECT pg_advisory_unlock(hashtext('notifying'))"
AGAIN = (*TRANSIENT, PoolTimeout, DBAPIError)
log = structlog.get_logger()


async def keep_telling(running: Running) -> Never:
    """Send what is due, for ever; any number of processes may do so."""
    timeout = notifications().policy.timeout.total_seconds()
    async with gateways(running.settings, running.clock, timeout) as ways:
        teller = Teller(running, {NoticeChannel(channel): way for channel, way in ways.items()})
        while True:
            try:
                async with running.pool.acquire() as lock:
                    if await lock.fetchval(TRY_LOCK):
                        try:
                            await teller.serve(lock)
                        finally:
                            with suppress(*TRANSIENT):
                                await lock.execute(UNLOCK)
            except AGAIN as error:
                log.warning("telling again", reason=type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)


@dataclass
class Teller:
    """Whoever holds the lock."""

    running: Running
    ways: Mapping[NoticeChannel, Gateway]

    async def serve(self, lock: Any) -> Never:
        """Goes on until something fails; what was in hand when somebody before us ended is settled first."""
        await self.running.views_settled()
        for row in await self._rows(NOTICE_ROWS.c.standing == Standing.ATTEMPTED.value):
            await self._note(row, Suppress(**self._now(row), reason="UNCERTAIN"))
        while True:
            rung = self.running.bell.next_ring()
            await lock.execute("SELECT 1")
            if not await self._batch():
                await self.running.bell.wait(LOOK_SECONDS, rung)

    async def _batch(self) -> bool:
        """Some that are due; of one person one, so that what the person has been told is known. False: none was.

        What is decided here is final, so everything that was said up to now is heard first, by whomever.
        """
        waits = NOTICE_ROWS.c.standing == Standing.WAITING.value
        due = await self._rows(waits & (NOTICE_ROWS.c.due_at <= self.running.clock.now()))
        if mute := [row for row in due if not self.ways.keys() & set(WAYS[Audience(row["audience"])])]:
            return await self._together([self._suppressed(row, "NO_GATEWAY") for row in mute])
        partitions = {partition_of(row["appeal_id"], self.running.log.partitions) for row in due}
        heard = {one for one in sorted(partitions) if await self.running.heard(one, LOOKED_AT)}
        due = [row for row in due if partition_of(row["appeal_id"], self.running.log.partitions) in heard]
        if not due:
            return False
        known = await known_about(self.running, [row["appeal_id"] for row in due])
        first = {known.person(row) or row["notice_id"]: row for row in reversed(due)}
        return await self._together([self._deal(row, known) for row in first.values()])

    async def _together(self, work: Sequence[Coroutine[Any, Any, bool]]) -> bool:
        """Whether anything came of it. What goes wrong is told when all have ended, so that nobody works on unseen."""
        done = await asyncio.gather(*work, return_exceptions=True)
        for error in done:
            if isinstance(error, BaseException):
                raise error
        return any(done)

    async def _suppressed(self, row: RowMapping, reason: Suppressed) -> bool:
        return bool((await self._note(row, Suppress(**self._now(row), reason=reason))).envelopes)

    async def _rows(self, condition: Any) -> Sequence[RowMapping]:
        in_order = (NOTICE_ROWS.c.due_at, NOTICE_ROWS.c.cause, NOTICE_ROWS.c.template)
        query = select(NOTICE_ROWS).where(condition).order_by(*in_order).limit(TOGETHER)
        async with self.running.reads.connect() as connection:
            return (await connection.execute(query)).mappings().all()

    async def _deal(self, row: RowMapping, known: Known) -> bool:
        """One of them. Whatever is wrong with it, the others go on."""
        try:
            await self._decide(row, known)
        except AGAIN:
            raise
        except Exception as error:
            log.error("cannot be told", notice=row["notice_id"], reason=type(error).__name__)
            await self._failed(row, NoticeChannel.SMS, type(error).__name__, final=True)
        return True

    async def _decide(self, row: RowMapping, known: Known) -> None:
        template = notifications().named(row["template"])
        if template is None:
            await self._note(row, Suppress(**self._now(row), reason="STALE"))
            return
        now = self.running.clock.now()
        at = known.circumstances(row, template, now, frozenset(self.ways))
        match delivery.next_step(at, notifications().policy):
            case delivery.Never(reason):
                await self._note(row, Suppress(**self._now(row), reason=reason))
            case delivery.Later(reason, until):
                await self._note(row, Postpone(**self._now(row), reason=reason, until=until))
            case delivery.Send(channel):
                await self._send(row, template, channel, at, known)

    async def _send(
        self,
        row: RowMapping,
        template: Template,
        channel: NoticeChannel,
        at: delivery.Circumstances,
        known: Known,
    ) -> None:
        way, language = self.ways[channel], at.preference.language
        if not await self._may_begin(row, channel, way):
            return
        text = template.text(language, known.values(row, self._link(row)))
        message = Message(row["notice_id"], channel, at.addresses[channel], known.ticket(row), text, language)
        try:
            await way.send(message)
        except GatewayUncertain:
            await self._note(row, Suppress(**self._now(row), reason="UNCERTAIN"))
        except (GatewayRefused, GatewayAway) as error:
            await self._failed(row, channel, str(error), final=isinstance(error, GatewayRefused))
        else:
            person = known.person(row)
            await self._note(row, NoteSent(**self._now(row), channel=channel, language=language, person=person))

    async def _may_begin(self, row: RowMapping, channel: NoticeChannel, way: Gateway) -> bool:
        """The log decides, not the view: whether it still waits, and on record where a repeat would be one."""
        if not way.repeatable:
            return bool((await self._note(row, Attempt(**self._now(row), channel=channel))).envelopes)
        intention = Intention(NOTICES, row["appeal_id"], Attempt(**self._now(row), channel=channel))
        notices = (await self.running.executor.load(intention)).state
        return notices.by_id[row["notice_id"]].standing is Standing.WAITING

    async def _failed(self, row: RowMapping, channel: NoticeChannel, reason: str, final: bool) -> None:
        policy = notifications().policy
        log.warning("not told", notice=row["notice_id"], channel=channel, reason=reason)
        await self._note(row, NoteFailed(**self._now(row), channel=channel, reason=reason, final=final, policy=policy))

    def _link(self, row: RowMapping) -> str:
        link = link_of(row["appeal_id"], row["link"])
        if link is None:
            return ""
        token = written(self.running.secrets.token, link)
        return f"{self.running.settings.public_url.rstrip('/')}/feedback/v1/{link.purpose.name.lower()}/{token}"

    def _now(self, row: RowMapping) -> dict[str, Any]:
        return {"at": self.running.clock.now(), "actor": TELLER, "notice_id": row["notice_id"]}

    async def _note(self, row: RowMapping, command: Command) -> Decision[Any]:
        decision = await self.running.executor.execute(Intention(NOTICES, row["appeal_id"], command))
        for event in decision.envelopes:
            NOTIFIED.labels(event.type.split(".")[-2].removeprefix("notification-")).inc()
        return decision
