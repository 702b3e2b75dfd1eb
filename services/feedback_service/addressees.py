"""Whom a notice is for: the appellant, with the number or address that was left, a unit, or the hotline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import RowMapping, select

from services.feedback_service import delivery
from services.feedback_service.links import Purpose
from services.feedback_service.preference import Preference
from services.feedback_service.reading import LISTED, opened_appellants
from services.feedback_service.telling import link_of
from services.feedback_service.templates import Template, notifications
from services.feedback_service.views import CASES, NOTICE_ROWS, PREFERENCES, RECIPIENTS, RESTRICTED
from shared.contracts.codes import Audience, CaseState, Language, NoticeChannel
from shared.contracts.envelope import rfc3339
from shared.engine.joined import split
from shared.engine.runtime import Running

ASKED_IN = (CaseState.FEEDBACK_DONE, CaseState.CALLBACK_DUE)


@dataclass(frozen=True)
class Known:
    """What is known about some appeals and their people."""

    recipients: Mapping[str, RowMapping]
    cases: Mapping[str, RowMapping]
    closed: Mapping[str, Literal["RESTRICTED", "ERASED"]]
    wishes: Mapping[str, RowMapping]
    told: Mapping[str, Sequence[datetime]]
    opened: Mapping[str, dict[str, Any]]

    def person(self, row: RowMapping) -> str | None:
        """The appellant's pseudonym where it is the appellant who is told."""
        recipient = self.recipients.get(row["appeal_id"])
        return recipient["person"] if recipient and row["audience"] == Audience.APPELLANT else None

    def ticket(self, row: RowMapping) -> str:
        """The ticket number."""
        recipient = self.recipients.get(row["appeal_id"])
        return str(recipient["ticket_no"]) if recipient else ""

    def values(self, row: RowMapping, link: str) -> dict[str, str]:
        """What texts may say."""
        case = self.cases.get(row["appeal_id"])
        due = rfc3339(case["due_at"])[:16].replace("T", " ") if case and case["due_at"] else ""
        unit = (case["lead_unit_name"] or case["lead_unit"] or "") if case else ""
        return {"ticket_no": self.ticket(row), "unit": unit, "due": due, "link": link}

    def circumstances(
        self, row: RowMapping, template: Template, now: datetime, ways: frozenset[NoticeChannel]
    ) -> delivery.Circumstances:
        """Everything that decides."""
        person = self.person(row)
        wish = self.wishes.get(person) if person else None
        preference = Preference(
            Language(wish["language"]), tuple(map(NoticeChannel, split(wish["off"]))), wish["optional"]
        ) if wish else Preference()  # fmt: skip
        who = self.opened.get(row["appeal_id"], {}) if person else {}
        return delivery.Circumstances(
            template=template,
            planned_at=row["planned_at"],
            now=now,
            preference=preference,
            addresses=self._addresses(row, who),
            gateways=ways,
            told=self.told.get(person, ()) if person else (),
            moot=self._moot(row),
            closed=self.closed.get(row["appeal_id"]) if person else None,
        )

    def _moot(self, row: RowMapping) -> bool:
        """Nobody is asked by message what an officer has asked in the meantime."""
        link, case = link_of(row["appeal_id"], row["link"]), self.cases.get(row["appeal_id"])
        if link is None or link.purpose is not Purpose.SURVEY or case is None:
            return False
        return case["round"] != link.number or case["state"] not in ASKED_IN

    def _addresses(self, row: RowMapping, who: Mapping[str, Any]) -> dict[NoticeChannel, str]:
        if row["audience"] == Audience.APPELLANT:
            left = {NoticeChannel.SMS: "phone", NoticeChannel.EMAIL: "email", NoticeChannel.WECHAT: "wechat"}
            found = {way: who.get(name) for way, name in left.items()}
        else:
            case = self.cases.get(row["appeal_id"])
            unit = case["lead_unit"] if case else None
            found = {NoticeChannel.WORK: unit if row["audience"] == Audience.UNIT else "hotline"}
        return {way: address for way, address in found.items() if address}


async def known_about(running: Running, appeals: Sequence[str]) -> Known:
    """What the views say about these appeals and their people, opened as far as it may be."""
    async with running.reads.connect() as connection:

        async def rows(query: Any) -> Sequence[RowMapping]:
            return (await connection.execute(query)).mappings().all()

        recipients = {r["appeal_id"]: r for r in await rows(_of(RECIPIENTS, appeals))}
        cases = {r["appeal_id"]: r for r in await rows(select(*LISTED).where(CASES.c.appeal_id.in_(appeals)))}
        closed = {r["appeal_id"]: r["measure"] for r in await rows(_of(RESTRICTED, appeals))}
        people = sorted({r["person"] for r in recipients.values()})
        wishes = {r["person"]: r for r in await rows(select(PREFERENCES).where(PREFERENCES.c.person.in_(people)))}
        since = running.clock.now() - notifications().policy.budget_within
        sent = select(NOTICE_ROWS.c.person, NOTICE_ROWS.c.sent_at).where(
            NOTICE_ROWS.c.person.in_(people), NOTICE_ROWS.c.sent_at > since
        )
        told: dict[str, list[datetime]] = {}
        for row in await rows(sent.order_by(NOTICE_ROWS.c.sent_at)):
            told.setdefault(row["person"], []).append(row["sent_at"])
    opened = await opened_appellants(running, list(recipients.values()))
    return Known(recipients, cases, closed, wishes, told, opened)


def _of(table: Any, appeals: Sequence[str]) -> Any:
    return select(table).where(table.c.appeal_id.in_(appeals))
