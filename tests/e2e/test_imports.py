"""A file of appeals over HTTP: every row registered once or told why not, and nobody else learns what it said."""

from __future__ import annotations

import json

import pytest

from tests.support.city import City
from tests.support.imports import (
    IMPORTS,
    NDJSON,
    XLSX,
    counts,
    csv,
    ended,
    events,
    imported,
    kept,
    problems,
    progress,
    registered,
    started,
    told,
    upload,
)
from tests.support.views import settled
from tests.unit.test_rows import workbook

CANARY = "CANARY-7f3a-13800138000"
LINES = b'{"kind":"HELP","channel":"IMPORT","content":"a","appellant":{}}\n{"content":"b"}\n'
FILES = {
    "text/csv": csv("停水,1", ",2"),
    "text/csv; charset=utf-8": csv("停水,1", ",2"),
    NDJSON: LINES,
    XLSX: workbook(["content", "source_ref"], ["停水", 1], [None, 2]),
}


@pytest.mark.parametrize("media_type", FILES)
async def test_a_file_is_taken_and_its_rows_are_registered(city: City, media_type: str) -> None:
    sub = f"p-{media_type}"
    reply = await upload(city, FILES[media_type], sub, media_type)
    assert (reply.status, reply.body["state"], reply.headers["ETag"]) == (202, "RUNNING", '"1"'), reply.raw
    over = await ended(city, reply.body["import_id"], sub)
    assert (over["state"], over["total"], over["row"], over["reason"]) == ("DONE", 2, 2, None)
    assert counts(over) == (1, 0, 1, 0) and over["bytes"] == len(FILES[media_type])
    assert told(await problems(city, over["import_id"], sub)) == [(2, "VALIDATION_FAILED")]
    assert await registered(city, sub) == 1


async def test_a_row_becomes_the_appeal_that_it_says(city: City) -> None:
    row = "路灯,2026/11/22 9:30,r-1,110105,某路1号"
    await imported(city, csv(row, header="c,t,n,d,a"), "p-says", map={
        "columns": {
            "content": "{c}不亮", "title": "夜间{c}", "raised_at": "t", "source_ref": "n", "location.district": "d",
        },
        "constants": {"kind": "HELP", "location.township": "朝外街道"},
    })  # fmt: skip
    await settled(city)
    (item,) = (await city.get("/intake/v1/appeals", "INTEGRATOR", sub="p-says")).body["items"]
    case = await city.case(item["appeal_id"])
    assert (case["content"], case["title"], case["kind"], case["channel"]) == ("路灯不亮", "夜间路灯", "HELP", "IMPORT")
    assert case["raised_at"] == "2026-11-22T09:30:00.000+08:00"


async def test_a_charset_that_is_named_is_read(city: City) -> None:
    over = await imported(city, "content\n路燈壞了\n".encode("big5"), "p-big5", charset="big5")
    assert counts(over) == (1, 0, 0, 0)
    (item,) = (await city.get("/intake/v1/appeals", "INTEGRATOR", sub="p-big5")).body["items"]
    assert (await city.case(item["appeal_id"]))["content"] == "路燈壞了"


async def test_the_same_file_again_registers_nothing(city: City) -> None:
    data = csv("停水,1", "路灯,2", "噪声,3")
    assert counts(await imported(city, data, "p-again")) == (3, 0, 0, 0)
    assert counts(await imported(city, data, "p-again")) == (0, 3, 0, 0)
    assert counts(await imported(city, data, "p-another")) == (3, 0, 0, 0), "another client's references are its own"
    assert await registered(city, "p-again") == 3


async def test_rows_without_a_reference_are_new_each_time(city: City) -> None:
    for _ in range(2):
        assert counts(await imported(city, b"content\na\na\n", "p-plain")) == (2, 0, 0, 0)
    assert await registered(city, "p-plain") == 4


async def test_a_row_that_is_in_the_file_twice_is_registered_once(city: City) -> None:
    over = await imported(city, csv("停水,1", "停水,1", "水压低,1"), "p-twice")
    assert (over["registered"], over["already_there"] + over["refused"]) == (1, 2)
    assert await registered(city, "p-twice") == 1


async def test_what_was_registered_alone_is_already_there(city: City) -> None:
    body = {"kind": "COMPLAINT", "channel": "IMPORT", "content": "停水", "source_ref": "n-1", "appellant": {}}
    alone = await city.post("/intake/v1/appeals", body, "INTEGRATOR", sub="p-alone")
    assert alone.status == 201
    assert counts(await imported(city, csv("停水,n-1", "路灯,n-2"), "p-alone")) == (1, 1, 0, 0)
    assert counts(await imported(city, json.dumps(body).encode(), "p-alone", NDJSON)) == (0, 1, 0, 0)
    again = await city.post("/intake/v1/appeals", body, "INTEGRATOR", sub="p-alone")
    assert again.body == alone.body, "and the other way round"
    assert await registered(city, "p-alone") == 2


async def test_a_reference_that_stands_for_something_else_is_refused(city: City) -> None:
    await imported(city, csv("停水,1"), "p-taken")
    over = await imported(city, csv("另一件事,1", "路灯,2"), "p-taken")
    assert counts(over) == (1, 0, 1, 0)
    (one,) = await problems(city, over["import_id"], "p-taken")
    assert (one["row"], one["source_ref"], one["code"], one["warning"]) == (1, "1", "SOURCE_REF_TAKEN", False)


async def test_what_looks_wrong_is_listed_and_registered_all_the_same(city: City) -> None:
    header = "content,created_at,closed_at,lon,lat,被反映区"
    row = "停水,2026-11-22,2026-11-21,0,0,火星区"
    over = await imported(city, csv(row, "好,,,,,", header=header), "p-warned")
    assert counts(over) == (2, 0, 0, 1)
    items = await problems(city, over["import_id"], "p-warned")
    assert told(items) == [(1, "CLOSED_BEFORE_RAISED"), (1, "DISTRICT_UNKNOWN"), (1, "POINT_IS_ZERO")]
    assert all(one["warning"] for one in items)


async def test_all_or_none_registers_nothing_when_a_single_row_is_wrong(city: City) -> None:
    rows = [f"停水{n},{n}" for n in range(450)]
    rows[3], rows[240] = ",3", "x,a b"
    over = await imported(city, csv(*rows), "p-none", mode="all")
    assert (over["state"], over["row"], *counts(over)) == ("REFUSED", 450, 0, 0, 2, 0), "all were looked at"
    assert told(await problems(city, over["import_id"], "p-none")) == [
        (4, "VALIDATION_FAILED"), (241, "VALIDATION_FAILED"),
    ]  # fmt: skip
    assert await registered(city, "p-none") == 0


async def test_all_or_none_registers_all_when_all_are_good(city: City) -> None:
    data = csv(*(f"停水{n},{n}" for n in range(250)))
    over = await imported(city, data, "p-all", mode="all")
    assert (over["state"], *counts(over)) == ("DONE", 250, 0, 0, 0)
    assert counts(await imported(city, data, "p-all", mode="all")) == (0, 250, 0, 0)


async def test_the_same_upload_again_is_the_same_import(city: City) -> None:
    key, data = {"Idempotency-Key": "once"}, csv("停水,1")
    first = await upload(city, data, "p-once", headers=key)
    again = await upload(city, data, "p-once", headers=key)
    assert (again.status, again.body) == (202, first.body) and again.headers["Idempotent-Replayed"] == "true"
    other = await upload(city, csv("路灯,2"), "p-once", headers=key)
    assert (other.status, other.code) == (422, "IDEMPOTENCY_KEY_REUSED")
    otherwise = await upload(city, data, "p-once", headers=key, mode="all")
    assert (otherwise.status, otherwise.code) == (422, "IDEMPOTENCY_KEY_REUSED")
    await ended(city, first.body["import_id"], "p-once")
    assert await registered(city, "p-once") == 1
    listed = (await city.get(IMPORTS, "INTEGRATOR", sub="p-once")).body["items"]
    assert [one["import_id"] for one in listed] == [first.body["import_id"]]


async def test_while_nobody_reads_it_the_same_upload_leaves_one_file(still: City) -> None:
    before = set(kept(still))
    replies = [await upload(still, csv("停水,1"), "p-one", headers={"Idempotency-Key": "k"}) for _ in range(3)]
    assert len({reply.body["import_id"] for reply in replies}) == 1
    (file,) = set(kept(still)) - before
    assert replies[0].body["import_id"] in file.name and "停水".encode() not in file.read_bytes()


async def test_a_partner_sees_its_own_imports_and_the_hotline_all(city: City) -> None:
    import_id = await started(city, csv("停水,1", ",2"), "p-mine")
    over = await ended(city, import_id, "p-mine")
    for path in (f"{IMPORTS}/{import_id}", f"{IMPORTS}/{import_id}/problems"):
        strangers = await city.get(path, "INTEGRATOR", sub="p-stranger")
        nobody = await city.get(path.replace(import_id, "none"), "INTEGRATOR", sub="p-mine")
        assert (strangers.status, strangers.code) == (nobody.status, nobody.code) == (404, "NOT_FOUND")
    assert (await city.get(IMPORTS, "INTEGRATOR", sub="p-stranger")).body["items"] == []
    assert [one["import_id"] for one in (await city.get(IMPORTS, "INTEGRATOR", sub="p-mine")).body["items"]] == [
        import_id
    ]
    assert await progress(city, import_id, "li", "AGENT") == over
    assert len(await problems(city, import_id, "li", "AGENT")) == 1


@pytest.mark.parametrize("role", ["AUDITOR", "DISPATCHER", "STREET_HANDLER", "ANALYST", "MUNICIPAL_ADMIN"])
async def test_who_may_not_register_may_not_import(city: City, role: str) -> None:
    replies = [await upload(city, csv("停水,1"), "x", role=role)]
    replies += [await city.get(path, role) for path in (IMPORTS, f"{IMPORTS}/x", f"{IMPORTS}/x/problems")]
    assert {(reply.status, reply.code) for reply in replies} == {(403, "FORBIDDEN")}


async def test_without_a_token_nothing_is_taken(city: City) -> None:
    assert (await upload(city, csv("停水,1"), "x", role=None)).status == 401


async def test_nothing_that_a_row_says_stands_in_a_problem_or_in_an_event_of_an_import(city: City) -> None:
    header = "content,title,kind,created_at,closed_at,zone,lon,phone,category,被反映区,source_ref"
    at = {name: place for place, name in enumerate(header.split(","))}
    rows = [[CANARY, *[""] * (len(at) - 2), f"n{number}"] for number in range(len(at))]
    for row, name in zip(rows, at, strict=True):
        row[at[name]] = CANARY if name != "source_ref" else "n"
        row[at["kind"]] = row[at["kind"]] or "HELP"
    lines = ['{"content": "%s"' % CANARY, '{"%s": 1}' % CANARY[:6], '"%s"' % CANARY, "{}%s" % CANARY]  # noqa: UP031
    for data, media_type in (
        (csv(*map(",".join, rows), header=header), "text/csv"),
        ("\n".join(lines).encode(), NDJSON),
    ):
        over = await imported(city, data, f"p-{media_type}-canary", media_type)
        items = await problems(city, over["import_id"], f"p-{media_type}-canary")
        assert len(items) >= 4 and CANARY not in json.dumps([over, items])
    await settled(city)
    imports = [event for event in await events(city) if ".import-" in event.type]
    assert imports and not [event.type for event in imports if CANARY.encode() in event.body]
