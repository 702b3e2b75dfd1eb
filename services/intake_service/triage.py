"""What the words of an appeal give away at once: danger, risk, urgency, kind. Proposals with their evidence.

An emergency belongs to 119, 110, 120 or 122 (Regulation Art 2, Art 11 ¶3 (1)) and is said so within the registration
itself; risks are reported at once (Art 29). Rules propose, people dispose: an agent may say otherwise in everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from services.intake_service.policy import TriageRule, TriageRules
from shared.contracts.codes import Kind, Urgency
from shared.contracts.intake import Alert, Triage
from shared.language.script import plain


def triage(title: str | None, content: str, rules: TriageRules) -> Triage:
    """What is proposed for an appeal that says this."""
    said = f"{plain(title)}\n{plain(content)}" if title else plain(content)
    there = frozenset(word for word in rules.vocabulary if word in said)
    alerts = (*_emergencies(said, there, rules), *_watched(there, rules))
    kind, kind_words = _first(there, rules.kinds)
    urgency, urgency_words = _first(there, rules.urgencies)
    if any(alert.level == "EMERGENCY" for alert in alerts):
        urgency, urgency_words = Urgency.EMERGENCY, ()
    return Triage(
        version=rules.version,
        kind=Kind(kind) if kind else None,
        kind_words=kind_words,
        urgency=Urgency(urgency) if urgency else None,
        urgency_words=urgency_words,
        alerts=alerts,
    )


def _emergencies(said: str, there: frozenset[str], rules: TriageRules) -> Iterator[Alert]:
    for rule in rules.emergencies:
        words = tuple(word for word in _of(rule, there) if _called_out(word, said, rules))
        if words:
            yield Alert(level="EMERGENCY", category=rule.id, hand_over=rule.value, words=words)


def _called_out(word: str, said: str, rules: TriageRules) -> bool:
    """Whether it is happening now: said early on, and neither as a fear nor a memory nor a figure of speech."""
    for found in re.finditer(re.escape(word), said[: rules.called_within]):
        before = said[max(0, found.start() - rules.doubt_within) : found.start()]
        after = said[found.end() : found.end() + rules.doubt_after_within]
        if not any(one in before for one in rules.doubt) and not any(one in after for one in rules.doubt_after):
            return True
    return False


def _watched(there: frozenset[str], rules: TriageRules) -> Iterator[Alert]:
    for rule in rules.watched:
        words = _of(rule, there)
        if words and all(not there.isdisjoint(group) for group in rule.all_of):
            yield Alert(level="WATCH", category=rule.value, words=words)


def _first(there: frozenset[str], rules: Sequence[TriageRule]) -> tuple[str | None, tuple[str, ...]]:
    """What the first rule that fits says, and its words that are there."""
    return next(((rule.value, words) for rule in rules if (words := _of(rule, there))), (None, ()))


def _of(rule: TriageRule, there: frozenset[str]) -> tuple[str, ...]:
    return tuple(word for word in rule.words if word in there)
