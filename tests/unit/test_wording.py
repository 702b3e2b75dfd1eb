"""What is noticed about an answer before anybody reads it, at every limit; 已收悉 closes no case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.feedback_service.policy import EvidenceRule, handling_policy
from services.feedback_service.wording import findings_of, letters, said
from shared.contracts.codes import EvidenceRole, FeedbackKind, Finding
from shared.contracts.feedback import Evidence
from shared.engine.decider import Refused

POLICY = handling_policy()
ANSWERS = POLICY.answers
GOOD = "雅宝里社区爆裂的供水管已经更换，十七时四十分恢复供水。"
RESULT, PROGRESS = FeedbackKind.RESULT, FeedbackKind.PROGRESS
NOTED, DEMANDED = "市政设施", "违法建设拆除"


def showing(*roles: EvidenceRole) -> list[Evidence]:
    return [Evidence(number=number, role=role) for number, role in enumerate(roles, 1)]


BEFORE, AFTER, DOCUMENT = ([one] for one in showing(*EvidenceRole))


def noticed(
    text: str = GOOD,
    kind: FeedbackKind = RESULT,
    category: str | None = None,
    evidence: list[Evidence] | None = None,
    alike: int = 0,
    reused: bool = False,
) -> list[Finding]:
    return findings_of(text, kind, category, evidence or [], alike, reused, POLICY)


def refusal(text: str = GOOD, kind: FeedbackKind = RESULT, **more: object) -> str:
    with pytest.raises(Refused) as refused:
        noticed(text, kind, **more)  # type: ignore[arg-type]
    return refused.value.code


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("您好，世界！", "您好世界"),
        (" \n\t　。！？…—《》（）_@#¥", ""),
        ("Ａ１－b 2", "a1b2"),
        ("臺北停電著火", "台北停电着火"),
        ("👍修好了👍", "修好了"),
        ("", ""),
    ],
)
def test_only_what_says_something_counts_as_a_letter(text: str, left: str) -> None:
    assert letters(text) == left


@pytest.mark.parametrize("phrase", ANSWERS.stock)
def test_a_stock_phrase_says_nothing_and_is_noticed(phrase: str) -> None:
    assert said(phrase, ANSWERS) == ""
    assert Finding.TEMPLATE in noticed(phrase)


@pytest.mark.parametrize(
    "text",
    [
        "尊敬的市民：您好！您的留言已收悉。感谢您对我们工作的理解和支持，祝您生活愉快！",
        "尊敬的市民：您好！您的留言已收悉。感謝您對我們工作的理解和支持，祝您生活愉快！",
        "您 好，来 信 已 收 悉，请-耐-心-等-待。",
        "您反映的问题已收悉，已转相关部门处理，敬请关注后续回复。",
    ],
)
def test_an_answer_of_stock_phrases_says_nothing_however_it_is_written(text: str) -> None:
    assert said(text, ANSWERS) == ""
    assert Finding.TEMPLATE in noticed(text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("感谢您的监督，水管已更换", "水管已更换"),
        ("感謝您的監督，水管已更換", "水管已更换"),
        ("水管已更换", "水管已更换"),
    ],
)
def test_the_longest_stock_phrase_is_taken_away_first(text: str, left: str) -> None:
    assert said(text, ANSWERS) == left
    assert said(text, replace(ANSWERS, stock=list(reversed(ANSWERS.stock)))) == left


def test_a_policy_without_stock_phrases_takes_nothing_away() -> None:
    assert said("您好，谢谢", replace(ANSWERS, stock=[])) == "您好谢谢"


def test_an_answer_that_says_what_was_done_is_noticed_for_nothing() -> None:
    assert noticed() == []
    assert noticed(f"您好！{GOOD}感谢您的监督。") == []


@pytest.mark.parametrize(("length", "findings"), [(14, [Finding.SHORT]), (15, [])])
def test_a_result_is_short_below_its_limit(length: int, findings: list[Finding]) -> None:
    assert ANSWERS.short_below == 15
    assert noticed(f"{'修' * length}。！") == findings


@pytest.mark.parametrize(("left", "findings"), [(11, [Finding.TEMPLATE]), (12, [])])
def test_so_much_must_be_left_without_the_stock_phrases(left: int, findings: list[Finding]) -> None:
    assert ANSWERS.template_below == 12
    assert noticed(f"您的留言已收悉，{'修' * left}。谢谢！") == findings


def test_a_short_answer_in_words_of_its_own_is_short_and_no_template() -> None:
    assert noticed("水管修好了") == [Finding.SHORT]
    assert noticed("您好，水管修好了") == [Finding.SHORT, Finding.TEMPLATE]


@pytest.mark.parametrize(("alike", "findings"), [(0, []), (2, []), (3, [Finding.TEMPLATE]), (50, [Finding.TEMPLATE])])
def test_an_answer_that_was_given_so_often_before_is_a_template(alike: int, findings: list[Finding]) -> None:
    assert ANSWERS.most_alike == 3
    assert noticed(alike=alike) == findings


def test_a_file_of_another_appeal_is_noticed() -> None:
    assert noticed(reused=True) == [Finding.EVIDENCE_REUSED]


@pytest.mark.parametrize("kind", list(FeedbackKind))
@pytest.mark.parametrize("text", ["", " ", "。。。！", "好", "好！", "👍👍👍"])
def test_what_is_not_an_answer_is_refused(text: str, kind: FeedbackKind) -> None:
    assert refusal(text, kind) == "ANSWER_TOO_SHORT"


def test_two_letters_are_an_answer() -> None:
    assert ANSWERS.refused_below == 2
    assert noticed("好的") == [Finding.SHORT]


@pytest.mark.parametrize("category", [None, NOTED, DEMANDED])
def test_nothing_is_noticed_about_progress(category: str | None) -> None:
    assert noticed("已收悉", PROGRESS, category, alike=9, reused=True) == []


@pytest.mark.parametrize(
    ("category", "evidence", "missing"),
    [
        (NOTED, [], True),
        (NOTED, BEFORE, True),
        (NOTED, DOCUMENT, True),
        (NOTED, AFTER, False),
        (NOTED, [*BEFORE, *AFTER], False),
        ("供热", [], False),
        (None, [], False),
        ("市政", [], False),
    ],
)
def test_missing_evidence_is_noticed_where_the_policy_asks_for_it(
    category: str | None, evidence: list[Evidence], missing: bool
) -> None:
    assert noticed(category=category, evidence=evidence) == ([Finding.EVIDENCE_MISSING] if missing else [])


@pytest.mark.parametrize("category", [DEMANDED, "道路设施修复"])
@pytest.mark.parametrize("evidence", [[], BEFORE, AFTER, [*BEFORE, *DOCUMENT]])
def test_a_result_without_evidence_that_is_demanded_is_refused(category: str, evidence: list[Evidence]) -> None:
    assert refusal(category=category, evidence=evidence) == "EVIDENCE_NEEDED"
    assert noticed(category=category, evidence=[*AFTER, *BEFORE, *DOCUMENT]) == []


@pytest.mark.parametrize("roles", [("BEFORE", "AFTER"), ("AFTER", "BEFORE"), ("AFTER", "AFTER")])
@pytest.mark.parametrize("category", [None, DEMANDED])
def test_one_picture_does_not_show_before_and_after(roles: tuple[str, str], category: str | None) -> None:
    twice = [Evidence(number=1, role=EvidenceRole(role)) for role in roles]
    assert refusal(category=category, evidence=twice) == "EVIDENCE_UNKNOWN"
    assert refusal("好", category=category, evidence=twice) == "ANSWER_TOO_SHORT"
    assert noticed(kind=PROGRESS, evidence=twice) == []


def test_a_document_may_be_named_again_and_also_be_a_picture() -> None:
    assert noticed(evidence=[*DOCUMENT, *DOCUMENT]) == []
    also = Evidence(number=AFTER[0].number, role=EvidenceRole.DOCUMENT)
    assert noticed(category=DEMANDED, evidence=[*BEFORE, *AFTER, also, also]) == []


def test_an_answer_that_is_none_is_refused_for_that_first() -> None:
    assert refusal("好", category=DEMANDED) == "ANSWER_TOO_SHORT"


def test_of_two_rules_the_stricter_one_holds_in_whichever_order() -> None:
    note = EvidenceRule([NOTED], frozenset({EvidenceRole.AFTER}), "NOTE")
    refuse = replace(note, roles=frozenset({EvidenceRole.BEFORE}), action="REFUSE")
    for rules in ([note, refuse], [refuse, note]):
        policy = replace(POLICY, evidence=rules)
        with pytest.raises(Refused):
            findings_of(GOOD, RESULT, NOTED, AFTER, 0, False, policy)
        assert findings_of(GOOD, RESULT, NOTED, BEFORE, 0, False, policy) == [Finding.EVIDENCE_MISSING]


def test_everything_at_once_is_told_in_one_order() -> None:
    found = noticed("已收悉", category=NOTED, alike=3, reused=True)
    assert found == [Finding.SHORT, Finding.TEMPLATE, Finding.EVIDENCE_MISSING, Finding.EVIDENCE_REUSED]
