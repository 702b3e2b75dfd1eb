"""Who is told what, by which way, in which words: a versioned table, checked when it is read.

A text may use {ticket_no}, {unit}, {due} and {link}, and nothing else: no words of a resident or a unit leave this way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time, timedelta
from functools import cache
from string import Formatter
from typing import Any

from pydantic import TypeAdapter

from services.feedback_service.links import Purpose
from services.feedback_service.policy import read_table
from shared.contracts.codes import Audience, Language, NoticeChannel
from shared.contracts.envelope import Envelope

VALUES = frozenset({"ticket_no", "unit", "due", "link"})
WAYS: Mapping[Audience, Sequence[NoticeChannel]] = {
    Audience.APPELLANT: (NoticeChannel.SMS, NoticeChannel.WECHAT, NoticeChannel.EMAIL),
    Audience.UNIT: (NoticeChannel.WORK,),
    Audience.HOTLINE: (NoticeChannel.WORK,),
}
"""By which ways an audience is reached, the most certain first."""


class TemplatesWrong(Exception):
    """The table of notifications cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class Template:
    """One notice: what it is about, for whom, and its words. `basis`: the article that demands it."""

    id: str
    on: str
    audience: Audience
    zh: str
    en: str
    urgent: bool = False
    optional: bool = False
    basis: str | None = None
    link: str | None = None
    when: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unless: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def event_type(self) -> str:
        return f"cn.gov.appeals.{self.on}.v1"

    @property
    def purpose(self) -> Purpose | None:
        return Purpose[self.link] if self.link else None

    def concerns(self, event: Envelope) -> bool:
        """Whether an event of its type is one that is told."""
        fits = all(event.data.get(name) in values for name, values in self.when.items())
        return fits and not any(event.data.get(name) in values for name, values in self.unless.items())

    def text(self, language: Language, values: Mapping[str, str]) -> str:
        """The words, filled in."""
        words: str = getattr(self, language)
        return words.format_map({name: values.get(name, "") for name in VALUES})


@dataclass(frozen=True)
class NoticePolicy:
    """When people are told, and how often something is tried."""

    quiet_from: time
    quiet_until: time
    budget: int
    budget_within: timedelta
    stale_after: timedelta
    retry_after: Sequence[timedelta]
    timeout: timedelta


@dataclass(frozen=True)
class Notifications:
    """notifications.toml"""

    version: str
    policy: NoticePolicy
    templates: Sequence[Template]

    def about(self, event: Envelope) -> list[Template]:
        """What an event gives occasion to say."""
        return [one for one in self.templates if one.event_type == event.type and one.concerns(event)]

    def named(self, template_id: str) -> Template | None:
        """None where a later version has dropped it."""
        return next((one for one in self.templates if one.id == template_id), None)


@cache
def notifications() -> Notifications:
    """The shipped table. Raises TemplatesWrong."""
    return notifications_of(read_table("notifications.toml"))


def notifications_of(table: Mapping[str, Any]) -> Notifications:
    """A table, checked: known values only, a link where one is promised, names used once. Raises TemplatesWrong."""
    read = TypeAdapter(Notifications).validate_python(table)
    names = [one.id for one in read.templates]
    if len(names) != len(set(names)):
        raise TemplatesWrong("a template's id is used twice")
    for one in read.templates:
        _check(one)
    return read


def _check(template: Template) -> None:
    for words in (template.zh, template.en):
        used = {name for _, name, *_ in Formatter().parse(words) if name is not None}
        if unknown := used - VALUES:
            raise TemplatesWrong(
                f"{template.id}: there is no {sorted(unknown)[0]!r}; there are {', '.join(sorted(VALUES))}"
            )
        if ("link" in used) != (template.link is not None):
            raise TemplatesWrong(f"{template.id}: {{link}} and `link` belong together")
    if template.link and template.link not in Purpose.__members__:
        raise TemplatesWrong(f"{template.id}: a link is for one of {', '.join(Purpose.__members__)}")
