"""What whoever holds the tracking code sees: where the appeal stands, what was done, and what was said to and by them.

In Chinese and English side by side; nothing that is meant for the hotline or the unit alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping

from services.intake_service.notices import advice, ending, state_text, step_text
from services.intake_service.reading import TIMES, case_row, counts_of, listed_attachments, opened_story
from shared.contracts.codes import Recipient, Via
from shared.contracts.envelope import rfc3339
from shared.engine.joined import split
from shared.engine.runtime import Running

WRITTEN_BY = {
    "intake.appellant-wrote": "APPELLANT",
    "feedback.appellant-replied": "APPELLANT",
    "feedback.message-posted": "UNIT",
}
EVALUATED = {"intake.appeal-evaluated", "feedback.citizen-evaluated"}
Story = Sequence[Mapping[str, Any]]


async def tracked(running: Running, row: RowMapping) -> dict[str, Any]:
    """The resident's own view of a case."""
    story = await opened_story(running, row)
    seen: dict[str, Any] = {name: row[name] for name in ("ticket_no", "kind", "state", "lead_unit_name", "version")}
    seen |= {name: row[name] and rfc3339(row[name]) for name in TIMES} | counts_of(row)
    seen |= {"state_text": state_text(row["state"])}
    seen["notice"] = next((told for one in story if (told := ending(one["type"], one["data"]))), None)
    if seen["notice"] and "into" in seen["notice"]:  # residents know ticket numbers
        seen["notice"]["into"] = (await case_row(running, seen["notice"]["into"]))["ticket_no"]
    seen["advice"] = [advice(call) for call in ("119", "110", "120", "122") if call in split(row["alerts"])]
    seen |= {"steps": _steps(story), "answers": _answers(story), "messages": _messages(story)}
    seen["receipt"] = _receipt(story)
    return seen | {"attachments": listed_attachments(story), "evaluation": _evaluation(story)}


def _receipt(story: Story) -> dict[str, str]:
    """Where to fetch the proof that this appeal stands in the log."""
    event_id = next(str(one["event_id"]) for one in story if _name(one) == "intake.appeal-registered")
    return {"event_id": event_id, "proof": f"/intake/v1/log/proof?event_id={event_id}"}


def _steps(story: Story) -> list[dict[str, Any]]:
    """What happened, as far as it is the resident's business."""
    told = ((one, step_text(_name(one), one["data"])) for one in story)
    return [{"time": rfc3339(one["time"]), **text} for one, text in told if text]


def _answers(story: Story) -> list[dict[str, Any]]:
    """What the unit answered to the resident. What it told the hotline is not for them."""
    given = (one for one in story if _name(one) == "feedback.feedback-given")
    return [
        {"time": rfc3339(one["time"]), **{name: one["data"].get(name) for name in ("kind", "text", "outcome")}}
        for one in given
        if one["data"]["recipient"] == Recipient.APPELLANT
    ]


def _messages(story: Story) -> list[dict[str, Any]]:
    written = ((WRITTEN_BY.get(_name(one)), one) for one in story)
    return [_message(by, one) for by, one in written if by]


def _message(by: str, event: Mapping[str, Any]) -> dict[str, Any]:
    data = event["data"]
    told = {"from": by, "time": rfc3339(event["time"]), "text": data["text"]}
    return told | ({"attachments": data["attachments"]} if data.get("attachments") else {})


def _evaluation(story: Story) -> dict[str, Any] | None:
    """The last one counts, wherever it was said; feedback keeps a note of what was said on the tracking page."""
    given = [one["data"] for one in story if _name(one) in EVALUATED and one["data"].get("via") != Via.TRACKING]
    keep = ("resolved", "satisfaction", "process_satisfaction", "comment")
    return {name: given[-1].get(name) for name in keep} if given else None


def _name(event: Mapping[str, Any]) -> str:
    """E.g. intake.appeal-registered"""
    return ".".join(event["type"].split(".")[-3:-1])
