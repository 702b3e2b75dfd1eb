"""The master key in a file: it wraps under its name, the old one opens until it is retired, nothing opens elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.eventlog.durable import replace_durably
from shared.eventlog.kms import MASTER, OLD, FileMasterKeys, WrongMasterKey, key_id

ONE, TWO, THREE = b"1" * 32, b"2" * 32, b"3" * 32
KEYS = {"p1": b"a" * 32, "p2": b"b" * 32}


def before_ids(master: bytes, ref: str, key: bytes) -> bytes:
    """A key as it was wrapped before master keys had ids."""
    nonce = os.urandom(12)
    return nonce + AESGCM(master).encrypt(nonce, key, ref.encode())


def kept(folder: Path, master: bytes, old: bytes | None = None) -> FileMasterKeys:
    replace_durably(folder / MASTER, master)
    if old:
        replace_durably(folder / OLD, old)
    return FileMasterKeys(master, folder)


async def test_what_was_wrapped_opens_again_and_shows_nothing() -> None:
    wrapped = await FileMasterKeys(ONE).wrap(KEYS)
    assert await FileMasterKeys(ONE).unwrap(wrapped) == KEYS
    assert {len(one) for one in wrapped.values()} == {65}
    assert not any(key in wrapped[ref] for ref, key in KEYS.items())


async def test_a_key_is_wrapped_differently_every_time() -> None:
    master = FileMasterKeys(ONE)
    assert await master.wrap(KEYS) != await master.wrap(KEYS)


async def test_a_wrapped_key_begins_with_the_name_of_its_master_key_which_tells_nothing_about_it() -> None:
    master = FileMasterKeys(ONE)
    wrapped = await master.wrap(KEYS)
    assert master.current == b"\x01" + key_id(ONE) and len(master.current) == 5
    assert all(one.startswith(master.current) for one in wrapped.values())
    assert key_id(ONE) != key_id(TWO) and key_id(ONE) not in ONE


async def test_wrapped_for_one_subject_it_opens_for_no_other() -> None:
    master = FileMasterKeys(ONE)
    wrapped = await master.wrap(KEYS)
    for given in ({"p2": wrapped["p1"]}, {"p2": before_ids(ONE, "p1", KEYS["p1"])}):
        with pytest.raises(WrongMasterKey):
            await master.unwrap(given)


async def test_another_master_key_opens_nothing() -> None:
    for wrapped in (await FileMasterKeys(ONE).wrap(KEYS), {"p1": before_ids(ONE, "p1", KEYS["p1"])}):
        with pytest.raises(WrongMasterKey):
            await FileMasterKeys(TWO).unwrap(wrapped)


async def test_a_wrapped_key_with_one_bit_changed_opens_nothing() -> None:
    master = FileMasterKeys(ONE)
    good = (await master.wrap(KEYS))["p1"]
    for at in range(len(good)):
        with pytest.raises(WrongMasterKey):
            await master.unwrap({"p1": good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]})


@pytest.mark.parametrize("length", [0, 1, 4, 5, 17, 33, 59, 61, 64])
async def test_what_is_cut_off_opens_nothing(length: int) -> None:
    master = FileMasterKeys(ONE)
    with pytest.raises(WrongMasterKey):
        await master.unwrap({"p1": (await master.wrap(KEYS))["p1"][:length]})


async def test_what_was_wrapped_before_master_keys_had_names_opens_under_the_newest_and_the_old(tmp_path: Path) -> None:
    master = kept(tmp_path, TWO, old=ONE)
    for by in (ONE, TWO):
        assert await master.unwrap({"p1": before_ids(by, "p1", KEYS["p1"])}) == {"p1": KEYS["p1"]}
    with pytest.raises(WrongMasterKey):
        await master.unwrap({"p1": before_ids(THREE, "p1", KEYS["p1"])})


async def test_a_rotation_needs_no_restart(tmp_path: Path) -> None:
    master = kept(tmp_path, ONE)
    before = await master.wrap(KEYS)
    replace_durably(tmp_path / OLD, ONE)
    assert await master.unwrap(before) == KEYS, "between the two files nothing is lost"
    replace_durably(tmp_path / MASTER, TWO)
    assert await master.unwrap(before) == KEYS, "the old key opens until it is retired"
    after = await master.wrap(KEYS)
    assert all(one.startswith(b"\x01" + key_id(TWO)) for one in after.values())
    assert master.current == b"\x01" + key_id(TWO)
    (tmp_path / OLD).unlink()
    assert await master.unwrap(after) == KEYS
    with pytest.raises(WrongMasterKey):
        await master.unwrap(before)


async def test_whoever_starts_in_the_middle_of_a_rotation_opens_both(tmp_path: Path) -> None:
    kept(tmp_path, TWO, old=ONE)
    late = FileMasterKeys(TWO, tmp_path)
    assert await late.unwrap(await FileMasterKeys(ONE).wrap(KEYS)) == KEYS
    assert await late.unwrap(await FileMasterKeys(TWO).wrap(KEYS)) == KEYS


async def test_whoever_read_the_key_before_it_was_changed_wraps_under_the_changed_one(tmp_path: Path) -> None:
    """Between reading the files at the start and making the keeper, the files may change."""
    kept(tmp_path, TWO, old=ONE)
    wrapped = await FileMasterKeys(ONE, tmp_path).wrap(KEYS)
    assert all(one.startswith(b"\x01" + key_id(TWO)) for one in wrapped.values())


async def test_the_old_key_may_go_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retiring deletes it while others are about to read it."""
    master = kept(tmp_path, TWO, old=ONE)
    wrapped = await master.wrap(KEYS)
    real = {name: getattr(Path, name) for name in ("stat", "read_bytes")}

    def gone_by_then(name: str) -> None:
        def call(file: Path, **named: bool) -> object:
            if file.name == OLD:
                raise FileNotFoundError(file)
            return real[name](file, **named)

        monkeypatch.setattr(Path, name, call)

    gone_by_then("read_bytes")
    replace_durably(tmp_path / OLD, THREE)
    assert await master.unwrap(wrapped) == KEYS
    gone_by_then("stat")
    monkeypatch.setattr(Path, "exists", lambda file, **named: True)
    assert await master.unwrap(wrapped) == KEYS


async def test_without_a_folder_the_key_is_the_one_that_was_given() -> None:
    master = FileMasterKeys(ONE)
    assert await master.unwrap(await master.wrap(KEYS)) == KEYS
    assert await master.wrap({}) == {} and await master.unwrap({}) == {}
