"""What is noticed about an answer before anybody reads it: too short, always the same, without what must be shown.

Findings are for whoever reviews the answer; only an answer that says nothing at all, and one without evidence that the
policy demands, is refused. Pains 15 and 25 of the field: "已收悉" closes no case.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

from services.feedback_service.policy import AnswerPolicy, EvidenceRule, HandlingPolicy
from shared.contracts.codes import EvidenceRole, FeedbackKind, Finding
from shared.contracts.feedback import Evidence
from shared.engine.decider import Refused
from shared.language.script import plain


def letters(text: str) -> str:
    """Only what says something: letters, digits and Chinese characters, traditional script as simplified."""
    return "".join(filter(str.isalnum, plain(text)))


def said(text: str, policy: AnswerPolicy) -> str:
    """What is left of an answer once the stock phrases are taken away, the longest first."""
    rest = letters(text)
    for phrase in _longest_first(tuple(policy.stock)):
        rest = rest.replace(phrase, "")
    return rest


@cache
def _longest_first(stock: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(map(letters, stock)), key=len, reverse=True))


def findings_of(
    text: str,
    kind: FeedbackKind,
    category: str | None,
    evidence: Sequence[Evidence],
    alike: int,
    reused: bool,
    policy: HandlingPolicy,
) -> list[Finding]:
    """What is noticed about this answer. Raises ANSWER_TOO_SHORT, EVIDENCE_NEEDED."""
    answers, length = policy.answers, len(letters(text))
    if length < answers.refused_below:
        raise Refused(
            "ANSWER_TOO_SHORT", f"an answer has at least {answers.refused_below} characters that say something"
        )
    if kind is FeedbackKind.PROGRESS:
        return []
    _each_shows_one_thing(evidence)
    missing = _missing({one.role for one in evidence}, category, policy.evidence)
    noticed = {
        Finding.SHORT: length < answers.short_below,
        Finding.TEMPLATE: len(said(text, answers)) < min(answers.template_below, length) or alike >= answers.most_alike,
        Finding.EVIDENCE_MISSING: missing,
        Finding.EVIDENCE_REUSED: reused,
    }
    return [finding for finding, there in noticed.items() if there]


def _each_shows_one_thing(evidence: Sequence[Evidence]) -> None:
    pictures = [one.number for one in evidence if one.role is not EvidenceRole.DOCUMENT]
    if len(pictures) != len(set(pictures)):
        raise Refused("EVIDENCE_UNKNOWN", "one picture cannot show before and after")


def _missing(shown: Collection[EvidenceRole], category: str | None, rules: Sequence[EvidenceRule]) -> bool:
    lacking = [rule for rule in rules if category in rule.categories and not rule.roles <= set(shown)]
    for rule in lacking:
        if rule.action == "REFUSE":
            roles = ", ".join(sorted(rule.roles))
            raise Refused("EVIDENCE_NEEDED", f"a result about this category points at files that show {roles}")
    return bool(lacking)
