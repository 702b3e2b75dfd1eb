"""Who is told what, by which way, in which words: a versioned table, checked when it is read.

A text may use {ticket_no}, {unit}, {due} and {link}, and nothing else: no words of a resident or a unit leave this way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time, timedelta
from functools import cache
from string import Formatter
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

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

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
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

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
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
    try:
        read = TypeAdapter(Notifications).validate_python(table)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise TemplatesWrong(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    names = [one.id for one in read.templates]
    if len(names) != len(set(names)):
        raise TemplatesWrong("a template's id is used twice")
    for one in read.templates:
        _check(one)
    return read


def _check(template: Template) -> None:
    if template.audience is Audience.APPELLANT and bool(template.basis) == template.optional:
        raise TemplatesWrong(f"{template.id}: it is either demanded (`basis`) or `optional`")
    for words in (template.zh, template.en):
        used = _used(template.id, words)
        if unknown := used - VALUES:
            raise TemplatesWrong(
                f"{template.id}: there is no {sorted(unknown)[0]!r}; there are {', '.join(sorted(VALUES))}"
            )
        if ("link" in used) != (template.link is not None):
            raise TemplatesWrong(f"{template.id}: {{link}} and `link` belong together")
    if template.link and template.link not in Purpose.__members__:
        raise TemplatesWrong(f"{template.id}: a link is for one of {', '.join(Purpose.__members__)}")


def _used(template_id: str, words: str) -> set[str]:
    """The values that a text names, each plainly. Raises TemplatesWrong."""
    try:
        parts = [part[1:] for part in Formatter().parse(words) if part[1] is not None]
    except ValueError as error:
        raise TemplatesWrong(f"{template_id}: {error}") from None
    if any(spec or conversion for _, spec, conversion in parts):
        raise TemplatesWrong(f"{template_id}: a value is named as it is, e.g. {{ticket_no}}")
    return {str(name) for name, *_ in parts}
