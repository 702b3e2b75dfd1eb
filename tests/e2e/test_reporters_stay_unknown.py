"""Whoever reports somebody stays unknown to them, whichever way the report reaches them (信访工作条例 Art 46).

A report goes to the accused street by transfer after an objection, with a co-unit, a whistle and an escalation; words,
files, dates and answers of every kind go with it. Then everybody on that side fetches whatever can be fetched.
"""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from typing import Any

import orjson
import pytest

from services.city import APIS
from shared.web.identity import PERMISSIONS, Scope
from tests.integration.test_webhooks import Receiver, receiver
from tests.support.city import WATER, City, Reply
from tests.support.doors import Door, doors
from tests.support.files import BEIJING_GPS, DEVICE, PDF, attached, picture
from tests.support.hearing import heard
from tests.support.views import settled

STREET, DISTRICT, HOUSING, FIRE = "110105001", "110105", "bj-housing", "bj-fire"
NAME, PHONE, MAIL, WECHAT = "金丝雀若兰", "13977770001", "canary-lan@example.cn", "oX7_canary-999"
FILE, REF, PLACE = "金丝雀若兰的照片.jpg", "canary-ref-4711", "金丝雀胡同9号院"
SAID = f"我是{NAME}，电话{PHONE}，微信{WECHAT}，邮箱{MAIL}"
WHO = {"type": "PERSON", "name": NAME, "phone": PHONE, "email": MAIL, "wechat": WECHAT}
ACCUSED: dict[str, dict[str, Any]] = {
    "the street": {"role": "STREET_HANDLER", "unit": STREET},
    "its district": {"role": "DISTRICT_COORDINATOR", "district": DISTRICT},
    "a co-unit": {"role": "DEPARTMENT_HANDLER", "unit": HOUSING},
    "a called unit": {"role": "DEPARTMENT_HANDLER", "unit": FIRE},
    "who had it before": {"role": "ENTERPRISE_HANDLER", "unit": WATER},
    "an integrator": {"role": "INTEGRATOR", "sub": "some-system"},
    "an analyst": {"role": "ANALYST"},
    "anybody": {"role": None},
}
ACCEPT = (
    "application/json",
    "text/csv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "text/html",
)
POINT = ("39.9042", "116.4074")
"""Where the photo was taken; meters have figures of their own."""
FIXED = {
    "period": "2026-11", "league": "STREET_TOWN", "version": "BJ-2026-1", "unit_id": STREET, "form": "json",
    "code": "other", "token": "x", "event_type": "x",
}  # fmt: skip
QUERY = {"/scores": "period=2026-11&league=STREET_TOWN&from=2026-11&to=2026-11", "}/appeals": "period=2026-11"}
NewCity = Callable[..., AbstractAsyncContextManager[City]]
__all__ = ["receiver"]


async def must(asked: Any, *statuses: int) -> Reply:
    reply: Reply = await asked
    assert reply.status in (statuses or (200, 201)), reply.raw
    return reply


async def reported(city: City, hidden: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A hidden appeal that has come to the accused in every way, and the earlier open one of the same person."""
    earlier = (await city.register(kind="CONSULT", appellant=WHO))["appeal_id"]
    who = WHO | {"confidential": bool(hidden.get("confidential"))}
    about = {"kind": hidden.get("kind", "COMPLAINT"), "content": f"自来水公司用水困难，{SAID}", "source_ref": REF}
    about |= {"appellant": who, "relates_to": earlier, "location": {"address": PLACE, "district": DISTRICT}}
    case = await city.dispatched(**about)
    order, appeal = f"/routing/v1/orders/{case['appeal_id']}", f"/intake/v1/appeals/{case['appeal_id']}"
    objection = {"ground": "DUTY", "reason": "不属我单位职责"}
    await must(city.as_unit(case, f"{order}/object", objection))
    uphold = {"unit_id": STREET, "reason": "属实"}
    await must(city.post(f"{order}/objection/uphold", uphold, "MUNICIPAL_ADMIN"))
    await city.until(lambda: city.case(case["appeal_id"]), lambda one: one["lead_unit"] == STREET)
    await attached(city, case["appeal_id"], picture(gps=BEIJING_GPS), FILE)
    await attached(city, case["appeal_id"], PDF, f"{NAME}.pdf")
    for what, body in {
        "supplement": {"text": SAID},
        "urge": {"reason": SAID},
        "participants": {"unit_id": HOUSING},
    }.items():
        await must(city.post(f"{appeal}/{what}", body))
    await must(city.get(f"{appeal}/appellant?purpose={SAID}", "AGENT"))
    return case, earlier


async def handled(city: City, case: dict[str, Any], code: str) -> None:
    """The accused handles it, the resident answers, the hotline asks, and the street claims an exclusion."""
    order, file = f"/routing/v1/orders/{case['appeal_id']}", f"/feedback/v1/cases/{case['appeal_id']}"

    async def street(path: str, body: Any) -> Reply:
        return await must(city.post(path, body, "STREET_HANDLER", unit=STREET))

    await street(f"{order}/sign", {})
    await city.until(lambda: city.get(file), lambda one: one.status == 200 and one.body["state"] == "SIGNED")
    await street(f"{order}/whistle", {"departments": [FIRE], "reason": "联合执法"})
    await street(f"{order}/escalate", {"level": "DISTRICT", "reason": "超出权限"})
    await street(f"{file}/messages", {"text": "请问您贵姓？"})
    said = {"text": SAID, "attachments": [1]}
    track, shown = f"/intake/v1/track/{case['ticket_no']}", {"X-Tracking-Code": code}
    await must(city.post(f"{track}/messages", said, None, headers=shown))
    await settled(city)
    for recipient in ("APPELLANT", "HOTLINE"):
        await street(f"{file}/feedback", {"kind": "RESULT", "recipient": recipient, "text": "已经现场核查处理完毕。"})
    await city.until_state(case["appeal_id"], "CALLBACK_DUE")
    await must(city.callback(case, resolved=False, satisfaction="DISSATISFIED", reasons=[SAID]))
    evaluation = {"satisfaction": "DISSATISFIED", "comment": SAID}
    await must(city.post(f"{track}/evaluation", evaluation, None, headers=shown))
    await settled(city)


def to_fetch(city: City, case: dict[str, Any]) -> list[tuple[Door, str]]:
    """Every read of every service, about this appeal wherever one can be named, with searches for what is hidden."""
    values = FIXED | {"appeal_id": case["appeal_id"], "ticket_no": case["ticket_no"], "subject": case["appeal_id"]}
    found = []
    for door in doors(city):
        if door.method != "GET" or door.path.endswith(("/v1/events", "openapi.json", "/docs", "asyncapi.json")):
            continue
        query = next((text for end, text in QUERY.items() if door.path.endswith(end)), "limit=100")
        for number in (1, 2) if "{number}" in door.path else (1,):
            named = {"number": case["ticket_no"] if "open311" in door.path else number}
            path = door.filled(**dict.fromkeys(door.names, "x") | values | named)
            found.append((door, f"{path}?{query}"))
        if "{appeal_id}/appellant" in door.path:
            found.append((door, f"{path}?purpose=核对"))
    return found


def unpacked(raw: bytes) -> bytes:
    """What a workbook says."""
    if not raw.startswith(b"PK"):
        return raw
    with zipfile.ZipFile(io.BytesIO(raw)) as book:
        return b"\n".join(book.read(name) for name in book.namelist())


def hits(raw: bytes, canaries: list[str]) -> list[str]:
    said = unpacked(raw)
    written = {one: (one.encode(), json.dumps(one)[1:-1].encode()) for one in canaries}
    return [one for one, ways in written.items() if any(way in said for way in ways)]


@pytest.mark.parametrize("hidden", [{"kind": "REPORT"}, {"confidential": True}], ids=["report", "confidential"])
async def test_nothing_that_the_accused_side_can_fetch_tells_who_reported(
    new_city: NewCity, receiver: Receiver, hidden: dict[str, Any]
) -> None:
    async with new_city(webhook_networks="127.0.0.0/8") as city:
        for who in ("the street", "its district", "a co-unit", "an integrator"):
            for service in APIS:
                await must(city.post(f"/{service}/v1/webhooks", {"url": receiver.url}, **ACCUSED[who]))
        codes: dict[str, str] = {}
        register = city.register

        async def noted(**about: Any) -> dict[str, Any]:
            made = await register(**about)
            codes[made["appeal_id"]] = made["tracking_code"]
            return made

        city.register = noted  # type: ignore[method-assign]
        case, earlier = await reported(city, hidden)
        await handled(city, case, codes[case["appeal_id"]])
        photo = sha256(picture(gps=BEIJING_GPS)).hexdigest()
        canaries = [
            NAME,
            NAME[:2],
            PHONE,
            PHONE[3:],
            MAIL,
            WECHAT,
            FILE,
            REF,
            DEVICE,
            photo,
            earlier,
            PLACE,
        ]
        canaries += [codes[case["appeal_id"]]]
        found, seen = [], 0
        for name, who in ACCUSED.items():
            asked = [(path, {"Accept": way}) for _, path in to_fetch(city, case) for way in ACCEPT]
            replies = await asyncio.gather(*(city.get(path, headers=head, **who) for path, head in asked))
            for (path, head), reply in zip(asked, replies, strict=True):
                seen += reply.status == 200
                found += [
                    f"{name}: {path} {head['Accept']}: {one}"
                    for one in hits(
                        _without_place(path, reply.raw), canaries if "/metrics?" in path else [*canaries, *POINT]
                    )
                ]
            for sought in (NAME, PHONE, WECHAT, MAIL):
                listed = await city.get(f"/intake/v1/appeals?q={sought}", **who)
                assert listed.status in {401, 403} or listed.body["items"] == [], (name, sought)
            if who["role"] and Scope.READ in PERMISSIONS[who["role"]]:
                for service in APIS:
                    told = orjson.dumps(await heard(city, service, **who))
                    found += [f"{name}: events of {service}: {one}" for one in hits(told, [*canaries, *POINT])]
        found += [f"webhook: {one}" for _, body in receiver.taken for one in hits(body, [*canaries, *POINT])]
        assert not found, "\n".join(sorted(set(found)))
        assert seen > 300 and len(receiver.taken) > 20
        whole = await city.get(f"/intake/v1/appeals/{case['appeal_id']}")
        assert hits(whole.raw, [SAID, FILE, REF, earlier]) == [SAID, FILE, REF, earlier]


def _without_place(path: str, raw: bytes) -> bytes:
    """Where the matter is, a unit is told in the case alone: it is sent there. Nowhere else."""
    whole = path.startswith("/intake/v1/appeals/") and "?" in path and path.count("/") == 4
    return raw.replace(PLACE.encode(), b"") if whole else raw
