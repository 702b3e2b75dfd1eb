"""What a resident is told, in Chinese and English: whom to call at once, why an appeal went another way, where to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.intake_service.policy import notice_texts
from shared.contracts.codes import ContactOutcome, Recipient, Via
from shared.contracts.intake import Triage


def hand_overs(triage: Triage | None) -> list[str]:
    """The emergency numbers that a triage names, each once."""
    alerts = triage.alerts if triage else ()
    return list(dict.fromkeys(alert.hand_over for alert in alerts if alert.hand_over))


def advice(call: str) -> dict[str, str]:
    """Call this number now."""
    return {"call": call, **_both("emergency", call=call)}


def ending(event_type: str, data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Why an appeal ended at the hotline, in words a resident understands; None when it did not end that way."""
    match event_type.split(".")[-2]:
        case "appeal-redirected":
            told = {"route": data["route"], "reason": data["reason"], "target": data.get("target")}
            return told | _both(f"redirected.{data['route']}", target=data.get("target") or "")
        case "appeal-answered-directly":
            return {"text": data["text"], "knowledge_id": data.get("knowledge_id"), **_both("answered")}
        case "appeal-merged":
            return {"into": data["into"], "reason": data["reason"], **_both("merged")}
    return None


def state_text(state: str) -> dict[str, str]:
    """Where an appeal stands."""
    return _both(f"state.{state}")


def step_text(event: str, data: Mapping[str, Any]) -> dict[str, str] | None:
    """What happened; None for what is not the resident's business."""
    failed = event == "feedback.appellant-contacted" and data["outcome"] != ContactOutcome.REACHED
    name = f"step.{event}" + (".failed" if failed else "")
    not_theirs = data.get("recipient") == Recipient.HOTLINE or data.get("via") == Via.TRACKING  # told already
    if name not in notice_texts() or not_theirs:
        return None
    return _both(name, unit=data.get("lead_unit_name") or "", due=str(data.get("due_at") or "")[:16].replace("T", " "))


def _both(name: str, **values: str) -> dict[str, str]:
    texts = notice_texts()[name]
    return {language: texts[language].format(**values) for language in ("zh", "en")}
