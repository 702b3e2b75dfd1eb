"""API keys: what one looks like, what is kept of it, and how long a process believes what it has read."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import datetime, timedelta
from hashlib import sha256
from string import printable
from typing import Any

import pytest

from shared.engine.clock import ManualClock
from shared.web import api_keys
from shared.web.api_keys import LOOK_AGAIN_SECONDS, ApiKeys, NewKey, new_key, parsed
from shared.web.identity import Ownership, Scope
from shared.web.problems import Problem
from shared.web.visibility import principal_of, reach_of
from tests.support.city import START
from tests.support.waiting import seen, until

KEY = new_key(lambda count: bytes(range(count)))
OTHER = new_key(lambda count: bytes(range(100, 100 + count)))
SECRET = KEY.text.split("_")[2]
SHORTLY, LOOK_AGAIN = timedelta(milliseconds=1), timedelta(seconds=LOOK_AGAIN_SECONDS)


class Vault:
    """Stands in for a pool of connections to the vault; counts what is asked of it."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.reads, self.gone = 0, False
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.at_once = self.most_at_once = 0
        self.used: list[tuple[str, str]] = []

    def keep(self, key: NewKey, days: float = 1, **changes: Any) -> None:
        row = {"digest": bytes.fromhex(key.digest), "client": "partner", "role": "INTEGRATOR", "unit_id": "bj-water"}
        row |= {"district": None, "scopes": [], "expires_at": START + timedelta(days=days)}
        self.rows[key.key_id] = row | changes

    async def fetchrow(self, statement: str, key_id: str) -> dict[str, Any] | None:
        assert "revoked_at IS NULL" in statement
        self.reads += 1
        if self.gone:
            raise OSError
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.may_answer.wait()
        self.at_once -= 1
        return self.rows.get(key_id)

    async def execute(self, statement: str, key_id: str, day: Any) -> None:
        assert statement.split(maxsplit=1)[0] == "UPDATE"
        self.used.append((key_id, day.isoformat()))


def opened(*keys: NewKey, **changes: Any) -> tuple[ApiKeys, Vault, ManualClock]:
    vault, clock = Vault(), ManualClock(START)
    for key in keys:
        vault.keep(key, **changes)
    return ApiKeys(vault, clock), vault, clock  # type: ignore[arg-type]


async def refused(keys: ApiKeys, text: str, code: str = "UNAUTHENTICATED") -> Problem:
    with pytest.raises(Problem) as refusal:
        await keys.principal(text)
    assert refusal.value.code == code
    assert text not in f"{refusal.value!r} {refusal.value.detail} {refusal.value.headers}" or not text
    return refusal.value


def test_a_key_says_whose_it_is_names_itself_and_ends_with_a_checksum() -> None:
    assert re.fullmatch(r"jiesu_[0-9a-f]{16}_[0-9a-f]{64}_[0-9a-f]{8}", KEY.text)
    assert parsed(KEY.text) == (KEY.key_id, bytes.fromhex(KEY.digest))
    assert KEY.key_id == KEY.text.split("_")[1]


def test_what_is_kept_is_a_hash_of_the_32_random_bytes_as_they_are_written() -> None:
    assert KEY.digest == sha256(SECRET.encode()).hexdigest()
    assert len(bytes.fromhex(SECRET)) == 32
    assert SECRET not in KEY.digest + KEY.key_id


def test_the_randomness_is_asked_for_once_each_for_the_name_and_the_secret() -> None:
    asked: list[int] = []

    def random_bytes(count: int) -> bytes:
        asked.append(count)
        return os.urandom(count)

    made = {new_key(random_bytes).text for _ in range(100)}
    assert (len(made), set(asked), len(asked)) == (100, {8, 32}, 200)


def test_every_change_of_a_single_character_is_noticed_without_a_look_at_the_vault() -> None:
    for place, now in enumerate(KEY.text):
        for other in printable:
            changed = KEY.text[:place] + other + KEY.text[place + 1 :]
            assert other == now or parsed(changed) is None, (place, other)


def test_every_character_left_out_doubled_or_exchanged_with_the_next_is_noticed() -> None:
    text = KEY.text
    for place in range(len(text)):
        assert parsed(text[:place] + text[place + 1 :]) is None
        assert parsed(text[:place] + text[place] + text[place:]) is None
    for place in range(len(text) - 1):
        swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
        assert swapped == text or parsed(swapped) is None, place


ODD = ["", "jiesu_", KEY.text.upper(), " " + KEY.text, KEY.text + "\n", KEY.text + "\0", KEY.text * 2, SECRET]
ODD += [KEY.text[6:], KEY.text.rpartition("_")[0], KEY.text.replace("_", "-"), KEY.text.replace("0", "０"), "x" * 10**6]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
async def test_what_does_not_look_like_a_key_costs_no_lookup(text: str) -> None:
    keys, vault, _ = opened(KEY)
    await refused(keys, text)
    assert (parsed(text), vault.reads) == (None, 0)


async def test_a_good_key_is_its_client_in_its_role_until_it_expires() -> None:
    keys, _, _ = opened(KEY, district="110105")
    found = await keys.principal(KEY.text)
    assert (found.sub, found.roles, found.unit_id, found.district) == (
        "key:partner",
        ("INTEGRATOR",),
        "bj-water",
        "110105",
    )
    assert (found.expires, found.scopes) == ((START + timedelta(days=1)).timestamp(), None)


async def test_no_key_and_no_secret_is_in_what_a_process_may_write_down() -> None:
    keys, vault, _ = opened(KEY)
    found = await keys.principal(KEY.text)
    shown = f"{found!r} {keys!r} {vars(keys)!r} {vault.rows!r} {vault.used!r}"
    assert SECRET not in shown and KEY.text not in shown
    assert found.sub == "key:partner" and hash(found) == hash(await keys.principal(KEY.text))


async def test_scopes_narrow_what_the_role_gives_and_widen_nothing() -> None:
    keys, vault, _ = opened(KEY, scopes=["appeal:register", "log:read"])
    vault.keep(OTHER)
    narrow, wide = await keys.principal(KEY.text), await keys.principal(OTHER.text)
    narrow.require(Scope.REGISTER)
    for scope in (Scope.READ, Scope.AUDIT):
        with pytest.raises(Problem, match="FORBIDDEN"):
            narrow.require(scope)
    wide.require(Scope.READ)
    with pytest.raises(Problem, match="FORBIDDEN"):
        wide.require(Scope.AUDIT)
    mine = Ownership(client="key:partner", units=frozenset({"bj-water"}))
    assert wide.can_see(Scope.READ, mine) and not narrow.can_see(Scope.READ, mine)
    assert (narrow.may(Scope.READ), narrow.reach(Scope.READ), narrow.outside) == (False, None, True)
    assert not principal_of(reach_of(narrow)).can_see(Scope.READ, mine), "nor by a webhook"
    assert principal_of(reach_of(wide)).can_see(Scope.READ, mine)


async def test_a_name_with_the_secret_of_another_key_is_nobody() -> None:
    keys, _, _ = opened(KEY, OTHER)
    forged = new_key(lambda count: bytes(range(count)) if count == 8 else bytes(32))
    assert forged.key_id == KEY.key_id
    assert parsed(forged.text) is not None
    await refused(keys, forged.text)
    assert (await keys.principal(KEY.text)).sub == "key:partner"
    await refused(keys, forged.text)


async def test_what_was_read_is_believed_for_five_seconds_and_not_longer() -> None:
    keys, vault, clock = opened(KEY)
    await keys.principal(KEY.text)
    clock.advance(LOOK_AGAIN - SHORTLY)
    for _ in range(100):
        await keys.principal(KEY.text)
    assert vault.reads == 1
    clock.advance(SHORTLY)
    await keys.principal(KEY.text)
    assert vault.reads == 2


async def test_a_revoked_key_is_good_for_five_seconds_at_most() -> None:
    keys, vault, clock = opened(KEY)
    await keys.principal(KEY.text)
    del vault.rows[KEY.key_id]
    clock.advance(LOOK_AGAIN)
    await refused(keys, KEY.text)


async def test_a_key_expires_to_the_moment_also_while_it_is_remembered() -> None:
    soon = timedelta(seconds=2)
    keys, vault, clock = opened(KEY, expires_at=START + soon)
    await keys.principal(KEY.text)
    clock.advance(soon - SHORTLY)
    await keys.principal(KEY.text)
    clock.advance(SHORTLY)
    await refused(keys, KEY.text)
    assert vault.reads == 1


async def test_that_there_is_no_such_key_is_remembered_too_and_no_longer() -> None:
    keys, vault, clock = opened()
    for _ in range(100):
        await refused(keys, KEY.text)
    assert vault.reads == 1
    vault.keep(KEY)
    clock.advance(LOOK_AGAIN - SHORTLY)
    await refused(keys, KEY.text)
    clock.advance(SHORTLY)
    assert (await keys.principal(KEY.text)).sub == "key:partner"


async def test_a_clock_that_is_set_back_makes_nothing_believed_longer() -> None:
    keys, vault, clock = opened(KEY)
    await keys.principal(KEY.text)
    clock.set(START - timedelta(hours=1))
    await keys.principal(KEY.text)
    assert vault.reads == 2


async def test_a_vault_that_cannot_be_read_says_nothing_about_a_key() -> None:
    keys, vault, clock = opened(KEY)
    vault.gone = True
    problem = await refused(keys, KEY.text, "UNAVAILABLE")
    assert problem.headers["Retry-After"]
    vault.gone = False
    await keys.principal(KEY.text)
    vault.gone = True
    await keys.principal(KEY.text)
    clock.advance(LOOK_AGAIN)
    await refused(keys, KEY.text, "UNAVAILABLE")


async def test_the_day_of_the_last_use_is_noted_and_no_use_of_what_does_not_exist() -> None:
    keys, vault, clock = opened(KEY)
    await keys.principal(KEY.text)
    await refused(keys, OTHER.text)
    vault.keep(OTHER, days=-1)
    clock.advance(LOOK_AGAIN)
    await refused(keys, OTHER.text)
    clock.advance(timedelta(hours=20))
    await keys.principal(KEY.text)
    days: list[datetime] = [START, clock.now()]
    assert vault.used == [(KEY.key_id, day.date().isoformat()) for day in days]


async def test_not_more_keys_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "REMEMBERED", 10)
    keys, vault, _ = opened(KEY)
    await keys.principal(KEY.text)
    for _ in range(50):
        await refused(keys, new_key(os.urandom).text)
    await keys.principal(KEY.text)
    assert vault.reads == 51, "who makes up keys pushes nobody out"
    assert len(keys._unknown) == 10


async def test_whoever_makes_up_keys_takes_one_connection_at_a_time() -> None:
    keys, vault, _ = opened(KEY)
    vault.may_answer.clear()
    guesses = [asyncio.create_task(refused(keys, new_key(os.urandom).text)) for _ in range(20)]
    await until(seen(lambda: vault.reads == 1))
    vault.may_answer.set()
    await asyncio.gather(*guesses)
    assert (vault.reads, vault.most_at_once) == (20, 1)
