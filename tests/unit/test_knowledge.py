"""An entry lives through editions; nobody is told what is no longer valid. Questions find it however they are put."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from services.intake_service.knowledge import KNOWLEDGE, NoteExpiry, Publish, Retire, Revise
from services.intake_service.lookup import Index
from services.intake_service.policy import lookup_policy
from shared.contracts.envelope import BEIJING
from shared.contracts.intake import KnowledgeExpired, KnowledgePublished, KnowledgeRetired, KnowledgeText
from shared.engine.decider import Command, NotYours
from tests.support.spec import given

AT = datetime(2026, 11, 24, 9, 0, tzinfo=BEIJING)
YEAR = timedelta(days=365)
TEXT = KnowledgeText(title="居住证办理", text="到派出所办理。", owner_unit="bj-police", valid_until=AT + YEAR)
PUBLISHED = KnowledgePublished(text=TEXT, edition=1)


def test_an_entry_is_published_once_and_then_revised() -> None:
    other = TEXT.model_copy(update={"text": "可在网上办理。"})
    given(KNOWLEDGE).when(Publish(at=AT, text=TEXT)).then(PUBLISHED)
    given(KNOWLEDGE, PUBLISHED).when(Publish(at=AT, text=TEXT)).then_refused("KNOWLEDGE_EXISTS")
    given(KNOWLEDGE, PUBLISHED).when(Revise(at=AT, text=TEXT)).then()
    given(KNOWLEDGE, PUBLISHED).when(Revise(at=AT, text=other)).then(KnowledgePublished(text=other, edition=2))


def test_its_owner_is_alarmed_when_it_expires_and_not_before() -> None:
    given(KNOWLEDGE, PUBLISHED).when(NoteExpiry(at=AT)).then()
    expired = KnowledgeExpired(owner_unit="bj-police")
    given(KNOWLEDGE, PUBLISHED).when(NoteExpiry(at=AT + YEAR)).then(expired)
    given(KNOWLEDGE, PUBLISHED, expired).when(NoteExpiry(at=AT + YEAR)).then()
    given(KNOWLEDGE, PUBLISHED, KnowledgeRetired()).when(NoteExpiry(at=AT + YEAR)).then()


@pytest.mark.parametrize("ended", [KnowledgeExpired(owner_unit="bj-police"), KnowledgeRetired()])
def test_what_has_ended_comes_back_with_a_new_edition(ended: KnowledgeExpired | KnowledgeRetired) -> None:
    spec = given(KNOWLEDGE, PUBLISHED, ended).when(Revise(at=AT, text=TEXT))
    spec.then(KnowledgePublished(text=TEXT, edition=2))
    assert spec.state_after().state == "PUBLISHED"


def test_nothing_is_published_that_is_over_already() -> None:
    over = TEXT.model_copy(update={"valid_until": AT})
    given(KNOWLEDGE).when(Publish(at=AT, text=over)).then_refused("ALREADY_EXPIRED")


def test_it_is_retired_once() -> None:
    given(KNOWLEDGE, PUBLISHED).when(Retire(at=AT)).then(KnowledgeRetired())
    given(KNOWLEDGE, PUBLISHED, KnowledgeRetired()).when(Retire(at=AT)).then()


def test_what_is_not_there_looks_like_somebody_elses_and_an_unknown_command_is_a_mistake() -> None:
    with pytest.raises(NotYours):
        KNOWLEDGE.decide(Retire(at=AT), KNOWLEDGE.initial)
    with pytest.raises(TypeError):
        KNOWLEDGE.decide(Command(at=AT), KNOWLEDGE.fold([PUBLISHED]))


ENTRIES = [
    ("residence", "居住证办理条件和材料", "在京居住满六个月，持身份证、住所证明到派出所申领居住证。"),
    ("insurance", "社保卡补办", "社保卡遗失后可在线挂失，到服务网点补办。"),
    ("heating", "居民供暖时间和温度标准", "供暖期为11月15日至次年3月15日，室温不低于18摄氏度。"),
    ("kindergarten", "幼儿园入学报名", "适龄儿童由监护人在规定时间登录平台报名，孩子上幼儿园需户口簿。"),
    ("housing", "高校毕业生购房补贴", "符合条件的人才可申请购房补贴，分三年发放。"),
    ("noise", "夜间施工噪声规定", "22时至次日6时禁止产生噪声污染的建筑施工作业。"),
]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("请问居住证怎么办理", "residence"),
        ("暂住证哪里办", "residence"),
        ("医保卡丢了怎么补办", "insurance"),
        ("取暖什么时候开始，室内温度要多少", "heating"),
        ("娃入园怎么报名", "kindergarten"),
        ("人才補貼怎麼申請", "housing"),
        ("晚上施工吵得睡不着，几点之前不能施工", "noise"),
    ],
)
def test_a_question_finds_its_answer_however_it_is_put(question: str, answer: str) -> None:
    found = Index(ENTRIES, lookup_policy()).ask(question)
    assert found and found[0].key == answer and found[0].words


@pytest.mark.parametrize("question", ["", "请问一下怎么办", "火星殖民地移民签证"])
def test_a_question_that_nothing_answers_finds_nothing(question: str) -> None:
    assert not Index(ENTRIES, lookup_policy()).ask(question)
    assert not Index([], lookup_policy()).ask("居住证")


def test_entries_without_a_word_are_found_by_nothing_and_break_nothing() -> None:
    assert not Index([("a", "!", "…"), ("b", "", "")], lookup_policy()).ask("0")
