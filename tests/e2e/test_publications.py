"""剔除, 关账, 更正: what is claimed, decided, published and restated, and that nothing published ever changes."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
import pytest_asyncio
from openpyxl import load_workbook

from shared.eventlog.canonical import canonical
from shared.eventlog.verify import Bad
from tests.support.city import START, Reply
from tests.support.notes import opened
from tests.support.past import CLOSED, RUNNING, STREET, NewCity, Scored, of, scored

DISTRICT = "lab-01"
OTHER = "lab-02-01"
CLAIM = {"reason": "FORCE_MAJEURE", "evidence": "暴雨红色预警期间，道路中断三天。"}


@pytest_asyncio.fixture
async def past(new_city: NewCity) -> AsyncIterator[Scored]:
    async with scored(new_city, lives=600, streets=4) as made:
        yield made


async def unsolved(past: Scored, number: int = 0) -> str:
    """An appeal of the street that went badly for it."""
    appeals = [one for one in await past.appeals() if one["adds"].get("dissatisfied")]
    return str(appeals[number]["appeal_id"])


async def claim(past: Scored, appeal_id: str, **changes: Any) -> Reply:
    who = {"role": "STREET_HANDLER", "unit": STREET} | {k: changes.pop(k) for k in ("role", "unit") if k in changes}
    return await past.post(f"appeals/{appeal_id}/exclusions", CLAIM | changes, **who)


async def decide(past: Scored, exclusion_id: str, what: str = "approve", **who: Any) -> Reply:
    body = {"reason": "证据不足"} if what == "reject" else {"argument": "现场照片未被采信"} if what == "appeal" else {}
    return await past.post(f"exclusions/{exclusion_id}/{what}", body, **who)


def is_(reply: Reply, status: int, code: str) -> bool:
    return (reply.status, reply.code) == (status, code)


async def test_what_is_left_out_leaves_the_assessed_basis_and_stays_in_the_other(past: Scored) -> None:
    appeal_id = await unsolved(past)
    both = {basis: of(await past.table(basis=basis)) for basis in ("ALL", "ASSESSED")}
    claimed = await claim(past, appeal_id)
    assert claimed.status == 201 and claimed.body["state"] == "CLAIMED", claimed.raw
    approved = await decide(past, claimed.body["exclusion_id"])
    assert approved.body["state"] == "APPROVED", approved.raw
    await past.counted()
    after = {basis: of(await past.table(basis=basis)) for basis in both}
    assert after["ALL"] == both["ALL"]
    assert after["ASSESSED"]["received"] == both["ASSESSED"]["received"] - 1
    assert float(after["ASSESSED"]["composite"]) > float(both["ASSESSED"]["composite"])
    effect = (await past.get(f"exclusions/effect?period={CLOSED}&league=STREET_TOWN")).body["items"]
    mine = next(one for one in effect if one["unit_id"] == STREET)
    assert mine["left_out"] == 1 and sum(one["left_out"] for one in effect) == 1
    assert (mine["composite_all"], mine["composite_assessed"]) == (
        after["ALL"]["composite"],
        after["ASSESSED"]["composite"],
    )
    told = (await past.get(f"appeals/{appeal_id}/explanation")).body
    assert told["counted"] == {"ALL": True, "ASSESSED": False}
    assert told["why"][-1]["clause"] == "/exclusions/grounds/FORCE_MAJEURE"
    generic = (await past.get(f"appeals/{appeal_id}/explanation?policy=PJ-RATES-2023")).body
    assert generic["counted"]["ASSESSED"] and generic["why"][-1]["code"] == "GROUND_UNKNOWN"


async def test_whoever_is_scored_does_not_decide_and_nobody_decides_twice(past: Scored) -> None:
    appeal_id = await unsolved(past)
    for unit, role in ((OTHER, "STREET_HANDLER"), (DISTRICT, "DISTRICT_COORDINATOR")):
        assert (await claim(past, appeal_id, unit=unit, role=role)).status == 404
    assert is_(await claim(past, appeal_id, reason="NO_SUCH_GROUND"), 422, "VALIDATION_FAILED")
    id_ = (await claim(past, appeal_id)).body["exclusion_id"]
    assert is_(await claim(past, appeal_id), 409, "CLAIM_PENDING")
    for who in ({"unit": STREET}, {"unit": DISTRICT}, {"district": DISTRICT}):
        assert is_(await decide(past, id_, **who), 403, "OWN_CASE")
    assert (await decide(past, id_, role="STREET_HANDLER", unit=STREET)).status == 403
    assert (await decide(past, id_, "reject", sub="first@city")).body["state"] == "REJECTED"
    assert is_(await decide(past, id_, sub="other@city"), 409, "ILLEGAL_TRANSITION")
    unit = {"role": "STREET_HANDLER", "unit": STREET}
    assert (await decide(past, id_, "appeal", role="STREET_HANDLER", unit=OTHER)).status == 404
    assert (await decide(past, id_, "appeal", **unit)).body["state"] == "APPEALED"
    assert is_(await decide(past, id_, sub="first@city"), 403, "SECOND_OFFICER_NEEDED")
    assert (await decide(past, id_, "reject", sub="second@city")).body["state"] == "REJECTED"
    assert is_(await decide(past, id_, "appeal", **unit), 409, "APPEAL_DECIDED")
    await past.scoring.views_settled()
    (shown,) = (await past.get(f"exclusions?appeal_id={appeal_id}")).body["items"]
    assert (shown["state"], shown["instance"], shown["unit_id"]) == ("REJECTED", 2, STREET)
    handler = {"role": "STREET_HANDLER", "district": DISTRICT}
    seen = [(await past.get("exclusions", **handler, unit=who)).body["items"] for who in (STREET, "lab-01-02")]
    assert [len(one) for one in seen] == [1, 0], "not even a neighbour in the same district"
    assert len((await past.get("exclusions", role="DISTRICT_COORDINATOR", unit=DISTRICT)).body["items"]) == 1
    assert (await past.get("exclusions", role="ANALYST")).body["items"] == []


async def test_a_claim_that_nobody_decides_lapses_and_a_late_one_is_not_taken(past: Scored) -> None:
    appeal_id, other = await unsolved(past), await unsolved(past, 1)
    id_ = (await claim(past, appeal_id)).body["exclusion_id"]
    await past.scoring.views_settled()
    past.city.clock.advance(timedelta(days=10, seconds=1))

    async def state() -> str:
        return str((await past.get(f"exclusions?appeal_id={appeal_id}")).body["items"][0]["state"])

    assert await past.city.until(state, lambda now: now == "LAPSED")
    assert is_(await decide(past, id_), 409, "ILLEGAL_TRANSITION")
    assert is_(await claim(past, other), 409, "CLAIM_WINDOW_CLOSED")


async def test_a_closed_period_is_signed_and_what_changes_later_stands_beside_it(past: Scored) -> None:
    assert is_(await past.post(f"periods/{RUNNING}/close", {}), 409, "PERIOD_OPEN")
    claimed = await claim(past, appeal_id := await unsolved(past))
    past.city.clock.set(START + timedelta(days=2))
    live = await past.table()
    assert (await past.post(f"periods/{CLOSED}/close", {})).body["state"] == "CLOSED"
    assert is_(await past.post(f"periods/{CLOSED}/close", {}), 409, "PERIOD_CLOSED")
    await past.scoring.views_settled()
    published = (await past.get(f"periods/{CLOSED}/tables/STREET_TOWN")).body
    without = ("expected_resolution_rate",)
    assert [_less(item, without) for item in published["items"]] == [_less(item, without) for item in live["items"]]
    assert all(item["expected_resolution_rate"] for item in published["items"])
    await _signed(past)

    past.city.clock.advance(timedelta(hours=1))
    assert (await decide(past, claimed.body["exclusion_id"])).status == 200
    assert (await past.post(f"periods/{CLOSED}/restate", {})).body["restated"] == ["DISTRICT", "STREET_TOWN"]
    assert (await past.post(f"periods/{CLOSED}/restate", {})).body["restated"] == [], "nothing new, so nothing happens"
    await past.scoring.views_settled()
    about = (await past.get(f"periods/{CLOSED}")).body["publications"]
    restated = [one for one in about if one["kind"] == "RESTATED"]
    assert sorted(one["league"] for one in restated) == ["DISTRICT", "STREET_TOWN"]
    for one in restated:
        assert one["causes_in_all"] == 1 and one["causes"][0]["appeal_id"] == appeal_id
        (event_id,) = one["causes"][0]["events"]
        told = (await past.get(f"appeals/{appeal_id}/explanation")).body["events"]
        assert next(event for event in told if event["event_id"] == event_id)["says"] == "EXCLUDED"
    first = (await past.get(f"periods/{CLOSED}/tables/STREET_TOWN?number=0")).body
    assert first == published | {"number": 0}
    now = (await past.get(f"periods/{CLOSED}/tables/STREET_TOWN?basis=ASSESSED")).body
    assert now["number"] == 1 and of(now)["received"] == of(first)["received"] - 1
    replaced = next(one for one in restated if one["league"] == "STREET_TOWN")["replaces"]
    assert replaced == first["digest"] != now["digest"]
    await _signed(past)
    for role in ("ANALYST", "STREET_HANDLER"):  # single appeals are for those who may see all
        outside = (await past.get(f"periods/{CLOSED}", role=role, unit=OTHER)).body["publications"]
        assert not any("causes" in one for one in outside) and any(one.get("causes_in_all") for one in outside)


def _less(item: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in names}


async def _signed(past: Scored) -> None:
    """Every publication's digest is that of its event, and its note is signed with the key that is published."""
    key = (await past.city.get("/scoring/v1/publications/key", None)).raw.decode().strip()
    log = past.scoring.log
    for recorded in await log.read_stream(f"period-{CLOSED}"):
        data = dict(recorded.envelope.data)
        shown = await past.get(f"periods/{CLOSED}/publications/{data['league']}/{data.get('number', 0)}")
        assert shown.body == data, "what is shown is what was signed"
        note, digest = data.pop("note"), data.pop("digest")
        assert sha256(canonical(data)).hexdigest() == digest and digest in opened(note, key)
        with pytest.raises(Bad):
            opened(note.replace(data["period"], RUNNING), key)


async def test_a_period_is_restated_by_itself_and_credits_are_causes_too(past: Scored) -> None:
    past.city.clock.set(START + timedelta(days=2))
    named = {"policy": "BJ-LABELS-2025"}
    assert (await past.post(f"periods/{CLOSED}/close", named)).status == 404, "it has only been drafted"
    start = {"effective_from": past.city.clock.now().isoformat()}
    assert (await past.post("policies/BJ-LABELS-2025/activate", start)).status == 200
    await past.scoring.views_settled()
    assert (await past.post(f"periods/{CLOSED}/close", named)).status == 200
    await past.scoring.views_settled()
    before = of((await past.get(f"periods/{CLOSED}/tables/STREET_TOWN")).body)
    past.city.clock.advance(timedelta(hours=1))
    credit = {"kind": "PROACTIVE", "period": CLOSED, "decision": "京政办〔2026〕3号"}
    given = await past.post(f"units/{STREET}/credits", credit)
    assert given.status == 201 and is_(await past.post(f"units/{STREET}/credits", credit, unit=STREET), 403, "OWN_CASE")
    assert is_(await past.post(f"units/{STREET}/credits", credit), 409, "CREDIT_GIVEN")
    hard = credit | {"kind": "HARD_CASE"}
    assert is_(await past.post(f"units/{STREET}/credits", hard), 409, "CASE_MISSING")
    past.city.clock.advance(timedelta(days=1))

    async def restated() -> list[dict[str, Any]]:
        about = (await past.get(f"periods/{CLOSED}")).body["publications"]
        return [one for one in about if one["kind"] == "RESTATED"]

    (one,) = await past.city.until(restated, bool)
    assert one["causes"] == [{"events": [], "unit_id": STREET, "credit_id": given.body["credit_id"]}]
    after = of((await past.get(f"periods/{CLOSED}/tables/STREET_TOWN")).body)
    assert Decimal(after["points"]) - Decimal(before["points"]) == Decimal("0.2")
    assert float(after["composite"]) > float(before["composite"])


async def test_the_managed_list_has_entries_and_exits_and_gives_its_label(past: Scored) -> None:
    paper = {"decision": "京政办〔2026〕5号"}
    enter, leave = f"governance/{STREET}/enter", f"governance/{STREET}/leave"
    assert is_(await past.post(leave, paper), 409, "GOVERNANCE_UNCHANGED")
    assert (await past.post("governance/nobody/enter", paper)).status == 404
    assert is_(await past.post(f"governance/{DISTRICT}/enter", paper), 409, "NOT_A_STREET")
    assert is_(await past.post(enter, paper, unit=STREET), 403, "OWN_CASE")
    assert (await past.post(enter, paper)).body["state"] == "LISTED"
    await past.scoring.views_settled()
    assert of(await past.table(policy="BJ-LABELS-2025"))["label"] == "GOVERNANCE"
    past.city.clock.advance(timedelta(days=1))
    assert (await past.post(leave, paper)).body["state"] == "FREE"
    await past.scoring.views_settled()
    (stay,) = (await past.get("governance")).body["items"]
    assert stay["until"] and stay["decision"] == paper["decision"]
    assert of(await past.table(policy="BJ-LABELS-2025"))["label"] != "GOVERNANCE"
    then = (START + timedelta(hours=1)).isoformat().replace("+", "%2B")
    assert of(await past.table(policy="BJ-LABELS-2025", as_of=then))["label"] == "GOVERNANCE"


async def test_the_review_pack_and_open_data(past: Scored) -> None:
    assert (await past.city.get(f"/scoring/v1/open/scores?period={CLOSED}&league=STREET_TOWN", None)).status == 404
    assert (await past.get(f"periods/{CLOSED}/review")).status == 404
    far = await past.get(f"periods/{CLOSED}/tables/STREET_TOWN?number=99999999999999999999999")
    assert is_(far, 422, "VALIDATION_FAILED")
    past.city.clock.set(START + timedelta(days=2))
    assert (await past.post(f"periods/{CLOSED}/close", {})).status == 200
    await past.scoring.views_settled()
    pack = load_workbook(io.BytesIO((await past.get(f"periods/{CLOSED}/review")).raw), read_only=True)
    assert len(pack.sheetnames) == 10 and {"街道乡镇全口径", "更正", "剔除"} <= set(pack.sheetnames)
    less = (await past.get(f"periods/{CLOSED}/review", role="ANALYST")).raw
    assert len(load_workbook(io.BytesIO(less), read_only=True).sheetnames) == 8
    shown = (await past.city.get(f"/scoring/v1/open/scores?period={CLOSED}&league=STREET_TOWN", None)).body
    whole = (await past.get(f"periods/{CLOSED}/tables/STREET_TOWN")).body
    assert shown["digest"] == whole["digest"] and shown["small_cell"] == 10
    for open_, item in zip(shown["items"], whole["items"], strict=True):
        assert open_["unit_id"] == item["unit_id"] and open_["composite_shown"] == item["composite_shown"]
        assert not {"dissatisfied", "contacted", "composite_change", "previous_rank"} & open_.keys()
