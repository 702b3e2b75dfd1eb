"""The resident answers without an account: by a link, by digits sent back; and reopens what was not solved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from services.feedback_service.policy import callback_policy
from tests.e2e.test_following import act
from tests.support.city import City, Reply
from tests.support.telephones import Telephones, link_in, telephones
from tests.support.views import settled

POLICY = callback_policy()
GOOD = {"contacted": True, "resolved": True, "satisfaction": "SATISFIED", "process_satisfaction": "BASICALLY_SATISFIED"}
BAD = {"contacted": True, "resolved": False, "satisfaction": "DISSATISFIED", "comment": "又坏了"}
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}


@pytest_asyncio.fixture(scope="module")
async def phones() -> AsyncIterator[Telephones]:
    async with telephones() as made:
        yield made


@pytest_asyncio.fixture(scope="module")
async def own(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
    phones: Telephones,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[City]:
    """A city that sends text messages."""
    async with new_city(**phones.settings(tmp_path_factory.mktemp("keys"))) as made:
        yield made


async def asked(city: City, phones: Telephones, phone: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """An answered case, what its appellant holds, and the message that asks how it went."""
    made = await city.register(appellant={"type": "PERSON", "name": "王芳", "phone": phone})
    order = f"/routing/v1/orders/{made['appeal_id']}"
    await city.until(lambda: city.get(order), lambda reply: reply.status == 200)
    city.clock.advance(timedelta(seconds=4))
    case = await city.until_state(made["appeal_id"], "DISPATCHED")
    await city.handle(case)
    await city.until_state(made["appeal_id"], "CALLBACK_DUE")

    async def messages() -> list[dict[str, Any]]:
        return phones.to(phone, "是否解决")

    return case, made, (await city.until(messages, bool))[-1]


async def state_of(city: City, case: dict[str, Any], state: str) -> dict[str, Any]:
    return await city.until_state(case["appeal_id"], state)


async def by_code(city: City, made: dict[str, Any], what: str, body: Any, code: str | None = None) -> Reply:
    headers = {"X-Tracking-Code": code or made["tracking_code"]}
    return await city.post(f"/feedback/v1/track/{made['ticket_no']}/{what}", body, None, headers=headers)


async def test_a_link_answers_once_for_the_callback_and_may_change_its_mind_for_a_while(
    own: City, phones: Telephones
) -> None:
    case, _, message = await asked(own, phones, "13511110001")
    path = link_in(message)
    seen = (await own.get(path, None)).body
    assert (seen["open"], seen["round"], seen["answered"]) == (True, 1, 0)
    assert set(seen) == {"ticket_no", "unit", "state", "round", "open", "answered", "questions"}
    assert (await own.post(path, GOOD, None)).body["state"] == "CLOSED"
    closed = await state_of(own, case, "CLOSED")
    recorded = [one["data"] for one in closed["timeline"] if one["type"].endswith("callback-recorded.v1")]
    assert [(one["method"], one["contacted"], one["resolved"]) for one in recorded] == [("WEB", True, True)]
    own.clock.advance(timedelta(days=2))
    assert (await own.post(path, BAD, None)).status == 200
    await settled(own)
    file = (await own.get(f"/feedback/v1/cases/{case['appeal_id']}")).body
    said = [(one["number"], one["satisfaction"], one.get("contradicts")) for one in file["evaluations"]]
    assert said == [(1, "SATISFIED", None), (2, "DISSATISFIED", True)]
    assert [one["event"] for one in file["callbacks"]].count("callback-recorded") == 1
    leads = (await own.get("/feedback/v1/leads?kind=NEGATIVE_AFTER_CLOSING")).body["items"]
    assert case["appeal_id"] in [one["subject"] for one in leads]


async def test_not_knowing_is_not_dissatisfied_and_an_officer_still_asks(own: City, phones: Telephones) -> None:
    case, _, message = await asked(own, phones, "13511110002")
    unsure = {"satisfaction": "BASICALLY_SATISFIED", "contacted": True}
    assert (await own.post(link_in(message), unsure, None)).body["state"] == "CALLBACK_DUE"
    assert (await own.callback(case)).body["state"] == "CLOSED"


async def test_links_end_with_their_round_and_their_time_and_are_not_guessed(own: City, phones: Telephones) -> None:
    case, _, message = await asked(own, phones, "13511110003")
    path = link_in(message)
    for wrong in (
        path[:-1] + ("A" if path[-1] != "A" else "B"),
        path[:-4],
        "/feedback/v1/survey/x",
        path.replace("survey", "thread"),
    ):
        assert (await own.get(wrong, None)).status == 404 and (await own.post(wrong, GOOD, None)).status in {404, 422}
    assert (await own.post(path, BAD, None)).body["state"] == "REWORK"
    await own.until(lambda: own.case(case["appeal_id"]), lambda one: one["round"] == 2 and one["state"] == "DISPATCHED")
    late = await own.post(path, GOOD, None)
    assert late.status == 409 and late.code in {"LINK_USED", "ILLEGAL_TRANSITION"}
    assert (await own.get(path, None)).body["open"] is False


async def test_the_time_for_evaluating_ends(own: City, phones: Telephones) -> None:
    case, _, message = await asked(own, phones, "13511110004")
    assert (await own.post(link_in(message), GOOD, None)).body["state"] == "CLOSED"
    own.clock.advance(POLICY.evaluate_within + timedelta(minutes=1))
    assert (await own.post(link_in(message), BAD, None)).code == "EVALUATION_OVER"
    assert (await own.get(link_in(message), None)).body["open"] is False and case


async def test_digits_sent_back_are_a_callback_and_words_are_a_message(own: City, phones: Telephones) -> None:
    case, _, message = await asked(own, phones, "13511110005")
    replies, sent = "/feedback/v1/gateway/replies", {"notice_id": message["id"]}
    words = sent | {"message_id": "sms-1", "text": "你们什么时候再来？"}
    assert (await own.post(replies, words, "AGENT")).status == 403
    await settled(own)
    for _ in range(2):  # brought again it is the same message
        assert (await own.post(replies, words, "GATEWAY")).body["state"] == "CALLBACK_DUE"
    assert (await own.post(replies, sent | {"message_id": "sms-2", "text": "02 0"}, "GATEWAY")).status == 200
    unsure = (await own.get(f"/feedback/v1/cases/{case['appeal_id']}")).body
    assert unsure["state"] == "CALLBACK_DUE"  # not sure is no verdict, and an officer still asks
    digits = sent | {"message_id": "sms-3", "text": "２２３。"}
    assert (await own.post(replies, digits, "GATEWAY")).body["state"] == "REWORK"
    await settled(own)
    file = (await own.get(f"/feedback/v1/cases/{case['appeal_id']}")).body
    (said,) = [one for one in file["callbacks"] if one["event"] == "callback-recorded"]
    assert (said["method"], said["contacted"], said["resolved"]) == ("SMS", False, False)
    assert [one["text"] for one in file["messages"]] == ["你们什么时候再来？"]
    receipt = {"notice_id": message["id"], "arrived": True}
    assert (await own.post("/feedback/v1/gateway/receipts", receipt, "GATEWAY")).status == 200
    await settled(own)
    listed = (await own.get(f"/feedback/v1/notifications?appeal_id={case['appeal_id']}&standing=DELIVERED")).body
    assert [one["notice_id"] for one in listed["items"]] == [message["id"]]
    assert phones.taken and "1351111" not in str(listed)


async def test_the_unit_writes_and_the_resident_answers_by_the_link_once(own: City, phones: Telephones) -> None:
    phone = "13511110006"
    case = await own.dispatched(appellant={"type": "PERSON", "name": "王芳", "phone": phone})
    assert (await own.sign(case)).status == 200
    path = f"/feedback/v1/cases/{case['appeal_id']}/messages"
    assert (await own.as_unit(case, path, {"text": "周三上午在家吗？"})).status == 200

    async def messages() -> list[dict[str, Any]]:
        return phones.to(phone, "给您留言")

    link = link_in((await own.until(messages, bool))[0])
    seen = (await own.get(link, None)).body
    assert [one["text"] for one in seen["messages"]] == ["周三上午在家吗？"] and seen["open"]
    assert (await own.post(link, {"text": "在"}, None)).status == 200
    again = await own.post(link, {"text": "在的"}, None)
    assert (again.status, again.code) == (409, "LINK_USED")
    seen = (await own.get(link, None)).body
    assert (seen["messages"], seen["open"]) == ([], False)
    await settled(own)
    file = (await own.get(f"/feedback/v1/cases/{case['appeal_id']}")).body
    assert file["unread"] == {"unit": 1, "appellant": 0} and file["awaiting_reply"]
    assert [(one["from"], one["text"]) for one in file["messages"]] == [
        ("UNIT", "周三上午在家吗？"),
        ("APPELLANT", "在"),
    ]


async def test_the_page_works_without_script_in_both_languages(own: City, phones: Telephones) -> None:
    case, _, message = await asked(own, phones, "13511110007")
    path = link_in(message)
    for language, words in (("en-GB,en;q=0.8", "How did it go?"), ("zh-CN", "请评价本次办理")):
        page = await own.get(path, None, headers={"Accept": "text/html", "Accept-Language": language})
        assert page.status == 200 and words in page.raw.decode() and "<script" not in page.raw.decode()
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    nothing = await own.send("POST", path, None, data=b"comment=x", headers=FORM, redirects=False)
    assert (nothing.status, nothing.headers["Location"]) == (303, f"{path}?said=VALIDATION_FAILED")
    form = {"contacted": "true", "resolved": "true", "satisfaction": "SATISFIED", "comment": "谢谢"}
    sent = await own.send("POST", path, None, data=urlencode(form).encode(), headers=FORM, redirects=False)
    assert (sent.status, sent.headers["Location"]) == (303, f"{path}?said=ok")
    await state_of(own, case, "CLOSED")


async def test_the_resident_reopens_within_the_window_and_it_goes_round_again(own: City, phones: Telephones) -> None:
    case, made, _ = await asked(own, phones, "13511110008")
    assert (await by_code(own, made, "reopen", {"reason": "又停水了"})).code == "ILLEGAL_TRANSITION"
    assert (await own.callback(case)).body["state"] == "CLOSED"
    await state_of(own, case, "CLOSED")
    assert (await by_code(own, made, "reopen", {"reason": "又停水了"}, code="0000-0000")).status == 404
    own.clock.advance(timedelta(days=3))
    assert (await by_code(own, made, "reopen", {"reason": "又停水了"})).body["state"] == "REWORK"
    again = await own.until(
        lambda: own.case(case["appeal_id"]), lambda one: (one["state"], one["round"]) == ("DISPATCHED", 2)
    )
    assert again["lead_unit"] == case["lead_unit"]
    await settled(own)
    names = [one["type"].split(".")[-2] for one in (await own.case(case["appeal_id"]))["timeline"]]
    assert {"case-reopened", "appeal-reopened", "rework-requested"} <= set(names)
    await own.handle(again)
    assert (await own.callback(again)).body["state"] == "CLOSED"
    await settled(own)
    closed = await state_of(own, case, "CLOSED")
    assert [one["type"] for one in closed["timeline"]].count("cn.gov.appeals.intake.appeal-closed.v1") == 2
    order = (await own.get(f"/routing/v1/orders/{case['appeal_id']}")).body
    assert (order["state"], order["round"]) == ("CLOSED", 2)
    file = (await own.get(f"/feedback/v1/cases/{case['appeal_id']}")).body
    assert file["rounds"] == [1, 2] and file["rework"][0]["reason"] == "又停水了"
    leads = (await own.get("/feedback/v1/leads?kind=REOPENED_AFTER_CLOSING")).body["items"]
    assert case["appeal_id"] in [one["subject"] for one in leads]


async def test_after_the_window_new_facts_make_a_new_appeal_that_relates_to_it(own: City, phones: Telephones) -> None:
    case, made, _ = await asked(own, phones, "13511110009")
    assert (await own.callback(case)).body["state"] == "CLOSED"
    await state_of(own, case, "CLOSED")
    own.clock.advance(POLICY.reopen_within + timedelta(minutes=1))
    assert (await by_code(own, made, "reopen", {"reason": "又停水了"})).code == "REOPEN_WINDOW_OVER"
    new = await own.register(relates_to=case["appeal_id"], appellant={"type": "PERSON", "phone": "13511110009"})
    await settled(own)
    assert (await own.case(new["appeal_id"]))["relates_to"] == case["appeal_id"]
    assert (await own.case(case["appeal_id"]))["state"] == "CLOSED"


async def test_a_closed_appeal_of_the_last_round_is_not_reopened(own: City, phones: Telephones) -> None:
    case, made, _ = await asked(own, phones, "13511110010")
    for number in range(1, POLICY.most_rounds):
        assert (await own.callback(case, resolved=False)).body["state"] == "REWORK"
        ask = partial(own.case, case["appeal_id"])
        case = await own.until(ask, lambda one, n=number: (one["round"], one["state"]) == (n + 1, "DISPATCHED"))
        await own.handle(case)
    assert (await own.callback(case)).body["state"] == "CLOSED"
    assert (await by_code(own, made, "reopen", {"reason": "还是不行"})).code == "NO_MORE_ROUNDS"


async def test_what_was_said_on_the_tracking_page_counts_as_well(own: City, phones: Telephones) -> None:
    case, made, _ = await asked(own, phones, "13511110011")
    assert (await own.callback(case)).body["state"] == "CLOSED"
    await state_of(own, case, "CLOSED")
    said = {"satisfaction": "DISSATISFIED", "resolved": False, "comment": "没有修"}
    assert (await act(own, made, "evaluation", said)).status == 200
    await settled(own)
    file = (await own.get(f"/feedback/v1/cases/{case['appeal_id']}")).body
    assert [(one["via"], one["contradicts"], one.get("comment")) for one in file["evaluations"]] == [
        ("TRACKING", True, None)
    ]
