"""Personal texts are sealed before they reach the log, under a key that belongs to one appeal of one person.

AES-256-GCM; the associated data is stream, event and field, so a sealed text moved elsewhere does not open. Destroying
the keys of a person's appeals makes every text about them unreadable while hashes, proofs and scores stay as they are
(PIPL Art 47). Keys come wrapped by a master key from the vault; the master key is a file outside the database.
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Protocol, cast, get_args, get_origin

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel

from shared.contracts.catalogue import CATALOGUE
from shared.contracts.envelope import ERASED, PersonalMark
from shared.eventlog.kms import NONCE_BYTES, MasterKeys

CACHED_KEYS = 10_000
SPARE_KEYS = 500
"""Keys are made and stored so many at a time, before they are needed."""


class Vault(Protocol):
    """Where the wrapped keys are kept."""

    async def wrapped_keys(self, refs: Iterable[str]) -> Mapping[str, bytes | None]:
        """The wrapped key of every ref that has one; None where it was destroyed."""
        ...

    async def add_keys(self, wrapped: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        """Keep these keys where a ref has none yet; answers what each ref now has. Durable on return."""
        ...


class Opens(Protocol):
    """Opens sealed texts: a keyring, or what stands in for one."""

    def open(self, sealed: Mapping[str, str], place: str) -> str:
        """The text, or what is shown instead."""
        ...


RESTRICTED = "[restricted]"


class Closed:
    """Opens nothing: the person's data is kept and used no more."""

    def open(self, sealed: Mapping[str, str], place: str) -> str:
        return RESTRICTED


class SubjectErased(Exception):
    """The key of this subject was destroyed; nothing about them can be written under it again."""


class Keyring:
    """Opens and seals texts. Keeps recently used keys in memory, at most CACHED_KEYS of them."""

    def __init__(self, vault: Vault, master: MasterKeys, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._vault = vault
        self._master = master
        self._random = random_bytes
        self._keys: OrderedDict[str, AESGCM] = OrderedDict()
        self._pinned: dict[str, AESGCM] = {}
        self._spare: dict[str, AESGCM] = {}
        self._restocking = asyncio.Lock()

    async def pin(self, ref: str) -> None:
        """Make sure that this key exists, and keep it at hand for ever (keys of ours, not of people)."""
        if ref in self._pinned:
            return
        wrapped = (await self._vault.add_keys(await self._master.wrap({ref: AESGCM.generate_key(256)})))[ref]
        if wrapped is None:
            raise SubjectErased(ref)
        self._pinned[ref] = AESGCM((await self._master.unwrap({ref: wrapped}))[ref])

    async def fresh(self) -> str:
        """A new key that nobody has used, at hand and durable. Made many at a time, so that one costs nothing."""
        while not self._spare:
            async with self._restocking:
                if not self._spare:
                    await self._restock()
        ref, key = self._spare.popitem()
        self._remember(ref, key)
        return ref

    async def hold(self, ref: str) -> None:
        """Bring a key to hand that something is to be sealed with. Raises SubjectErased when it was destroyed."""
        await self.load((ref,))
        if self._key(ref) is None:
            raise SubjectErased(ref)

    async def load(self, refs: Iterable[str]) -> None:
        """Bring the keys of these refs to hand, as far as they exist."""
        wanted, gone = set(refs), set[str]()
        # While we wait for some, others may push out what was at hand: look again until nothing is missing.
        while missing := {ref for ref in wanted - gone if self._key(ref) is None}:
            found = await self._vault.wrapped_keys(missing)
            gone |= {ref for ref in missing if found.get(ref) is None}
            there = {ref: wrapped for ref, wrapped in found.items() if wrapped is not None}
            for ref, key in (await self._master.unwrap(there)).items():
                self._remember(ref, AESGCM(key))

    def forget(self, ref: str) -> None:
        """Drop a key from memory, after its destruction in the vault."""
        self._keys.pop(ref, None)

    def seal(self, ref: str, text: str, place: str) -> dict[str, str]:
        """The sealed form of a text; `place` is stream, event and field. The key must be at hand (`fresh`, `hold`)."""
        return {"key": ref, "ct": b64encode(self.encrypt(ref, text.encode(), place)).decode()}

    def open(self, sealed: Mapping[str, str], place: str) -> str:
        """The text again, or ERASED when its key is gone. Raises InvalidTag when the text was moved or changed."""
        if self._key(sealed["key"]) is None:
            return ERASED
        return self.decrypt(sealed["key"], b64decode(sealed["ct"]), place).decode()

    def encrypt(self, ref: str, raw: bytes, place: str) -> bytes:
        """Nonce and ciphertext. Raises LookupError when the key is not at hand."""
        if (key := self._key(ref)) is None:
            raise LookupError(f"the key {ref} is not at hand")
        nonce = self._random(NONCE_BYTES)
        return nonce + key.encrypt(nonce, raw, place.encode())

    def decrypt(self, ref: str, sealed: bytes, place: str) -> bytes:
        """The inverse of `encrypt`. Raises LookupError, and InvalidTag for anything else than was encrypted here."""
        return self.opener(ref)(sealed, place)

    def opener(self, ref: str) -> Callable[[bytes, str], bytes]:
        """`decrypt` for one key, whatever else is used meanwhile. Raises LookupError when the key is not at hand."""
        if (key := self._key(ref)) is None:
            raise LookupError(f"the key {ref} is not at hand")
        return lambda sealed, place: key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode())

    def _key(self, ref: str) -> AESGCM | None:
        """The key if it is at hand; it counts as used."""
        if ref in self._keys:
            self._keys.move_to_end(ref)
            return self._keys[ref]
        return self._pinned.get(ref)

    async def _restock(self) -> None:
        made = {"k" + self._random(16).hex(): AESGCM.generate_key(256) for _ in range(SPARE_KEYS)}
        await self._vault.add_keys(await self._master.wrap(made))
        self._spare |= {ref: AESGCM(key) for ref, key in made.items()}

    def _remember(self, ref: str, key: AESGCM) -> None:
        self._keys[ref] = key
        while len(self._keys) > CACHED_KEYS:
            self._keys.popitem(last=False)


Path = tuple[str, ...]


@cache
def personal_paths(event_type: str) -> tuple[Path, ...]:
    """The fields of a payload that are personal, as paths into its JSON."""
    return tuple(_paths_of(CATALOGUE[event_type].payload))


def _paths_of(model: type[BaseModel]) -> Iterable[Path]:
    for name, field in model.model_fields.items():
        if any(isinstance(mark, PersonalMark) for mark in field.metadata) or _is_personal(field.annotation):
            yield (name,)
            continue
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                paths = list(_paths_of(inner))
                if paths and get_origin(field.annotation) is tuple:
                    raise TypeError(f"{model.__name__}.{name}: what is personal is not sealed inside a list of objects")
                yield from ((name, *path) for path in paths)


def _is_personal(annotation: Any) -> bool:
    """True for `Personal | None` and `tuple[Personal, ...]`, where the mark sits on an inner type."""
    return any(
        isinstance(mark, PersonalMark)
        for member in get_args(annotation)
        for mark in getattr(member, "__metadata__", ())
    )


def seal_data(keyring: Keyring, ref: str, type_: str, data: dict[str, Any], place: str) -> None:
    """Replace every personal text in the payload by its sealed form, in place."""
    for path in personal_paths(type_):
        holder, name = _holder(data, path)
        if (value := holder.get(name)) is not None:
            field = f"{place}/{'.'.join(path)}"
            holder[name] = _each(value, field, lambda text, where: keyring.seal(ref, text, where))


def unseal_data(keyring: Opens, type_: str, data: dict[str, Any], place: str) -> dict[str, Any]:
    """A copy of the payload with every personal text opened (or ERASED)."""
    opened = cast(dict[str, Any], _copied(data))
    for path in personal_paths(type_):
        holder, name = _holder(opened, path)
        if (value := holder.get(name)) is not None:
            holder[name] = _each(value, f"{place}/{'.'.join(path)}", keyring.open)
    return opened


def holds_personal(type_: str, data: dict[str, Any]) -> bool:
    """Whether any personal field of this payload has a value."""
    found = (_holder(data, path) for path in personal_paths(type_))
    return any(holder.get(name) not in (None, []) for holder, name in found)


def sealed_refs(type_: str, data: dict[str, Any]) -> set[str]:
    """The subjects whose keys are needed to open this payload."""
    refs: set[str] = set()
    for path in personal_paths(type_):
        holder, name = _holder(data, path)
        values = holder.get(name)
        refs |= {sealed["key"] for sealed in (values if isinstance(values, list) else [values]) if sealed is not None}
    return refs


def _each(value: Any, place: str, change: Callable[[Any, str], Any]) -> Any:
    if isinstance(value, list):
        return [change(item, f"{place}[{index}]") for index, item in enumerate(value)]
    return change(value, place)


def _holder(data: dict[str, Any], path: Path) -> tuple[dict[str, Any], str]:
    """The object that a path's last step is looked up in; an empty one where the way there is missing."""
    holder: Any = data
    for name in path[:-1]:
        holder = holder.get(name) if isinstance(holder, dict) else None
    return holder if isinstance(holder, dict) else {}, path[-1]


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}
    return value
