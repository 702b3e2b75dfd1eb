"""Two neighbourhoods that have nothing to do with each other, and in each one thing of every kind that a path can name.

X and Y are alike: a street leads an appeal of an integrator's, a co-unit and a whistled department help it, a community
was invited, its district watches. Beside it stands a second appeal that was closed, and what came of that.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from services.city import APIS
from services.feedback_service.links import Link, Purpose, written
from shared.contracts.catalogue import CATALOGUE
from tests.support.city import SECRETS, City, Reply
from tests.support.files import attached, picture
from tests.support.imports import csv, started
from tests.support.views import settled

TEMPLATE = "您的留言已收悉，已转相关部门处理，感谢您的监督。"
NOWHERE = "01890000-0000-7000-8000-000000000000"
CLOSED_PERIOD = "2026-10"


@dataclass
class Side:
    """One neighbourhood. `things` by the name that paths have for them; `code` opens its ticket."""

    lead: str
    district: str
    co: str
    called: str
    helper: str
    client: str
    phone: str
    code: str = ""
    things: dict[str, str] = field(default_factory=dict)

    def units(self, parties: str) -> set[str]:
        """Which units these parties are, e.g. `lead co`."""
        return {getattr(self, one) for one in parties.split() if one not in {"district", "client"}}


def neighbourhoods() -> tuple[Side, Side]:
    return (
        Side("110105001", "110105", "bj-housing", "bj-fire", "fl-chaoyang", "x-system", "13966660001"),
        Side("110106001", "110106", "bj-drainage", "bj-traffic-police", "fl-fengtai", "y-system", "13966660002"),
    )


async def furnished(city: City, *sides: Side) -> None:
    """Give each side one thing of every kind."""
    await _done(city.post(f"/scoring/v1/periods/{CLOSED_PERIOD}/close", {}, "MUNICIPAL_ADMIN"))
    await asyncio.gather(*(_furnish(city, side) for side in sides))
    await settled(city)
    for side in sides:
        appeal, closed = side.things["appeal_id"], side.things["closed"]
        recorded = await city.running["intake"].log.read_stream(f"appeal-{appeal}")
        revealed = await _done(city.get(f"/intake/v1/appeals/{appeal}/appellant?purpose=核对", "AGENT"))
        side.things |= {"ref": revealed.body["ref"], "district": side.district}
        side.things["event_id"] = str(recorded[0].envelope.id)
        side.things["survey"] = written(SECRETS.token, Link(closed, Purpose.SURVEY, 1))
        side.things["thread"] = written(SECRETS.token, Link(appeal, Purpose.THREAD, 1))
        claim = {"reason": "FORCE_MAJEURE", "evidence": "暴雨"}
        path = f"/scoring/v1/appeals/{closed}/exclusions"
        side.things["exclusion_id"] = (await _street(city, side, path, claim)).body["exclusion_id"]
        entry = {"title": "办事指南", "text": "到窗口办理", "owner_unit": side.lead}
        side.things["knowledge_id"] = (await _street(city, side, "/intake/v1/knowledge", entry)).body["knowledge_id"]
    await settled(city)


async def webhook_of(city: City, service: str, side: Side) -> str:
    """A webhook of the integrator's; never called, for what it waits for does not happen."""
    never = [name for name, event in CATALOGUE.items() if event.owner == service][-1]
    body = {"url": "http://127.0.0.1:9/hook", "types": [never]}
    return str((await _done(city.post(f"/{service}/v1/webhooks", body, "INTEGRATOR", sub=side.client))).body["id"])


async def _furnish(city: City, side: Side) -> None:
    made = await _registered(city, side)
    appeal, side.code = made["appeal_id"], made["tracking_code"]
    side.things |= {"appeal_id": appeal, "ticket_no": made["ticket_no"], "number": "1", "unit_id": side.lead}
    await _dispatched(city, side, appeal)
    whistle = {"departments": [side.called], "reason": "联合执法"}
    await _street(city, side, f"/routing/v1/orders/{appeal}/whistle", whistle)
    invitation = {"unit_id": side.helper}
    await _done(city.post(f"/intake/v1/appeals/{appeal}/participants", invitation))
    await attached(city, appeal, picture())
    await _street(city, side, f"/feedback/v1/cases/{appeal}/messages", {"text": "周三在家吗？"})
    side.things["import_id"] = await started(city, csv("路灯不亮,1"), side.client)
    credit = {"kind": "PROACTIVE", "period": CLOSED_PERIOD, "decision": "京政办〔2026〕3号"}
    given = await _done(city.post(f"/scoring/v1/units/{side.lead}/credits", credit, "MUNICIPAL_ADMIN"))
    side.things["credit_id"] = given.body["credit_id"]
    key = {"client": side.client, "expires_at": "2027-06-01T00:00:00+08:00"}
    side.things["client"] = side.client
    await _done(city.post("/intake/v1/api-keys", key, "MUNICIPAL_ADMIN"))
    unmasking = {"kind": "BULK_UNMASK", "target": appeal, "ground": "COURT_ORDER"}
    asked = await _done(city.post("/intake/v1/operations", unmasking, "MUNICIPAL_ADMIN"))
    side.things["operation"] = asked.body["operation"]
    for service in APIS:
        side.things[f"webhook_id {service}"] = await webhook_of(city, service, side)
    await _close_another(city, side)


async def _close_another(city: City, side: Side) -> None:
    """A second appeal, answered with a phrase that supervision looks at, and called back about."""
    closed = (await _registered(city, side))["appeal_id"]
    side.things |= {"closed": closed, "subject": closed}
    await _dispatched(city, side, closed)
    case = f"/feedback/v1/cases/{closed}"
    await _street(city, side, f"{case}/contact", {"channel": "PHONE", "outcome": "REACHED"})
    for recipient in ("APPELLANT", "HOTLINE"):
        said = {"kind": "RESULT", "recipient": recipient, "text": TEMPLATE}
        await _street(city, side, f"{case}/feedback", said)
    await city.until_state(closed, "CALLBACK_DUE")
    asked = {"valid": True, "contacted": True, "resolved": True, "satisfaction": "SATISFIED"}
    await _done(city.post(f"{case}/callback", asked, "CALLBACK_OFFICER"))
    await city.until_state(closed, "CLOSED")


async def _registered(city: City, side: Side) -> dict[str, Any]:
    about = city.appeal(kind="CONSULT", appellant={"type": "PERSON", "name": "王芳", "phone": side.phone})
    made: dict[str, Any] = (await _done(city.post("/intake/v1/appeals", about, "INTEGRATOR", sub=side.client))).body
    return made


async def _dispatched(city: City, side: Side, appeal: str) -> None:
    order = f"/routing/v1/orders/{appeal}"
    await city.until(lambda: city.get(order), lambda reply: reply.status == 200)
    to = {"unit_id": side.lead, "reason": "属地", "co_units": [side.co]}
    await _done(city.post(f"{order}/dispatch", to))
    await city.until_state(appeal, "DISPATCHED")
    await _street(city, side, f"{order}/sign", {})
    await city.until_state(appeal, "SIGNED")


async def _street(city: City, side: Side, path: str, body: Any) -> Reply:
    return await _done(city.post(path, body, "STREET_HANDLER", unit=side.lead))


async def _done(asked: Any) -> Reply:
    reply: Reply = await asked
    assert reply.status in {200, 201}, reply.raw
    return reply
