"""热线数据库: what the hotline knows and may answer at once. Units keep their own entries. Regulation Art 31.

An entry is published, revised and retired; when its validity ends its owner is alarmed and nobody cites it any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.contracts.envelope import Payload
from shared.contracts.intake import KnowledgeExpired, KnowledgePublished, KnowledgeRetired, KnowledgeText
from shared.engine.decider import Command, Decider, NotYours, Refused


@dataclass(frozen=True)
class Entry:
    """An entry as it stands. `text` is None before it is published; `edition` counts its texts."""

    text: KnowledgeText | None = None
    edition: int = 0
    retired: bool = False
    expired: bool = False

    @property
    def state(self) -> str:
        if self.retired:
            return "RETIRED"
        return "EXPIRED" if self.expired else "PUBLISHED"

    @property
    def owner(self) -> str | None:
        return self.text.owner_unit if self.text else None


@dataclass(frozen=True, kw_only=True)
class Publish(Command):
    """Publish a new entry."""

    text: KnowledgeText


@dataclass(frozen=True, kw_only=True)
class Revise(Command):
    """Publish another text of an entry."""

    text: KnowledgeText


@dataclass(frozen=True, kw_only=True)
class Retire(Command):
    """Nobody is to be told this any more."""


@dataclass(frozen=True, kw_only=True)
class NoteExpiry(Command):
    """The validity has ended."""


def decide(command: Command, entry: Entry) -> Sequence[Payload]:
    if isinstance(command, Publish):
        if entry.text is not None:
            raise Refused("KNOWLEDGE_EXISTS", "there is such an entry; revise it")
        return [_published(command.text, entry, command.at)]
    if entry.text is None:
        raise NotYours
    match command:
        case Revise():
            return [] if _same(command.text, entry) else [_published(command.text, entry, command.at)]
        case Retire():
            return [] if entry.retired else [KnowledgeRetired()]
        case NoteExpiry():
            until = entry.text.valid_until
            over = not entry.retired and not entry.expired and until is not None and until <= command.at
            return [KnowledgeExpired(owner_unit=entry.text.owner_unit)] if over else []
    raise TypeError(command)


def _same(text: KnowledgeText, entry: Entry) -> bool:
    return text == entry.text and entry.state == "PUBLISHED"


def _published(text: KnowledgeText, entry: Entry, now: datetime) -> KnowledgePublished:
    if text.valid_until is not None and text.valid_until <= now:
        raise Refused("ALREADY_EXPIRED", "valid_until lies in the past")
    return KnowledgePublished(text=text, edition=entry.edition + 1)


def evolve(entry: Entry, event: Payload) -> Entry:
    match event:
        case KnowledgePublished():
            return Entry(event.text, event.edition)
        case KnowledgeRetired():
            return replace(entry, retired=True)
        case KnowledgeExpired():
            return replace(entry, expired=True)
    return entry


KNOWLEDGE = Decider("knowledge", Entry(), decide, evolve)
