"""Personal texts are sealed under their subject's own key: every personal field of every event, and nothing else.

Payloads are built from the catalogue itself, so an event that is added tomorrow is covered without a change here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from itertools import count
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel

from shared.contracts.catalogue import CATALOGUE
from shared.contracts.envelope import BEIJING, ERASED, PersonalMark
from shared.eventlog import sealing
from shared.eventlog.canonical import canonical
from shared.eventlog.kms import FileMasterKeys, WrongMasterKey
from shared.eventlog.sealing import (
    Keyring,
    SubjectErased,
    personal_paths,
    seal_data,
    sealed_refs,
    unseal_data,
)
from shared.eventlog.vault import MemoryVault

MASTER = bytes(range(32))
PLACE = "appeal-42/event-1"
CANARY = "金丝雀canary"
AT = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)
EVENTS = sorted(CATALOGUE)


async def keyring(*refs: str, vault: MemoryVault | None = None) -> Keyring:
    ring = Keyring(vault or MemoryVault(), FileMasterKeys(MASTER))
    await give(ring, *refs)
    return ring


async def give(ring: Keyring, *refs: str) -> None:
    """Keys of these names, as `fresh` would have made them under names of its own; at hand afterwards."""
    for ref in refs:
        await ring._vault.add_keys(await ring._master.wrap({ref: AESGCM.generate_key(256)}))
        await ring.hold(ref)


def sample(annotation: Any, numbers: count[int]) -> Any:
    """A value of a type, with a canary of its own in every personal text."""
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        is_personal = any(isinstance(mark, PersonalMark) for mark in marks)
        return f"{CANARY}{next(numbers)}." if is_personal else sample(inner, numbers)
    if get_origin(annotation) is tuple:
        several = get_args(annotation)
        inner = (several[0], several[0]) if Ellipsis in several else several
        return tuple(sample(one, numbers) for one in inner)
    if get_origin(annotation) is Literal:
        return get_args(annotation)[0]
    if get_origin(annotation) is dict:
        return {"name": "value"}
    if members := [member for member in get_args(annotation) if member is not NoneType]:
        return sample(members[0], numbers)
    if issubclass(annotation, BaseModel):
        return filled(annotation, numbers)
    if issubclass(annotation, Enum):
        return next(iter(annotation))
    return {bool: True, int: 1, str: "code", datetime: AT}[annotation]


def filled(model: type[BaseModel], numbers: count[int]) -> BaseModel:
    values = {}
    for name, field in model.model_fields.items():
        marked = any(isinstance(mark, PersonalMark) for mark in field.metadata)
        values[name] = f"{CANARY}{next(numbers)}." if marked else sample(field.annotation, numbers)
    return model(**values)


def payload(event_type: str) -> tuple[dict[str, Any], int]:
    """The JSON of a payload with all fields filled, and how many canaries sit in it."""
    numbers = count()
    data = filled(CATALOGUE[event_type].payload, numbers).model_dump(mode="json", exclude_none=True)
    return data, next(numbers)


@pytest.mark.parametrize("event_type", EVENTS)
async def test_no_personal_text_of_any_event_survives_in_what_is_stored(event_type: str) -> None:
    ring = await keyring("p1")
    data, canaries = payload(event_type)
    assert canonical(data).decode().count(CANARY) == canaries
    clear, _ = payload(event_type)
    seal_data(ring, "p1", event_type, data, PLACE)
    assert CANARY not in canonical(data).decode()
    assert canonical(data).decode().count('"ct":') == canaries
    assert sealed_refs(event_type, data) == ({"p1"} if canaries else set())
    CATALOGUE[event_type].payload.model_validate(data)
    assert unseal_data(ring, event_type, data, PLACE) == clear


PERSONAL = {
    "intake.appeal-registered": {
        *("title", "content", "place.address", "place.site", "place.longitude", "place.latitude"),
        *("appellant.name", "appellant.phone", "appellant.email"),
    },
    "intake.appeal-answered-directly": {"text"},
    "intake.appeal-redirected": {"reason"},
    "intake.appeal-merged": {"reason"},
    "intake.appeal-withdrawn": {"reason"},
    "routing.order-dispatched": {"reason"},
    "feedback.appellant-contacted": {"note"},
    "feedback.feedback-given": {"text"},
    "feedback.callback-recorded": {"reasons"},
    "feedback.rework-requested": {"reasons"},
}


def test_what_people_say_of_themselves_is_personal_and_a_mark_does_not_get_lost() -> None:
    found = {event_type: {".".join(path) for path in personal_paths(event_type)} for event_type in EVENTS}
    for name, paths in PERSONAL.items():
        assert paths <= found[f"cn.gov.appeals.{name}.v1"], name


async def test_fields_that_are_missing_or_empty_stay_so() -> None:
    ring, event_type = await keyring("p1"), "cn.gov.appeals.intake.appeal-registered.v1"
    data: dict[str, Any] = {"content": "路灯", "place": {}, "appellant": {"ref": "p1", "name": None}}
    seal_data(ring, "p1", event_type, data, PLACE)
    assert (data["place"], data["appellant"]) == ({}, {"ref": "p1", "name": None})
    assert unseal_data(ring, event_type, data, PLACE)["content"] == "路灯"


async def test_opening_leaves_the_stored_event_as_it_is() -> None:
    ring, event_type = await keyring("p1"), "cn.gov.appeals.intake.appeal-registered.v1"
    data, _ = payload(event_type)
    seal_data(ring, "p1", event_type, data, PLACE)
    before = canonical(data)
    unseal_data(ring, event_type, data, PLACE)
    assert canonical(data) == before


@pytest.mark.parametrize("text", ["", "路灯不亮", "𠮷😀", "x" * 10_000])
async def test_a_sealed_text_opens_again_and_is_never_sealed_the_same_twice(text: str) -> None:
    ring = await keyring("p1")
    sealed = ring.seal("p1", text, PLACE)
    assert ring.open(sealed, PLACE) == text
    assert sealed["key"] == "p1"
    assert ring.seal("p1", text, PLACE) != sealed


async def test_a_sealed_text_that_was_moved_elsewhere_does_not_open() -> None:
    ring = await keyring("p1")
    with pytest.raises(InvalidTag):
        ring.open(ring.seal("p1", "路灯", f"{PLACE}/title"), f"{PLACE}/content")


async def test_a_reason_moved_within_its_list_does_not_open() -> None:
    ring, event_type = await keyring("p1"), "cn.gov.appeals.feedback.rework-requested.v1"
    data = {"round": 1, "reasons": ["一", "二"]}
    seal_data(ring, "p1", event_type, data, PLACE)
    data["reasons"] = list(reversed(data["reasons"]))  # type: ignore[call-overload]
    with pytest.raises(InvalidTag):
        unseal_data(ring, event_type, data, PLACE)


async def test_a_sealed_text_put_under_another_subjects_name_does_not_open() -> None:
    ring = await keyring("p1", "p2")
    with pytest.raises(InvalidTag):
        ring.open(ring.seal("p1", "路灯", PLACE) | {"key": "p2"}, PLACE)


async def test_a_sealed_text_with_one_changed_byte_does_not_open() -> None:
    ring = await keyring("p1")
    sealed = ring.seal("p1", "路灯", PLACE)
    first = "A" if sealed["ct"][0] != "A" else "B"
    with pytest.raises(InvalidTag):
        ring.open(sealed | {"ct": first + sealed["ct"][1:]}, PLACE)


async def test_after_its_key_was_destroyed_a_text_reads_as_erased() -> None:
    vault = MemoryVault()
    ring = await keyring("p1", "p2", vault=vault)
    sealed, other = ring.seal("p1", "路灯", PLACE), ring.seal("p2", "井盖", PLACE)
    vault.keys["p1"] = None
    ring.forget("p1")
    await ring.load(["p1", "p2"])
    assert (ring.open(sealed, PLACE), ring.open(other, PLACE)) == (ERASED, "井盖")
    with pytest.raises(SubjectErased):
        await ring.hold("p1")


async def test_a_subject_keeps_its_key_across_processes() -> None:
    vault = MemoryVault()
    sealed = (await keyring("p1", vault=vault)).seal("p1", "路灯", PLACE)
    elsewhere = await keyring("p1", vault=vault)
    assert elsewhere.open(sealed, PLACE) == "路灯"
    reader = await keyring(vault=vault)
    assert reader.open(sealed, PLACE) == ERASED
    await reader.load(sealed_refs("cn.gov.appeals.intake.appeal-withdrawn.v1", {"reason": sealed}))
    assert reader.open(sealed, PLACE) == "路灯"


async def test_no_key_lies_in_the_vault_in_clear_nor_opens_under_another_name_or_master_key() -> None:
    vault = MemoryVault()
    await keyring("p1", vault=vault)
    wrapped = vault.keys["p1"] or b""
    assert await FileMasterKeys(MASTER).unwrap({"p1": wrapped})
    for master, ref in ((MASTER, "p2"), (bytes(32), "p1")):
        with pytest.raises(WrongMasterKey):
            await FileMasterKeys(master).unwrap({ref: wrapped})


async def test_a_keyring_keeps_a_limited_number_of_keys_and_loads_a_dropped_one_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sealing, "CACHED_KEYS", 2)
    ring = await keyring("p1")
    sealed = ring.seal("p1", "路灯", PLACE)
    await give(ring, "p2", "p3")
    assert ring.open(sealed, PLACE) == ERASED
    assert ring.open(ring.seal("p3", "井盖", PLACE), PLACE) == "井盖"
    await ring.load(["p1"])
    assert ring.open(sealed, PLACE) == "路灯"


async def test_a_key_in_use_outlives_an_idle_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "CACHED_KEYS", 2)
    ring = await keyring("busy", "idle")
    sealed = ring.seal("busy", "路灯", PLACE)
    await ring.hold("busy")
    await give(ring, "new")
    assert ring.open(sealed, PLACE) == "路灯"
    await give(ring, "newer")
    assert ring.open(sealed, PLACE) == "路灯", "opening counts as use"
    ring.seal("busy", "井盖", PLACE)
    await give(ring, "newest")
    assert ring.open(sealed, PLACE) == "路灯", "sealing counts as use"


async def test_a_fresh_key_is_durable_before_it_is_given_and_never_given_twice() -> None:
    vault = MemoryVault()
    ring = Keyring(vault, FileMasterKeys(MASTER))
    refs = [await ring.fresh() for _ in range(3 * sealing.SPARE_KEYS // 2)]
    assert len(set(refs)) == len(refs) and set(refs) <= vault.keys.keys()
    sealed = ring.seal(refs[-1], "路灯", PLACE)
    reader = Keyring(vault, FileMasterKeys(MASTER))
    await reader.load([refs[-1]])
    assert reader.open(sealed, PLACE) == "路灯"


async def test_a_pinned_key_stays_however_many_others_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "CACHED_KEYS", 2)
    ring = Keyring(MemoryVault(), FileMasterKeys(MASTER))
    await ring.pin("ours")
    await give(ring, "p1", "p2", "p3")
    assert ring.decrypt("ours", ring.encrypt("ours", b"raw", PLACE), PLACE) == b"raw"


class HeldVault(MemoryVault):
    """Keeps keys only when it is let, so that others ask meanwhile, as with a database."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_keep = asyncio.Event(), asyncio.Event()

    async def add_keys(self, wrapped: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        self.asked.set()
        await self.may_keep.wait()
        return await super().add_keys(wrapped)


async def test_many_who_need_a_fresh_key_at_once_share_a_block_and_never_a_key() -> None:
    vault = HeldVault()
    ring = Keyring(vault, FileMasterKeys(MASTER))
    asking = asyncio.gather(*(ring.fresh() for _ in range(sealing.SPARE_KEYS + 1)))
    await vault.asked.wait()
    vault.may_keep.set()
    refs = await asking
    assert len(set(refs)) == len(refs)
    assert len(vault.keys) == 2 * sealing.SPARE_KEYS


async def test_a_key_of_ours_is_the_same_in_every_process_and_is_not_made_again_once_destroyed() -> None:
    vault = MemoryVault()
    one, other = Keyring(vault, FileMasterKeys(MASTER)), Keyring(vault, FileMasterKeys(MASTER))
    await one.pin("ours")
    await other.pin("ours")
    assert other.decrypt("ours", one.encrypt("ours", b"\x00\xff", PLACE), PLACE) == b"\x00\xff"
    vault.keys["ours"] = None
    with pytest.raises(SubjectErased):
        await Keyring(vault, FileMasterKeys(MASTER)).pin("ours")


async def test_nothing_is_written_under_a_key_that_never_was_or_is_not_at_hand() -> None:
    ring = Keyring(MemoryVault(), FileMasterKeys(MASTER))
    with pytest.raises(SubjectErased):
        await ring.hold("nobody")
    with pytest.raises(LookupError):
        ring.seal("nobody", "路灯", PLACE)
    with pytest.raises(LookupError):
        ring.decrypt("nobody", b"x" * 28, PLACE)


async def test_a_key_that_others_pushed_out_while_we_waited_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    vault = MemoryVault()
    sealed = (await keyring("p1", "p2", "p3", "p4", vault=vault)).seal("p1", "路灯", PLACE)
    monkeypatch.setattr(sealing, "CACHED_KEYS", 2)
    ring, read = Keyring(vault, FileMasterKeys(MASTER)), vault.wrapped_keys
    await ring.load(["p1"])

    async def read_while_others_load(refs: Iterable[str]) -> Mapping[str, bytes | None]:
        monkeypatch.setattr(vault, "wrapped_keys", read)
        await ring.load(["p3", "p4"])
        return await read(refs)

    monkeypatch.setattr(vault, "wrapped_keys", read_while_others_load)
    await ring.load(["p1", "p2"])
    assert ring.open(sealed, PLACE) == "路灯"
