"""Whose is what: every door that names an object, times every actor, times own, foreign and missing.

What each cell must answer follows from PERMISSIONS and from the tables below, which say to whom a thing belongs; they
are the specification. A door that they do not know fails by its name; a new one below a known path is asked by itself.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from shared.web import tracking
from shared.web.identity import PERMISSIONS, Reach, Scope
from tests.support.actors import Actor, actors
from tests.support.bad import recorded
from tests.support.belongings import NOWHERE, Side, furnished, neighbourhoods, webhook_of
from tests.support.city import City, Reply
from tests.support.doors import Door, doors
from tests.support.files import FORM, PDF, form

OWNED = (
    # path                                     scopes                       whose, as far as a reach is not ALL
    (r"/intake/v1/appeals/{appeal_id}.*", "READ ATTACH", "lead co called helper district client"),
    (r"/intake/v1/appeals/{appeal_id}/appellant", "REVEAL", "lead"),
    (r"/intake/v1/appeals/{appeal_id}/\w+", "WITHDRAW", "client"),
    (r"/intake/v1/appeals/{appeal_id}/\w+", "CONTRIBUTE", "helper"),
    (r"/intake/v1/appeals/{appeal_id}/[\w-]+", "TRIAGE KEEP_PERSONS", ""),
    (r"/intake/v1/appellants/{ref}/\w+", "KEEP_PERSONS", ""),
    (r"/intake/v1/api-keys/{client}/revoke", "KEEP_API_KEYS", ""),
    (r"/intake/v1/operations/{operation}/\w+", "KEEP_PERSONS", ""),
    (r"/intake/v1/imports/{import_id}.*", "REGISTER", "client"),
    (r"/intake/v1/knowledge/{knowledge_id}.*", "KEEP_KNOWLEDGE", "lead"),
    (
        r"/routing/v1/orders/{appeal_id}.*",
        "READ HANDLE SUPERVISE KEEP_LEDGER DISPATCH REVIEW",
        "lead co called district",
    ),
    (r"/feedback/v1/cases/{appeal_id}.*", "READ", "lead co district"),
    (r"/feedback/v1/cases/{appeal_id}/.*", "HANDLE CALL_BACK REVIEW WITHDRAW", "lead district"),
    (r"/feedback/v1/units/{unit_id}/feed", "READ", "lead"),
    (r"/feedback/v1/leads/{subject}/close", "INVESTIGATE", ""),
    (r"/feedback/v1/appellants/{ref}/preferences", "WITHDRAW", ""),
    (r"/scoring/v1/appeals/{appeal_id}/exclusions", "CLAIM", "lead"),
    (r"/scoring/v1/appeals/{appeal_id}/explanation", "READ_SCORES", "lead called district"),
    (r"/scoring/v1/units/{unit_id}/appeals", "READ_SCORES", "lead district"),
    (r"/scoring/v1/exclusions/{exclusion_id}/\w+", "JUDGE CLAIM", "lead"),
)
NARROW = {
    **dict.fromkeys(("sign", "object", "extension", "hand-over", "whistle/close", "whistle"), "lead"),
    **dict.fromkeys(("report-in", "subtasks/{number}/close"), "called"),
}
"""Of those within reach of an order, which alone may do this to it."""
BY_CODE = r"/(intake|feedback)/v1/track/{ticket_no}.*"
BY_LINK = r"/feedback/v1/(survey|thread)/{token}"
BY_ACCOUNT = r"/\w+/v1/webhooks/{webhook_id}.*"
FOR_ALL = {
    # what everybody with the scope may see or keep, with values that there are: only what is missing is refused
    r"/routing/v1/catalogue/versions/{version}(/(diff|publish|dry-run))?": {"version": "BJ-2026-1"},
    r"/scoring/v1/policies/{version}(/activate)?": {"version": "BJ-HR-2025"},
    r"/scoring/v1/units/{unit_id}/(credits.*|scores)": {},
    r"/scoring/v1/governance/{unit_id}/\w+": {},
    r"/scoring/v1/periods/{period}(/\w+)?(/{league})?(/{number})?": {
        "period": "2026-10", "league": "STREET_TOWN", "number": 0,
    },
    r"/intake/v1/knowledge/{knowledge_id}(/history)?": {},
    r"/intake/open311/v2/services/{code}.{form}": {"code": "other", "form": "json"},
    r"/\w+/v1/log/proof": {},
    r"/intake/schemas/{event_type}.json": {"event_type": "cn.gov.appeals.intake.appeal-registered.v1"},
    r"/routing/schemas/{event_type}.json": {"event_type": "cn.gov.appeals.routing.order-signed.v1"},
    r"/feedback/schemas/{event_type}.json": {"event_type": "cn.gov.appeals.feedback.case-opened.v1"},
    r"/scoring/schemas/{event_type}.json": {"event_type": "cn.gov.appeals.scoring.period-closed.v1"},
}  # fmt: skip
NEVER_THERE = (
    r"/routing/v1/models/{version}/activate",
    r"/intake/open311/v2/(tokens/{token}|requests/{number}).{form}",
)
"""Of these the city has none: each of ours, put in the place of one, is missing."""
EMPTY_WHEN_MISSING = (
    r"/feedback/v1/units/{unit_id}/feed",
    r"/scoring/v1/periods/{period}",
    r"/intake/v1/appellants/{ref}/restore",  # of who was erased nothing is left to look up
)
"""Whoever may see all is told of what there is not that nothing is there, and not 404."""
ALSO = {"/intake/v1/operations/{operation}/appellants": Scope.REVEAL}
"""Doors for which one scope is not enough."""
MADE_HERE = (r"/routing/v1/catalogue/versions/{version}/file", r"/intake/open311/v2/\w+.{form}")
"""The path names what is to be made, or a format."""
FILTERS = (
    # list                       query        the thing        whose
    ("/intake/v1/appeals", "unit_id", "unit_id", "lead co called helper district client"),
    ("/routing/v1/orders", "unit_id", "unit_id", "lead co called district"),
    ("/routing/v1/orders", "district", "district", "lead co called district"),
    ("/feedback/v1/cases", "unit_id", "unit_id", "lead co district"),
    ("/feedback/v1/notifications", "appeal_id", "appeal_id", "lead co district"),
    ("/feedback/v1/leads", "unit_id", "unit_id", ""),
    ("/scoring/v1/exclusions", "unit_id", "unit_id", "lead district"),
    ("/scoring/v1/exclusions", "appeal_id", "closed", "lead district"),
)
ASKED = {
    "/appellant": "purpose=核对",
    "/appellants": "purpose=核对",
    "/scores": "from=2026-11&to=2026-11",
    "}/appeals": "period=2026-11",
}
SCORED = (r"/scoring/v1/(appeals/{appeal_id}/explanation|units/{unit_id}/appeals|exclusions)",)
"""Single appeals in scoring go by the reach of READ; analysts, who have none, see tables."""


@dataclass(frozen=True)
class Cell:
    """What one actor asks at one door about one thing, and what must be answered: 401, 403, 404 or 0 (let in)."""

    door: Door
    actor: Actor
    thing: str
    path: str
    due: int
    body: dict[str, Any]
    side: Side | None = None

    def __str__(self) -> str:
        return f"{self.door} by {self.actor.name} about {self.thing}"


def _is(path: str, *patterns: str) -> bool:
    return any(re.fullmatch(re.sub(r"{(\w+)}", r"\\{\1\\}", one), path) for one in patterns)


def _within(actor: Actor, scope: Scope, side: Side, parties: str) -> bool:
    """Whether a thing of these parties lies within an actor's reach, in the words of the domain specification."""
    may = PERMISSIONS[actor.role or ""]
    match may.get(scope):
        case Reach.ALL:
            return True
        case Reach.DISTRICT:
            return "district" in parties and actor.district == side.district
        case Reach.UNIT:
            return actor.unit in side.units(parties)
        case Reach.OWN:
            return "client" in parties and actor.sub == side.client
    return False


def _parties(door: Door) -> str | None:
    """Whose it is; None where the tables do not say."""
    scope = door.scope.name if door.scope else ""
    fits = [whose for path, scopes, whose in OWNED if _is(door.path, path) and scope in scopes.split()]
    return fits[-1] if fits else None


def _due(door: Door, actor: Actor, side: Side | None) -> int:
    """What the specification says. No side: the thing is missing."""
    if _is(door.path, BY_CODE):
        return 0 if side and actor.code == side.code else 404
    if door.scope not in {None, Scope.PUBLIC}:
        if actor.role is None or actor.expired:
            return 401
        if not {door.scope, ALSO.get(door.path, door.scope)} <= PERMISSIONS[actor.role].keys():
            return 403
    if _is(door.path, *NEVER_THERE):
        return 404
    if _is(door.path, BY_LINK) or (_parties(door) is None and not _is(door.path, BY_ACCOUNT)):
        return 0 if side or _is(door.path, *EMPTY_WHEN_MISSING) else 404
    return _due_to(door, actor, side)


def _due_to(door: Door, actor: Actor, side: Side | None) -> int:
    scope, may = door.scope, PERMISSIONS[actor.role or ""]
    if _is(door.path, *SCORED):
        scope = Scope.READ
    assert scope is not None
    if side is None:
        return 0 if may.get(scope) is Reach.ALL and _is(door.path, *EMPTY_WHEN_MISSING) else 404
    if _is(door.path, BY_ACCOUNT):
        return 0 if actor.sub == side.client or Scope.KEEP_WEBHOOKS in may else 404
    narrow = NARROW.get(door.path.partition("{appeal_id}/")[2]) if "/orders/" in door.path else None
    alone = narrow is None or actor.unit in side.units(narrow)
    return 0 if alone and _within(actor, scope, side, _parties(door) or "") else 404


def names_an_object(door: Door) -> bool:
    """Whether a door is in the matrix. Raises for one that the tables do not know."""
    known = (BY_CODE, BY_LINK, BY_ACCOUNT, *FOR_ALL, *NEVER_THERE)
    if _is(door.path, *MADE_HERE) or not (door.names or _is(door.path, r"/\w+/v1/log/proof")):
        return False
    assert _parties(door) is not None or _is(door.path, *known), f"{door} ({door.scope}): say in OWNED whose this is"
    return True


def _things(door: Door, side: Side | None) -> dict[str, Any]:
    """What stands in the path; a missing one of everything without a side."""
    fixed = next((values for path, values in FOR_ALL.items() if _is(door.path, path)), {})
    if side is None:
        missing = dict.fromkeys((*door.names, "event_id"), NOWHERE)
        missing |= {"number": 1, "ticket_no": "20261123-9999999", "form": "json"}
        missing |= {"period": "2019-02" if door.method == "GET" else "nowhere"}
        return missing | {name: value for name, value in fixed.items() if name in {"league", "form"}}
    things = {**side.things, "form": "json", "version": "none", "token": "none"} | fixed
    things["webhook_id"] = things[f"webhook_id {door.path.split('/')[1]}"]
    if door.path.endswith("/exclusions"):
        things["appeal_id"] = things["closed"]
    if found := re.fullmatch(r"/feedback/v1/(survey|thread)/{token}", door.path):
        things["token"] = things[found[1]]
    return things


def cells(every: list[Door], x: Side, y: Side) -> Iterator[Cell]:
    """All of them. For who belongs to neither neighbourhood X is as foreign as Y."""
    for door in filter(names_an_object, every):
        proof = door.path.endswith("/log/proof")
        for name, side in (("X's", x), ("Y's", y), ("what is missing", None)):
            if proof and side and not door.path.startswith("/intake"):
                continue  # the event is intake's
            things = _things(door, side)
            query = f"event_id={things['event_id']}" if proof else _query(door)
            path = f"{door.filled(**things)}{query and '?'}{query}"
            for actor in actors(x, y):
                if side is not y or actor.name[-2:] in {" X", " Y"}:
                    yield Cell(door, actor, name, path, _due(door, actor, side), _body(door, actor), side)


def _query(door: Door) -> str:
    return next((asked for end, asked in ASKED.items() if door.path.endswith(end)), "")


def _body(door: Door, actor: Actor) -> dict[str, Any]:
    body = door.body()
    return body | ({"owner_unit": actor.unit or "bj-gas"} if "owner_unit" in body else {})


async def ask(city: City, cell: Cell, **more: str) -> Reply:
    headers, path = cell.actor.headers(city) | more, cell.path
    if cell.due == 0 and cell.door.method == "DELETE" and cell.side:  # it is gone after that
        path = f"{path.rsplit('/', 1)[0]}/{await webhook_of(city, path.split('/')[1], cell.side)}"
    if cell.due == 0 and cell.door.command:
        headers |= {"If-Match": '"999999"'}
    how: dict[str, Any] = {"headers": headers}
    if cell.door.takes_file:
        how |= {"data": form(("file", "a.pdf", PDF)), "headers": headers | {"Content-Type": FORM}}
    elif cell.door.method not in {"GET", "DELETE"}:
        how |= {"json": cell.body}
    return await city.send(cell.door.method, path, None, **how)


def _said(reply: Reply) -> Any:
    """An answer without what is new in each."""
    is_problem = isinstance(reply.body, dict)
    body = {name: value for name, value in reply.body.items() if name != "instance"} if is_problem else reply.raw
    return reply.status, body, sorted(name.lower() for name in reply.headers)


def _wrong(cell: Cell, reply: Reply) -> str | None:
    said = f"{reply.status} {reply.raw[:200]!r}"
    if cell.due == 0:  # let in, and perhaps refused by a rule that is not about whose it is
        by_rule = isinstance(reply.body, dict) and reply.body.get("code") in {"SECOND_OFFICER_NEEDED", "OWN_CASE"}
        shut = reply.status in {401, 403, 404} and not by_rule
        return f"{said}, but it is theirs" if shut or reply.status >= 500 else None
    code = {401: "UNAUTHENTICATED", 403: "FORBIDDEN", 404: "NOT_FOUND"}[cell.due]
    told = code if cell.door.path.startswith("/intake/open311") else reply.body and reply.body.get("code")
    return f"{said} instead of {cell.due}" if (reply.status, told) != (cell.due, code) else None


@pytest_asyncio.fixture(scope="module")
async def sides(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[tuple[City, Side, Side]]:
    """One city with both neighbourhoods."""
    many = dict.fromkeys(("rate_account", "rate_address", "rate_failed"), 10**6)
    async with new_city(webhook_networks="127.0.0.0/8", **many) as city:
        x, y = neighbourhoods()
        await furnished(city, x, y)
        yield city, x, y


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong codes are not counted: that there is an end to them is promised elsewhere."""
    many = replace(tracking.tracking_policy(), wrong_codes=10**6)
    monkeypatch.setattr(tracking, "tracking_policy", lambda: many)


@pytest.mark.usefixtures("patient")
async def test_every_door_lets_in_whose_it_is_and_tells_others_nothing_not_even_that_it_exists(
    sides: tuple[City, Side, Side],
) -> None:
    city, x, y = sides
    all_, some = list(cells(doors(city), x, y)), asyncio.Semaphore(48)
    before = await recorded(city)

    one_by_one = asyncio.Semaphore(1)  # a dry run is refused while there is another

    async def asked(cell: Cell, **more: str) -> Reply:
        async with one_by_one if cell.door.path.endswith("/dry-run") else some:
            return await ask(city, cell, **more)

    replies = await asyncio.gather(*map(asked, all_))
    tried = {"unit Y", "district Y", "integrator Y", "stranger"}
    stale = [one for one in all_ if (one.due, one.side) == (404, x) and one.door.command and one.actor.name in tried]
    versions = await asyncio.gather(*(asked(cell, **{"If-Match": '"1"'}) for cell in stale))
    wrong = [f"{cell}: {what}" for cell, reply in zip(all_, replies, strict=True) if (what := _wrong(cell, reply))]
    again = zip(stale, versions, strict=True)
    wrong += [f"{cell}, with If-Match: {what}" for cell, reply in again if (what := _wrong(cell, reply))]
    nothing = {(str(c.door), c.actor.name): _said(r) for c, r in zip(all_, replies, strict=True) if not c.side}
    wrong += [
        f"{cell}: not the answer to what is missing: {_said(reply)} {nothing[str(cell.door), cell.actor.name]}"
        for cell, reply in zip(all_, replies, strict=True)
        if cell.side and cell.due == 404 and _said(reply) != nothing[str(cell.door), cell.actor.name]
    ]
    assert not wrong, f"{len(wrong)} of {len(all_)} cells:\n" + "\n".join(wrong)
    shown = [cell for cell in all_ if cell.due == 0 and cell.door.path.endswith("/appellant")]
    assert await recorded(city) == before + len(shown)
    assert len(all_) > 7000 and min(Counter(cell.due for cell in all_).values()) > 300


async def test_lists_narrowed_to_what_is_not_ones_own_are_as_empty_as_for_what_is_missing(
    sides: tuple[City, Side, Side],
) -> None:
    city, x, y = sides
    every, wrong = {(one.method, one.path): one for one in doors(city)}, []
    for actor in actors(x, y):
        for path, query, thing, parties in FILTERS:
            scope = every["GET", path].scope
            assert scope is not None
            found = [
                await city.get(f"{path}?{query}={one}", None, headers=actor.headers(city))
                for one in (x.things[thing], NOWHERE)
            ]
            what = f"{path}?{query} by {actor.name}: {[one.status for one in found]}"
            if actor.expired or scope not in PERMISSIONS.get(actor.role or "", {}):
                wrong += [] if {one.status for one in found} <= {401, 403} else [what]
                continue
            theirs = _within(actor, Scope.READ if _is(path, *SCORED) else scope, x, parties)
            counts = [len(one.body["items"]) for one in found]
            wrong += [] if (counts[0] > 0, counts[1]) == (theirs, 0) else [f"{what}: {counts} items"]
    assert not wrong, "\n".join(wrong)
