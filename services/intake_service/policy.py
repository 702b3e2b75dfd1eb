"""The figures of intake, as versioned data: what a channel must bring, when appeals are alike."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from shared.contracts.codes import Channel

DATA = Path(__file__).parent / "data"
_DURATION = TypeAdapter(timedelta)


@dataclass(frozen=True)
class LikenessPolicy:
    """likeness.toml"""

    version: str
    same_problem: float
    same_person: float
    most_candidates: int
    most_shown: int


@dataclass(frozen=True)
class FollowPolicy:
    """follow.toml"""

    version: str
    most_supplements: int
    most_messages: int
    urge_every: timedelta
    most_evaluations: int
    evaluate_within: timedelta


@dataclass(frozen=True)
class AttachmentPolicy:
    """attachments.toml. `types`: kind and media type by the ending that a content stands for."""

    version: str
    most_each: int
    most_pixels: int
    longest_name: int
    most_boxes: int
    most_bytes: Mapping[str, int]
    types: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class AccessPolicy:
    """access.toml"""

    version: str
    key_roles: frozenset[str]
    most_live_keys: int
    longest_key_life: timedelta
    approval_good_for: timedelta
    measure_good_for: timedelta
    reveals_an_hour: int


@cache
def access_policy() -> AccessPolicy:
    """For whom keys are, and how long they and approvals are good."""
    table = _read("access.toml")
    for name in ("longest_key_life", "approval_good_for", "measure_good_for"):
        table[name] = _DURATION.validate_python(table[name])
    return AccessPolicy(**table | {"key_roles": frozenset(table["key_roles"])})


@cache
def attachment_policy() -> AttachmentPolicy:
    """What may be attached."""
    table = _read("attachments.toml")
    kinds = table.pop("kinds")
    types = {end: (kind, media) for kind, one in kinds.items() for end, media in one["types"].items()}
    return AttachmentPolicy(**table, most_bytes={kind: one["most_bytes"] for kind, one in kinds.items()}, types=types)


@dataclass(frozen=True)
class ImportPolicy:
    """imports.toml"""

    version: str
    most_bytes: int
    most_unpacked_bytes: int
    together: int
    longest_cell: int
    zone: str
    usual: Mapping[str, Sequence[str]]
    constants: Mapping[str, str]


@cache
def import_policy() -> ImportPolicy:
    """How bulk files are read."""
    return ImportPolicy(**_read("imports.toml"))


@cache
def follow_policy() -> FollowPolicy:
    """What the appellant may do while an appeal is open."""
    table = _read("follow.toml")
    durations = ("urge_every", "evaluate_within")
    return FollowPolicy(**(table | {name: _DURATION.validate_python(table[name]) for name in durations}))


@cache
def likeness_policy() -> LikenessPolicy:
    """When two appeals are taken for alike."""
    return LikenessPolicy(**_read("likeness.toml"))


@dataclass(frozen=True)
class TriageRule:
    """Words, and what they are taken for. Of each group in `all_of` one word must be there as well."""

    id: str
    value: str
    words: tuple[str, ...]
    all_of: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class TriageRules:
    """triage.toml"""

    version: str
    doubt: tuple[str, ...]
    doubt_within: int
    doubt_after: tuple[str, ...]
    doubt_after_within: int
    called_within: int
    emergencies: tuple[TriageRule, ...]
    watched: tuple[TriageRule, ...]
    kinds: tuple[TriageRule, ...]
    urgencies: tuple[TriageRule, ...]

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """Every word that some rule asks for."""
        rules = (*self.emergencies, *self.watched, *self.kinds, *self.urgencies)
        return frozenset(word for rule in rules for words in (rule.words, *rule.all_of) for word in words)


@cache
def triage_rules() -> TriageRules:
    """What words are taken for."""
    table = _read("triage.toml")

    def rules(name: str, value: str) -> tuple[TriageRule, ...]:
        return tuple(
            TriageRule(
                id=one.get("id", one[value]),
                value=one[value],
                words=tuple(one["words"]),
                all_of=tuple(map(tuple, one.get("all_of", ()))),
            )
            for one in table[name]
        )

    return TriageRules(
        version=table["version"],
        doubt=tuple(table["doubt"]),
        doubt_within=table["doubt_within"],
        doubt_after=tuple(table["doubt_after"]),
        doubt_after_within=table["doubt_after_within"],
        called_within=table["called_within"],
        emergencies=rules("emergency", "call"),
        watched=rules("watch", "category"),
        kinds=rules("kind", "kind"),
        urgencies=rules("urgency", "urgency"),
    )


@dataclass(frozen=True)
class Need:
    """One of these fields must be there; otherwise the code is the answer."""

    code: str
    fields: Sequence[str]


@cache
def channel_needs() -> Mapping[Channel, Sequence[Need]]:
    """What an appeal must bring, by channel."""
    table = _read("channels.toml")
    needs = {name: Need(one["code"], one["fields"]) for name, one in table["needs"].items()}
    return {Channel(channel): [needs[name] for name in names] for channel, names in table["channels"].items()}


@dataclass(frozen=True)
class LookupPolicy:
    """lookup.toml"""

    version: str
    k1: float
    b: float
    title_counts: int
    least_score: float
    most: int
    ignored: Sequence[str]
    synonyms: Mapping[str, str]


@cache
def lookup_policy() -> LookupPolicy:
    """How the knowledge base is searched."""
    return LookupPolicy(**_read("lookup.toml"))


@dataclass(frozen=True)
class GeoService:
    """One thing that can be asked for through Open311."""

    code: str
    name: str
    description: str
    keywords: str
    group: str
    category: str
    attributes: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class GeoReportPolicy:
    """open311.toml"""

    version: str
    days: int
    most: int
    contact: str
    services: Mapping[str, GeoService]


@cache
def georeport_policy() -> GeoReportPolicy:
    """What Open311 offers, and how much of it at once."""
    table = _read("open311.toml")
    services = {one["code"]: GeoService(**one) for one in table["services"]}
    return GeoReportPolicy(**(table | {"services": services}))


@cache
def notice_texts() -> Mapping[str, Mapping[str, str]]:
    """notices.toml: texts by name and language."""
    texts: Mapping[str, Mapping[str, str]] = _read("notices.toml")["texts"]
    return texts


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((DATA / name).read_text(encoding="utf-8"))
