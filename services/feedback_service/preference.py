"""How a person wants to be told: in which language, by which ways not, and whether of what the law does not demand.

Kept under the person's pseudonym, so that it holds for every appeal of the same contact, also later ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.codes import Language, NoticeChannel
from shared.contracts.envelope import Payload
from shared.contracts.notices import PreferencesSet
from shared.engine.decider import Command, Decider


@dataclass(frozen=True)
class Preference:
    """What holds until something else is said."""

    language: Language = Language.ZH
    off: tuple[NoticeChannel, ...] = ()
    optional: bool = True

    @property
    def state(self) -> str:
        return "SET"


@dataclass(frozen=True, kw_only=True)
class SetPreference(Command):
    """From now on."""

    language: Language
    off: tuple[NoticeChannel, ...]
    optional: bool


def decide(command: Command, preference: Preference) -> Sequence[Payload]:
    if not isinstance(command, SetPreference):
        raise TypeError(command)
    wanted = Preference(command.language, tuple(sorted(set(command.off))), command.optional)
    if wanted == preference:
        return []
    return [PreferencesSet(language=wanted.language, off=wanted.off, optional=wanted.optional)]


def evolve(preference: Preference, event: Payload) -> Preference:
    if isinstance(event, PreferencesSet):
        return Preference(event.language, event.off, event.optional)
    return preference


PREFERENCE = Decider("preference", Preference(), decide, evolve)
