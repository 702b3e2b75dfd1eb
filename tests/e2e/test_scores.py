"""三率考核 over a past of some months: the same figures in every form, at any moment, added up again from the facts."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest_asyncio
from openpyxl import load_workbook

from services.scoring_service.counting import MEASURES, NOTHING, added, counted
from services.scoring_service.founding import shipped
from services.scoring_service.life import Rule, life_of, shares
from services.scoring_service.period import bounds, period_of, report_day
from services.scoring_service.policy import read_policy
from services.scoring_service.ranking import league_table
from services.scoring_service.tallying import facts_in
from shared.contracts.codes import League
from shared.contracts.feedback import CallbackReviewed
from tests.support.city import START
from tests.support.past import CLOSED, RUNNING, STREET, NewCity, Scored, of, scored
from tests.support.views import dump, rebuilt

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
COUNTS = ("received", "valid_callbacks", "contacted", "resolved", "satisfied", "basically_satisfied")


@pytest_asyncio.fixture(scope="module")
async def past(new_city: NewCity) -> AsyncIterator[Scored]:
    async with scored(new_city) as made:
        yield made


async def recount(past: Scored, period: str, until: datetime | None = None, day: Any = None) -> dict[str, Any]:
    """The sums of every unit from the facts of every life, without any of the service's sums."""
    sums: dict[str, Any] = {}
    for row in await past.scoring.pool.fetch("SELECT facts FROM lives"):
        life = life_of(facts_in(row["facts"]), until)
        if life.registered_at is None or period_of(life.registered_at, 19) != period:
            continue
        if day is not None and report_day(life.registered_at, 12) != day:
            continue
        for share in shares(life, Rule.LAST):
            sums[share.unit_id] = added(sums.get(share.unit_id, NOTHING), share.counts)
    return sums


def same(table: dict[str, Any], sums: dict[str, Any]) -> bool:
    found = {item["unit_id"]: tuple(item[name] for name in COUNTS) for item in table["items"] if item["received"]}
    wanted = {unit: tuple(numbers[MEASURES.index(name)] for name in COUNTS) for unit, numbers in sums.items()}
    return found == {unit: numbers for unit, numbers in wanted.items() if numbers[0]}


async def test_a_live_table_is_what_the_facts_of_all_lives_come_to(past: Scored) -> None:
    for period in ("2026-09", "2026-10", CLOSED, RUNNING):
        assert same(await past.table(period), await recount(past, period)), period


async def test_a_table_at_a_past_moment_is_what_was_known_then(past: Scored) -> None:
    end = bounds(CLOSED, 19)[1]
    seen = []
    for moment in (end - timedelta(days=20), end - timedelta(days=5), end + timedelta(days=3)):
        table = await past.table(as_of=moment.isoformat().replace("+", "%2B"))
        assert same(table, await recount(past, CLOSED, moment))
        seen.append(of(table)["valid_callbacks"])
    assert seen == sorted(set(seen)), "nothing had happened in between"


async def test_a_report_day_runs_from_noon_to_noon(past: Scored) -> None:
    day = (START - timedelta(days=10)).date()
    table = await past.table(day=day.isoformat())
    assert same(table, await recount(past, CLOSED, day=day)) and sum(item["received"] for item in table["items"])
    before = START - timedelta(hours=12)
    earlier = await past.table(day=day.isoformat(), as_of=before.isoformat().replace("+", "%2B"))
    assert same(earlier, await recount(past, CLOSED, before, day))


async def test_all_categories_together_are_the_table(past: Scored) -> None:
    rows = await past.scoring.pool.fetch("SELECT DISTINCT category FROM mixes")
    whole, parts = of(await past.table()), Counter[str]()
    for row in rows:
        parts.update({name: of(await past.table(category=row["category"]))[name] for name in COUNTS})
    assert len(rows) > 3 and dict(parts) == {name: whole[name] for name in COUNTS}


async def test_a_district_stands_for_its_streets(past: Scored) -> None:
    districts = (await past.get(f"scores?period={CLOSED}&league=DISTRICT")).body["items"]
    streets = (await past.table())["items"]
    for district in districts:
        under = [one for one in streets if one["unit_id"].startswith(district["unit_id"])]
        assert district["received"] == sum(one["received"] for one in under) > 0


async def test_the_figures_are_those_of_the_formula(past: Scored) -> None:
    policy = read_policy(dict(shipped()["BJ-HR-2025"]))
    table = await past.table()
    sums = await recount(past, CLOSED)
    expected = league_table([counted(unit, "", numbers) for unit, numbers in sums.items()], policy, League.STREET_TOWN)
    streets = [one for one in expected if one.counts.unit_id in {item["unit_id"] for item in table["items"]}]
    assert [(one.counts.unit_id, one.rank, str(one.shown)) for one in streets] == [
        (item["unit_id"], item["rank"], item["composite_shown"]) for item in table["items"]
    ]


class _Cells(HTMLParser):
    """The rows of a page's table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


async def test_every_form_shows_the_same_figures(past: Scored) -> None:
    query = f"scores?period={CLOSED}&league=STREET_TOWN&policy=BJ-LABELS-2025"
    items = (await past.get(query)).body["items"]
    text = (await past.get(query, headers={"Accept": "text/csv"})).raw.decode("utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(text)))
    book = load_workbook(io.BytesIO((await past.get(query, headers={"Accept": XLSX})).raw), read_only=True)
    sheet = list(book.worksheets[0].iter_rows(values_only=True))
    columns = [str(name).split()[-1] for name in sheet[2]]
    cells = [dict(zip(columns, row, strict=True)) for row in sheet[3:-1]]
    page = _Cells((await past.get(query, headers={"Accept": "text/html"})).raw.decode())
    assert len(items) == len(lines) == len(cells) == len(page.rows) - 2
    for item, line, cell, shown in zip(items, lines, cells, page.rows[1:-1], strict=True):
        for name, value in item.items():
            if name == "rates":
                continue
            if isinstance(value, bool):
                assert (line[name], cell[name]) == (("yes", "是") if value else ("no", "否"))
            elif value is None:
                assert (line[name], cell[name]) == ("", None)
            else:
                assert line[name].lstrip("'") == str(value)
                assert str(value) == str(cell[name]) or float(value) == float(cell[name])
        printed = (item["rank"], item["received"], item["resolution_rate"], item["composite_shown"], item["low"])
        assert {str(one) for one in printed} <= set(shown)


async def test_a_page_is_in_the_language_that_is_liked(past: Scored) -> None:
    query = f"scores?period={CLOSED}&league=STREET_TOWN"
    zh = (await past.get(query, headers={"Accept": "text/html"})).raw.decode()
    en = (await past.get(query, headers={"Accept": "text/html", "Accept-Language": "en"})).raw.decode()
    assert "街道乡镇" in zh and "全口径" in zh and "Streets and towns" in en and not re.search("综合成绩", en)


async def test_an_explanation_adds_up_by_hand_and_the_appeals_to_the_table(past: Scored) -> None:
    line, total = of(await past.table()), Counter[str]()
    appeals = await past.appeals()
    for appeal in appeals:
        total.update(appeal["adds"])
    assert {name: total[name] for name in COUNTS} == {name: line[name] for name in COUNTS}
    solved = next(one for one in appeals if one["adds"].get("resolved"))
    told = (await past.get(f"appeals/{solved['appeal_id']}/explanation")).body
    assert told["counted"] == {"ALL": True, "ASSESSED": True} and told["adds"] == solved["adds"]
    assert [one["code"] for one in told["why"]] == ["IN_PERIOD", "ROUND", "VALID"]
    recorded = {event["event_id"] for event in told["events"]}
    assert all(set(one["events"]) <= recorded for one in told["why"])
    score = told["score"]["ALL"]
    assert score["with"]["composite"] == line["composite"]
    for side in ("with", "without"):
        by_hand = sum(
            100
            * eval(rate["weight"])
            * sum(float(t["each"]) * t["count"] for t in rate["terms"])
            / rate["over"]["count"]
            for rate in score[side]["rates"]
        )
        assert abs(by_hand - float(score[side]["composite"])) < 0.0001
    resolution = {
        side: next(r for r in score[side]["rates"] if r["rate"] == "resolution")
        for side in score
        if side in {"with", "without"}
    }
    assert resolution["with"]["terms"][0]["count"] - resolution["without"]["terms"][0]["count"] == 1
    assert resolution["with"]["over"]["count"] - resolution["without"]["over"]["count"] == 1


async def test_struck_answers_count_no_more(past: Scored) -> None:
    appeal = next(one for one in await past.appeals(STREET, "2026-10") if one["adds"].get("resolved"))
    before = of(await past.table("2026-10"))
    round_ = (await past.get(f"appeals/{appeal['appeal_id']}/explanation")).body["rounds"][-1]["round"]
    struck = CallbackReviewed(round=round_, stands=False, reason="录音不符")
    await past.feedback_says(appeal["appeal_id"], struck, past.city.clock.now())
    await past.counted()
    after = of(await past.table("2026-10"))
    assert after["valid_callbacks"] == before["valid_callbacks"] - 1 and after["received"] == before["received"]
    told = (await past.get(f"appeals/{appeal['appeal_id']}/explanation")).body
    assert told["why"][-1]["code"] == "STRUCK" and not told["rounds"][-1]["valid"]


async def test_the_same_events_under_another_policy(past: Scored) -> None:
    draft = dict(shipped()["BJ-HR-2025"]) | {"version": "draft-1"}
    draft["weights"] = {"response": "0", "resolution": "1", "satisfaction": "0"}
    asked = {"policy": draft, "period": CLOSED, "league": "STREET_TOWN"}
    answer = (await past.post("simulations", asked, "ANALYST")).body
    now = answer["tables"]["against"]
    assert now["items"] == (await past.table())["items"]
    then = {item["unit_id"]: item for item in answer["tables"]["policy"]["items"]}
    assert all(item["composite"] == item["resolution_rate"] for item in then.values())
    for change in answer["changes"]:
        assert change["rank_then"] == then[change["unit_id"]]["rank"]
    assert answer["outcome"]["winners"] + answer["outcome"]["losers"] <= len(now["items"])
    year = {"policy": "CN-BANDS-2025", "from_period": "2026-09", "to_period": CLOSED, "league": "DISTRICT"}
    months = (await past.post("simulations", year, "ANALYST")).body["periods"]
    assert [one["period"] for one in months] == ["2026-09", "2026-10", CLOSED] and "tables" not in months[0]
    wrong = await past.post(
        "simulations", asked | {"policy": draft | {"weights": {"response": "1.0", "resolution": "1"}}}
    )
    assert wrong.status == 422 and wrong.body["errors"][0]["pointer"].startswith("/policy/weights")


async def test_a_policy_is_not_applied_to_a_period_that_was_over_before_it_came(past: Scored) -> None:
    document = dict(shipped()["BJ-HR-2025"]) | {"version": "BJ-NEXT"}
    assert (await past.post("policies", {"document": document})).status == 201
    past.city.clock.advance(timedelta(minutes=1))
    start = {"effective_from": past.city.clock.now().isoformat()}
    moment = past.city.clock.now()
    assert (await past.post("policies/BJ-NEXT/activate", start)).status == 200
    await past.scoring.views_settled()
    past.city.clock.advance(timedelta(minutes=1))
    assert (await past.table(CLOSED))["policy"] == "BJ-HR-2025"
    assert (await past.table(RUNNING))["policy"] == "BJ-NEXT"
    before = (moment - timedelta(seconds=1)).isoformat().replace("+", "%2B")
    assert (await past.table(RUNNING, as_of=before))["policy"] == "BJ-HR-2025"


async def test_a_period_keeps_the_policy_that_it_had(past: Scored) -> None:
    """Not even one that begins with the first moment after the period, or is said to have begun long ago."""
    for version, moment in (("BJ-EDGE", bounds(CLOSED, 19)[1]), ("BJ-BACK", bounds("2026-09", 19)[0])):
        document = dict(shipped()["BJ-HR-2025"]) | {"version": version}
        assert (await past.post("policies", {"document": document})).status == 201
        start = {"effective_from": moment.isoformat()}
        assert (await past.post(f"policies/{version}/activate", start)).status == 200
        await past.scoring.views_settled()
        assert (await past.table(CLOSED))["policy"] == (await past.table("2026-10"))["policy"] == "BJ-HR-2025"


async def test_single_appeals_are_for_whom_they_concern(past: Scored) -> None:
    path, district = f"units/{STREET}/appeals?period={CLOSED}", {"district": STREET[:6]}
    appeal_id = (await past.appeals())[0]["appeal_id"]
    for unit in ("lab-02-01", "lab-01-02"):
        for where in (path, f"units/{STREET[:6]}/appeals?period={CLOSED}", f"appeals/{appeal_id}/explanation"):
            assert (await past.get(where, role="STREET_HANDLER", unit=unit, **district)).status == 404, (unit, where)
    for role, who in (("STREET_HANDLER", STREET), ("DISTRICT_COORDINATOR", STREET[:6]), ("AUDITOR", None)):
        assert (await past.get(path, role=role, unit=who)).status == 200


async def test_a_districts_history_and_appeals_are_those_of_its_table(past: Scored) -> None:
    district = STREET[:6]
    line = of((await past.get(f"scores?period={CLOSED}&league=DISTRICT")).body, district)
    (month,) = (await past.get(f"units/{district}/scores?from={CLOSED}&to={CLOSED}")).body["items"]
    assert {name: month[name] for name in (*COUNTS, "composite")} == {
        name: line[name] for name in (*COUNTS, "composite")
    }
    appeals = await past.appeals(district)
    assert sum(one["adds"].get("received", 0) for one in appeals) == line["received"]


async def test_what_to_expect_is_as_of_its_moment_too(past: Scored) -> None:
    early = (bounds(CLOSED, 19)[1] - timedelta(days=25)).isoformat().replace("+", "%2B")
    now, then = (await past.table(weighed="true"), await past.table(weighed="true", as_of=early))
    assert of(now)["expected_resolution_rate"] != of(then)["expected_resolution_rate"]
    weighed_day = await past.get(f"scores?period={CLOSED}&league=DISTRICT&day=2026-11-10&weighed=true")
    next_period = await past.get(f"scores?period={CLOSED}&league=DISTRICT&day=2026-11-19")
    assert (weighed_day.status, next_period.status) == (422, 422)


async def test_the_future_is_not_known(past: Scored) -> None:
    later = (past.city.clock.now() + timedelta(days=1)).isoformat().replace("+", "%2B")
    reply = await past.get(f"scores?period={CLOSED}&league=DISTRICT&as_of={later}")
    assert reply.status == 422 and reply.body["errors"][0]["pointer"] == "/as_of"


async def test_live_sums_are_those_of_a_fresh_rebuild(past: Scored) -> None:
    await past.counted()
    projection = next(one for one in past.scoring.projections if one.view.name == "lives")
    live = await dump(past.scoring, projection.view)
    assert live == await rebuilt(past.scoring, projection) and {row[0] for row in live} == {"lives", "tallies", "mixes"}
