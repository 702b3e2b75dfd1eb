"""What a unit owes the appellant, as both see it: contact, a conversation, two answers, and proof of what was done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.feedback_service.policy import handling_policy
from tests.e2e.test_following import act, track
from tests.support.city import WATER, City, Reply
from tests.support.files import PDF, attach, attached, picture
from tests.support.views import settled

POLICY = handling_policy()
HIDDEN = {"type": "PERSON", "name": "欧阳隐", "phone": "13655550001", "confidential": True}
LONG = "经现场核实，该处路灯线路老化短路，已于今日更换电缆两百米和灯具六盏，全部恢复照明，并加强夜间巡查。"

SAME = "您反映的占道经营问题，城管执法队已到场劝离商贩三人，并安排早晚高峰定点值守，防止问题反弹。"


@pytest_asyncio.fixture(scope="module")
async def own(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    """A city whose clock nobody else looks at."""
    async with new_city() as made:
        yield made


async def signed(city: City, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A case that its unit has signed, and what its appellant holds."""
    made = await city.register(**changes)
    order = f"/routing/v1/orders/{made['appeal_id']}"
    proposed = await city.until(lambda: city.get(order), lambda reply: reply.status == 200)
    if proposed.body["state"] == "REGISTERED":
        await city.post(f"{order}/dispatch", {"unit_id": WATER, "reason": "职责"})
    case = await city.until_state(made["appeal_id"], "DISPATCHED")
    assert (await city.sign(case)).status == 200
    await city.until(lambda: file_of(city, case), lambda file: file["state"] == "SIGNED")
    return case, made


async def file_of(city: City, case: dict[str, Any], **who: Any) -> dict[str, Any]:
    reply = await city.get(f"/feedback/v1/cases/{case['appeal_id']}", **who)
    body: dict[str, Any] = reply.body
    return body if reply.status == 200 else {"state": None}


async def result(city: City, case: dict[str, Any], recipient: str, text: str, *files: Any) -> Reply:
    body = {"kind": "RESULT", "recipient": recipient, "text": text, "attachments": list(files)}
    return await city.as_unit(case, f"/feedback/v1/cases/{case['appeal_id']}/feedback", body)


async def leads(city: City, appeal_id: str) -> list[dict[str, Any]]:
    await settled(city)
    items = (await city.get("/feedback/v1/leads?limit=200")).body["items"]
    return [one for one in items if one["subject"] == appeal_id]


async def test_the_first_contact_that_reaches_counts_for_the_response_time(own: City) -> None:
    case, _ = await signed(own)
    own.clock.advance(timedelta(minutes=20))
    assert (await own.contact(case, "NO_ANSWER")).status == 200
    own.clock.advance(timedelta(minutes=10))
    for _ in range(2):
        assert (await own.contact(case, "REACHED")).status == 200
        own.clock.advance(timedelta(minutes=10))
    await settled(own)
    file = await file_of(own, case)
    reached = [one for one in file["contacts"] if one["outcome"] == "REACHED"]
    assert [one.get("in_time") for one in reached] == [True, None]
    assert file["response_seconds"] == reached[0]["response_seconds"] >= 30 * 60


async def test_before_a_result_the_appellant_is_reached_or_tried_as_often_as_the_policy_says(own: City) -> None:
    case, _ = await signed(own)
    for number in range(POLICY.contact.unreachable_after):
        assert (await own.contact(case, "NO_ANSWER")).status == 200
        refused = await result(own, case, "APPELLANT", LONG)
        enough = number + 1 == POLICY.contact.unreachable_after
        assert (refused.status, refused.body.get("code")) == ((200, None) if enough else (409, "APPELLANT_NOT_REACHED"))
        own.clock.advance(POLICY.contact.apart)
    await settled(own)
    assert [one["event"] for one in (await file_of(own, case))["contacts"]][-1] == "appellant-unreachable"


async def test_tries_in_quick_succession_are_one_try(own: City) -> None:
    case, _ = await signed(own)
    for _ in range(POLICY.contact.unreachable_after + 1):
        assert (await own.contact(case, "NO_ANSWER")).status == 200
    assert (await result(own, case, "APPELLANT", LONG)).code == "APPELLANT_NOT_REACHED"


async def test_a_unit_reaches_somebody_it_may_not_know_by_writing_through_us(own: City) -> None:
    case, made = await signed(own, appellant=HIDDEN)
    messages = f"/feedback/v1/cases/{case['appeal_id']}/messages"
    assert (await own.as_unit(case, messages, {"text": "请问何处漏水？"})).body["state"] == "HANDLING"
    assert (await result(own, case, "APPELLANT", LONG)).code == "APPELLANT_NOT_REACHED"
    own.clock.advance(timedelta(hours=1))
    assert (await act(own, made, "messages", {"text": "三号楼地下室"})).status == 200
    await settled(own)
    assert (await result(own, case, "APPELLANT", LONG)).status == 200
    await settled(own)
    seen = await own.get(f"/feedback/v1/cases/{case['appeal_id']}", "ENTERPRISE_HANDLER", unit=case["lead_unit"])
    assert [(one["channel"], one["outcome"]) for one in seen.body["contacts"]] == [
        ("RELAY", "NO_ANSWER"),
        ("RELAY", "REACHED"),
    ]
    assert "欧阳" not in seen.raw.decode() and "1365555" not in seen.raw.decode()


async def test_who_says_to_have_called_a_number_that_is_hidden_is_looked_at(own: City) -> None:
    case, _ = await signed(own, appellant=HIDDEN | {"phone": "13655550002"})
    assert (await own.contact(case)).status == 200
    assert [one["kind"] for one in await leads(own, case["appeal_id"])] == ["IMPOSSIBLE_CONTACT"]


async def test_the_appellant_waits_for_an_answer_and_the_unit_sees_since_when(own: City) -> None:
    case, made = await signed(own)
    assert (await act(own, made, "messages", {"text": "什么时候来？"})).status == 200
    await settled(own)
    waits = f"/feedback/v1/cases?awaiting_reply=true&unit_id={case['lead_unit']}"
    unit = {"role": "ENTERPRISE_HANDLER", "unit": case["lead_unit"]}
    assert case["appeal_id"] in [one["appeal_id"] for one in (await own.get(waits, **unit)).body["items"]]
    file = await file_of(own, case)
    assert (file["awaiting_reply"], file["unread"]) == (True, {"unit": 1, "appellant": 0})
    read = f"/feedback/v1/cases/{case['appeal_id']}/messages/read"
    assert (await own.as_unit(case, read, {"count": 2})).code == "NO_SUCH_MESSAGE"
    assert (await own.as_unit(case, read, {"count": 1})).status == 200
    own.clock.advance(POLICY.thread.answer_within)
    await own.until_event(case["appeal_id"], "reply-overdue")
    assert (await own.as_unit(case, read.removesuffix("/read"), {"text": "明天上午"})).status == 200
    await settled(own)
    file = await file_of(own, case)
    assert (file["awaiting_reply"], file["unread"]) == (False, {"unit": 0, "appellant": 1})


async def test_an_answer_that_says_nothing_is_refused_and_one_like_all_others_is_shown(city: City) -> None:
    case, _ = await signed(city)
    assert (await city.contact(case)).status == 200
    said_nothing = await result(city, case, "HOTLINE", "。")
    assert (said_nothing.status, said_nothing.code) == (422, "ANSWER_TOO_SHORT")
    assert (await result(city, case, "APPELLANT", "您的留言已收悉，已转相关部门处理，感谢您的监督。")).status == 200
    assert (await result(city, case, "HOTLINE", LONG)).status == 200
    (lead,) = await leads(city, case["appeal_id"])
    assert (lead["kind"], lead["unit_id"], lead["state"]) == ("TEMPLATE_ANSWER", case["lead_unit"], "OPEN")
    file = await file_of(city, case)
    assert file["feedback"][0]["findings"] == ["TEMPLATE"] and file["findings"] == ["TEMPLATE"]
    beside = file["results"][0]
    assert beside["to_appellant"]["text"].startswith("您的留言") and beside["to_hotline"]["text"] == LONG
    assert "".join(one.get("both", one.get("to_hotline", "")) for one in beside["parts"]) == LONG
    assert float(beside["similarity"]) < 0.5


async def test_the_same_answer_to_one_appeal_after_another_is_noticed(city: City) -> None:
    found = []
    for number in range(POLICY.answers.most_alike + 1):
        case, _ = await signed(city)
        assert (await city.contact(case)).status == 200
        assert (await result(city, case, "APPELLANT", f"{SAME}（第{number}号）")).status == 200
        await settled(city)
        found.append([one["kind"] for one in await leads(city, case["appeal_id"])])
    assert found == [[]] * POLICY.answers.most_alike + [["TEMPLATE_ANSWER"]]


async def test_where_the_policy_demands_it_a_result_shows_before_and_after(city: City) -> None:
    case, _ = await signed(city, category_path=["道路设施修复"])
    assert (await city.contact(case)).status == 200
    assert (await result(city, case, "APPELLANT", LONG)).code == "EVIDENCE_NEEDED"
    unit = {"role": "ENTERPRISE_HANDLER", "unit": case["lead_unit"]}
    pictures = [await attached(city, case["appeal_id"], picture(size=(41 + n, 20)), **unit) for n in range(2)]
    form = await attached(city, case["appeal_id"], PDF, **unit)
    shown = [{"number": one["number"], "role": role} for one, role in zip(pictures, ("BEFORE", "AFTER"), strict=True)]
    await settled(city)
    for wrong in ({"number": 9, "role": "AFTER"}, {"number": form["number"], "role": "AFTER"}):
        assert (await result(city, case, "APPELLANT", LONG, shown[0], wrong)).code == "EVIDENCE_UNKNOWN"
    assert (await result(city, case, "APPELLANT", LONG, *shown, form["number"])).status == 200
    await settled(city)
    given = (await file_of(city, case))["feedback"][-1]
    assert [one["role"] for one in given["evidence"]] == ["BEFORE", "AFTER", "DOCUMENT"]


async def test_the_same_photo_for_another_appeal_and_a_changed_one_are_looked_at(city: City) -> None:
    photo, kinds = picture(size=(77, 31)), []
    for _ in range(2):
        case, _ = await signed(city)
        unit = {"role": "ENTERPRISE_HANDLER", "unit": case["lead_unit"]}
        await attached(city, case["appeal_id"], photo, **unit)
        await attached(city, case["appeal_id"], picture(size=(50, 50)), **unit)
        assert (await city.contact(case)).status == 200
        await settled(city)
        for number in (1, 2):
            shown = {"number": number, "role": "AFTER"}
            text = f"照片{number}为处理后的现场情况，{case['ticket_no']}。"
            assert (await result(city, case, "HOTLINE", text, shown)).status == 200
        kinds.append({one["kind"] for one in await leads(city, case["appeal_id"])})
    assert kinds[0] == {"EVIDENCE_CHANGED"} and kinds[1] == {"EVIDENCE_CHANGED", "EVIDENCE_REUSED"}


async def test_files_go_with_messages_in_both_directions_and_names_do_not_where_they_are_hidden(city: City) -> None:
    case, made = await signed(city, appellant=HIDDEN | {"phone": "13655550003"})
    unit = {"role": "ENTERPRISE_HANDLER", "unit": case["lead_unit"]}
    photo = await attached(city, case["appeal_id"], picture(size=(31, 31)), **unit)
    await settled(city)
    messages = f"/feedback/v1/cases/{case['appeal_id']}/messages"
    assert (await city.as_unit(case, messages, {"text": "是这里吗？", "attachments": [7]})).code == "EVIDENCE_UNKNOWN"
    shown = {"text": "是这里吗？", "attachments": [photo["number"]]}
    assert (await city.as_unit(case, messages, shown)).status == 200
    assert (await act(city, made, "messages", {"text": "不是", "attachments": [9]})).code == "EVIDENCE_UNKNOWN"
    city.clock.advance(timedelta(seconds=1))
    said = {"text": "我是欧阳隐，请打13655550003", "attachments": [photo["number"]]}
    assert (await act(city, made, "messages", said)).status == 200
    await settled(city)
    seen = (await city.get(messages, **unit)).body["items"]
    assert [(one["from"], one["attachments"]) for one in seen] == [("UNIT", [1]), ("APPELLANT", [1])]
    assert seen[1]["text"] == "我是***，请打***"
    for path in (f"/feedback/v1/cases/{case['appeal_id']}", f"/feedback/v1/units/{case['lead_unit']}/feed?limit=200"):
        assert "欧阳" not in (await city.get(path, **unit)).raw.decode()
    assert "欧阳隐" in (await city.get(messages)).raw.decode()
    assert "欧阳隐" in (await track(city, made))["messages"][1]["text"]


@pytest.mark.parametrize("role", ["STREET_HANDLER", "ENTERPRISE_HANDLER"])
async def test_a_unit_puts_files_to_its_own_cases_only(city: City, role: str) -> None:
    case, _ = await signed(city)
    assert (await attach(city, case["appeal_id"], PDF, role=role, unit="bj-110101008")).status == 404
