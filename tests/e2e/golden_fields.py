"""`python -m tests.e2e.golden_fields` writes anew which fields each role is told, endpoint by endpoint.

What is null is not told. Three appeals go the same way: a plain one, a confidential one, a report.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.city import APIS
from tests.support.city import WATER, City, Reply, a_city
from tests.support.database import test_server
from tests.support.files import BEIJING_GPS, attached, picture
from tests.support.hearing import heard
from tests.support.views import published, settled

HERE = Path(__file__).parent / "golden" / "fields"
DISTRICT, HOUSING, PARTNER = "110105", "bj-housing", "partner"
KINDS: dict[str, dict[str, Any]] = {"plain": {}, "confidential": {"confidential": True}, "report": {"kind": "REPORT"}}
ROLES: dict[str, dict[str, Any]] = {
    "unit": {"role": "ENTERPRISE_HANDLER", "unit": WATER},
    "co-unit": {"role": "DEPARTMENT_HANDLER", "unit": HOUSING},
    "community": {"role": "COMMUNITY_ASSISTANT", "unit": "fl-chaoyang"},
    "district": {"role": "DISTRICT_COORDINATOR", "district": DISTRICT},
    "agent": {"role": "AGENT"},
    "callback officer": {"role": "CALLBACK_OFFICER"},
    "auditor": {"role": "AUDITOR"},
    "analyst": {"role": "ANALYST"},
    "integrator": {"role": "INTEGRATOR", "sub": PARTNER},
    "account": {"role": "APPELLANT", "sub": PARTNER},
}
ENDPOINTS = {
    "case": "/intake/v1/appeals/{id}",
    "cases": "/intake/v1/appeals?limit=200",
    "similar": "/intake/v1/appeals/{id}/similar",
    "appellant": "/intake/v1/appeals/{id}/appellant?purpose=核对",
    "order": "/routing/v1/orders/{id}",
    "proposals": "/routing/v1/orders/{id}/proposals",
    "worklist": "/routing/v1/orders?limit=200",
    "feedback-case": "/feedback/v1/cases/{id}",
    "feedback-cases": "/feedback/v1/cases?limit=200",
    "messages": "/feedback/v1/cases/{id}/messages",
    "notifications": "/feedback/v1/notifications?appeal_id={id}",
    "explanation": "/scoring/v1/appeals/{id}/explanation",
}
Fields = dict[str, dict[str, list[str] | int]]
"""By kind of appeal and role; a number is the status of a refusal."""


def told(value: Any, path: str = "$") -> Iterator[str]:
    """The paths of everything that says something."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from told(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from told(inner, f"{path}[]")
    elif value is not None:
        yield path


async def made(city: City, kind: str) -> dict[str, Any]:
    """An appeal that has gone the whole way once; with its code."""
    who = {"type": "PERSON", "name": "欧阳若兰", "phone": "13711110001", "email": "lan@example.cn"}
    who |= {key: value for key, value in KINDS[kind].items() if key == "confidential"}
    place = {"address": "某路9号", "site": "某小区", "longitude": 116.44, "latitude": 39.92, "district": DISTRICT}
    about = city.appeal(appellant=who, location=place, category_path=["供水"], tags=["夜间"], urgency="GENERAL")
    about |= {"kind": KINDS[kind].get("kind", "COMPLAINT"), "source_ref": f"golden-{kind}"}
    registered = await _done(city.post("/intake/v1/appeals", about, "INTEGRATOR", sub=PARTNER))
    appeal, file = registered.body["appeal_id"], f"/feedback/v1/cases/{registered.body['appeal_id']}"
    order = f"/routing/v1/orders/{appeal}"
    await city.until(lambda: city.get(order), lambda reply: reply.status == 200)
    to = {"unit_id": WATER, "reason": "职责", "cc_district": DISTRICT, "co_units": [HOUSING]}
    await _done(city.post(f"{order}/dispatch", to))
    case = await city.until_state(appeal, "DISPATCHED")
    await _done(city.post(f"/intake/v1/appeals/{appeal}/participants", {"unit_id": "fl-chaoyang"}))
    await attached(city, appeal, picture(gps=BEIJING_GPS), "我家.jpg")
    code = {"X-Tracking-Code": registered.body["tracking_code"]}
    await _done(city.post(f"/intake/v1/track/{case['ticket_no']}/messages", {"text": "在家"}, None, headers=code))
    await _done(city.post(f"/intake/v1/track/{case['ticket_no']}/urge", {"reason": "家有老人"}, None, headers=code))
    await _done(city.sign(case))
    await settled(city)
    await _done(city.as_unit(case, f"{file}/messages", {"text": "周三上门"}))
    await _done(city.contact(case))
    for recipient in ("APPELLANT", "HOTLINE"):
        await _done(city.feedback(case, "RESULT", recipient, "已更换水表，恢复供水。"))
    await city.until_state(appeal, "CALLBACK_DUE")
    await _done(city.callback(case, reasons=["很快"]))
    await city.until_state(appeal, "CLOSED")
    await settled(city)
    return case | {"code": registered.body["tracking_code"]}


async def collected(city: City) -> dict[str, Fields]:
    """Endpoint by endpoint what each role is told."""
    found: dict[str, Fields] = {}
    for kind in KINDS:
        case = await made(city, kind)
        for name, path in ENDPOINTS.items():
            asked = path.format(id=case["appeal_id"])
            replies = {role: await city.get(asked, **who) for role, who in ROLES.items()}
            found.setdefault(name, {})[kind] = {role: _fields(one, case) for role, one in replies.items()}
        seen = await city.get(f"/intake/v1/track/{case['ticket_no']}", None, headers={"X-Tracking-Code": case["code"]})
        found.setdefault("track", {})[kind] = {"resident": _fields(seen, case)}
        await published(city)
        for service in APIS:
            streams = {role: await _stream(city, service, case, **who) for role, who in ROLES.items()}
            found.setdefault(f"events-{service}", {})[kind] = streams
            entries = await city.get(f"/{service}/v1/log/entries?limit=1000")
            mine = [one for one in entries.body["items"] if one["event"]["subject"] == case["appeal_id"]]
            found.setdefault(f"entries-{service}", {})[kind] = {"auditor": sorted(set(told(mine)))}
    return found


def _fields(reply: Reply, case: dict[str, Any]) -> list[str] | int:
    if reply.status != 200:
        return reply.status
    body = reply.body
    if "items" in body and "appeal_id" in (body["items"] or [{}])[0] and "next_cursor" in body:
        body = {"items": [one for one in body["items"] if one["appeal_id"] == case["appeal_id"]]}
    return sorted(set(told(body)))


async def _stream(city: City, service: str, case: dict[str, Any], role: str, **who: Any) -> list[str] | int:
    """What is told of this appeal: by a stream here, and in the same words by a webhook."""
    if (refused := await city.get(f"/{service}/v1/events", role, headers={"Last-Event-ID": "x"}, **who)).status != 400:
        return refused.status
    mine = [one for one in await heard(city, service, role, **who) if one["subject"] == case["appeal_id"]]
    return sorted({path for one in mine for path in _of_event(one)})


def _of_event(event: dict[str, Any]) -> Iterator[str]:
    """What every event says stands under `*`, what is its own under its name."""
    said = dict(event["data"])
    yield from told(said.pop("data"), event["type"].split(".")[-2])
    yield from told({**event, "data": said}, "*")


async def _done(asked: Any) -> Reply:
    reply: Reply = await asked
    assert reply.status in {200, 201}, reply.raw
    return reply


def written(fields: Fields) -> str:
    """As it is kept: roles that are told the same stand together."""
    kept: dict[str, dict[str, Any]] = {}
    for kind, roles in fields.items():
        for told_ in {json.dumps(one): one for one in roles.values()}.values():
            alike = ", ".join(sorted(role for role, one in roles.items() if one == told_))
            kept.setdefault(kind, {})[alike] = told_
    return json.dumps(kept, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def golden() -> dict[str, Fields]:
    """What is kept, endpoint by endpoint."""
    kept = {one.stem: json.loads(one.read_text(encoding="utf-8")) for one in sorted(HERE.glob("*.json"))}
    return {
        name: {
            kind: {role: told_ for alike, told_ in groups.items() for role in alike.split(", ")}
            for kind, groups in kinds.items()
        }
        for name, kinds in kept.items()
    }


async def main() -> None:
    async with test_server() as server, a_city(server) as city:
        for name, fields in (await collected(city)).items():
            (HERE / f"{name}.json").write_text(written(fields), encoding="utf-8")
            sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    asyncio.run(main())
