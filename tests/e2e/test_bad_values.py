"""Phones, coordinates, times and JSON from the tables: what is wrong is refused with its place, what only looks
wrong is kept as it was said. An appeal is never lost for a number that nobody needs.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest

from services.intake_service.contact import pseudonym
from shared.web.bodies import parse_body
from shared.web.fields import Body
from shared.web.problems import Problem
from tests.support import bad
from tests.support.bad import CANARY, ROUTES, Bad, every_place, good_body, json_of, with_value
from tests.support.bad_cases import CLOSING, Case, all_refused, in_time, none_wrong, still_serving, together
from tests.support.bad_values import (
    BODIES,
    DATUMS,
    DATUMS_REFUSED,
    DEPTHS,
    FUTURE,
    IDS,
    MAILS_REFUSED,
    NESTED,
    NO_NUMBERS,
    NO_PHONES,
    NUMBERS,
    PHONES_REFUSED,
    PHONES_TAKEN,
    POINTS,
    TIMES,
    WECHATS_REFUSED,
    WHOLE,
)
from tests.support.city import City, Reply

APPEALS = "/intake/v1/appeals"


def registering(**changes: Any) -> Any:
    async def send(city: City) -> Reply:
        return await city.post(APPEALS, city.appeal(kind="CONSULT", **changes), "AGENT", headers=CLOSING)

    return send


async def registered(city: City, **changes: Any) -> dict[str, Any]:
    """The case, as the hotline sees it; `problem` when it was refused."""
    reply = await registering(**changes)(city)
    if reply.status != 201:
        return {"problem": reply.raw}
    position = {"If-Position": reply.headers["Appeal-Position"]}
    read = partial(City.get, path=f"{APPEALS}/{reply.body['appeal_id']}", headers=position)
    case: dict[str, Any] = (await in_time(city, read)).body
    return case


async def test_what_is_no_way_to_reach_somebody_is_refused_with_its_place(still: City) -> None:
    bads = [("phone", one) for one in [*PHONES_REFUSED, *NO_PHONES]]
    bads += [("email", one) for one in [*MAILS_REFUSED, 5]] + [("wechat", one) for one in [*WECHATS_REFUSED, 5]]
    who = {"type": "PERSON", "name": CANARY}
    cases = [Case(f"{field} {one!a}", registering(appellant=who | {field: one})) for field, one in bads]
    replies = await all_refused(still, cases)
    for (field, _), reply in zip(bads, replies, strict=True):
        assert {one["pointer"] for one in reply.body["errors"]} == {f"/appellant/{field}"}


async def test_an_odd_phone_number_is_taken_and_one_number_is_one_person_in_any_spelling(city: City) -> None:
    who = [{"type": "PERSON", "name": "王芳", "phone": phone} for phone in PHONES_TAKEN]
    cases = await together(*(registered(city, appellant=one) for one in who))
    none_wrong([(phone, case.get("problem")) for phone, case in zip(PHONES_TAKEN, cases, strict=True)])
    people = {phone: pseudonym(b"k" * 32, phone, None) for phone in PHONES_TAKEN}
    same = {number: pseudonym(b"k" * 32, number, None) for number in PHONES_TAKEN.values() if number}
    none_wrong([(phone, people[phone] != same[number]) for phone, number in PHONES_TAKEN.items() if number])
    others = [people[phone] for phone, number in PHONES_TAKEN.items() if not number and phone.strip("0")]
    assert len(set(others)) == len(others) and not set(others) & set(same.values())


async def test_no_appeal_is_refused_for_the_number_of_a_document(city: City) -> None:
    cases = await together(*(registered(city, content=f"证件号 {one}", title=one) for one in IDS))
    none_wrong([(one, None if case.get("title") == one else case) for one, case in zip(IDS, cases, strict=True)])


def location(longitude: Any, latitude: Any, **more: Any) -> dict[str, Any]:
    said = {"longitude": longitude, "latitude": latitude}
    return {name: value for name, value in said.items() if value is not None} | more


async def test_a_point_that_cannot_be_is_refused_and_never_repeated(still: City) -> None:
    cases = [
        Case(name, registering(location=location(east, north)))
        for name, (east, north, outcome) in POINTS.items()
        if outcome == "REFUSED" and name != "the other way round"
    ]
    cases += [Case(f"datum {one!a}", registering(location=location(116.4, 39.9, datum=one))) for one in DATUMS_REFUSED]
    await all_refused(still, cases)


async def test_a_point_that_is_odd_is_kept_with_its_datum(city: City) -> None:
    points = {name: one for name, one in POINTS.items() if one[2] != "REFUSED"}
    said = [
        (name, *point[:2], datum) for name, point in points.items() for datum in DATUMS if datum in {"WGS84", "GCJ02"}
    ]
    kept = await together(*(registered(city, location=location(e, n, datum=d)) for _, e, n, d in said))

    def wrong(case: dict[str, Any], east: Any, north: Any, datum: str) -> Any:
        place = case.get("location", {})
        if east is None:
            return None if "problem" not in case else case
        point = (place.get("longitude"), place.get("latitude"))
        right = point == (f"{east:.6f}", f"{north:.6f}") or point == (round(east, 6), round(north, 6))
        return None if right and place.get("datum") == datum else f"{point} {place.get('datum')} {case.get('problem')}"

    none_wrong([(f"{n} {d}", wrong(case, e, o, d)) for (n, e, o, d), case in zip(said, kept, strict=True)])


async def test_a_real_moment_is_kept_to_the_millisecond_in_beijing_time(city: City) -> None:
    cases = await together(*(registered(city, raised_at=one) for one in TIMES))
    none_wrong(
        [
            (said, None if case.get("raised_at") == kept else case.get("raised_at", case))
            for (said, kept), case in zip(TIMES.items(), cases, strict=True)
        ]
    )


async def test_nothing_can_have_been_raised_in_the_future(still: City) -> None:
    await all_refused(still, [Case(one, registering(raised_at=one), 422, "RAISED_IN_FUTURE") for one in FUTURE])


def text_places() -> list[tuple[str, Any, tuple[Any, ...]]]:
    return [
        (service, route, where)
        for service, route in ROUTES
        for where, value in every_place(good_body(route))
        if isinstance(value, str)
    ]


def with_raw(route: Any, where: tuple[Any, ...], raw: bytes) -> bytes:
    return json_of(with_value(good_body(route), where, "@@")).replace(b'"@@"', raw)


async def test_bytes_that_are_no_utf_8_are_refused_wherever_they_stand(still: City) -> None:
    places, bads = text_places(), []
    for number, (name, raw) in enumerate(BODIES.items()):
        for service, route, where in places[number % 17 :: 17]:
            bads.append(Bad(service, route, f"{where} {name}", with_raw(route, where, raw)))
    for number, (name, raw) in enumerate(WHOLE.items()):
        for service, route in ROUTES[number % 9 :: 9]:
            bads.append(Bad(service, route, name, raw))
    assert len(bads) >= 300
    await bad.all_refused(still, bads, 400, "MALFORMED_JSON")


async def test_a_member_that_occurs_twice_in_any_object_of_any_body_is_refused(still: City) -> None:
    bads = []
    for service, route in ROUTES:
        good = good_body(route)
        for where, inner in [((), good), *((w, v) for w, v in every_place(good) if isinstance(v, dict))]:
            if not inner:
                continue
            twice = b'{"%b": "%b", %b' % (next(iter(inner)).encode(), CANARY.encode(), json_of(inner)[1:])
            raw = with_raw(route, where, twice) if where else twice
            bads.append(Bad(service, route, f"{where} twice", raw))
    assert len(bads) >= 90
    await bad.all_refused(still, bads, 400, "MALFORMED_JSON")


def number_places() -> list[tuple[str, Any, tuple[Any, ...]]]:
    return [
        (service, route, where)
        for service, route in ROUTES
        for where, value in every_place(good_body(route))
        if isinstance(value, int | float) and not isinstance(value, bool) and where[0] != "document"
    ]


@pytest.mark.parametrize(
    ("raws", "status", "code"), [(NUMBERS, 422, "VALIDATION_FAILED"), (NO_NUMBERS, 400, "MALFORMED_JSON")]
)
async def test_a_number_that_is_none_is_refused_in_every_field_that_has_one(
    still: City, raws: list[bytes], status: int, code: str
) -> None:
    bads = [
        Bad(service, route, f"{where} {raw[:24]!r} {len(raw)}", with_raw(route, where, raw))
        for service, route, where in number_places()
        for raw in raws
    ]
    assert len(bads) >= 150
    await bad.all_refused(still, bads, status, code)


async def test_nesting_is_refused_in_any_shape(still: City) -> None:
    bads = [
        Bad(service, route, f"{name} {depth}", made)
        for number, (name, nest) in enumerate(NESTED.items())
        for depth in DEPTHS
        for service, route in ROUTES[number :: len(NESTED) * 3]
        if len(made := nest(depth)) <= bad.LIMIT
    ]
    await bad.all_refused(still, bads, 400, "MALFORMED_JSON")
    await still_serving(still)


class Anything(Body):
    """A body with nothing in it."""


@pytest.mark.parametrize("shape", NESTED)
def test_nesting_is_refused_in_less_time_than_anybody_notices(shape: str) -> None:
    raw, took = NESTED[shape](100_000 if len(NESTED[shape](100_000)) <= bad.LIMIT else 20_000), []
    for _ in range(3):
        started = time.perf_counter()
        with pytest.raises(Problem) as refusal:
            parse_body(raw, Anything)
        took.append(time.perf_counter() - started)
        assert refusal.value.code == "MALFORMED_JSON"
    assert min(took) < 0.05
