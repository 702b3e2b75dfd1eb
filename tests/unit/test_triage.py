"""A call for help is heard in any script and at once; a fear, a memory or a figure of speech is not taken for one."""

from __future__ import annotations

import pytest

from services.intake_service.policy import triage_rules
from services.intake_service.triage import triage
from shared.contracts.codes import Kind, Urgency
from shared.contracts.intake import Triage

CALLS = {
    "三号楼着火了，快来人！": "119",
    "樓上起火了，濃煙很大": "119",
    "老人被困在电梯里出不来": "119",
    "厨房燃气泄漏，味道很大，怎么关都关不上": "119",
    "楼下有人持刀追人": "110",
    "我不想活了，就在楼顶": "110",
    "有人晕倒在公交站，没有呼吸": "120",
    "一家三口疑似煤气中毒": "120",
    "路口撞人了，人躺在地上": "122",
}
NO_CALLS = [
    "楼道堆满杂物，有火灾隐患，真要着火了跑不出去",
    "担心一旦着火了消防车进不来",
    "去年我们小区着火了，到现在没有修复",
    "如果老人被困在电梯里谁负责",
    "请加强燃气泄漏知识宣传",
    "这家火锅店油烟扰民",
    "小区停车收费太贵",
    "希望增设一个公交站。" * 20 + "那时候楼里着火了，没有人管。",
]


def of(text: str, title: str | None = None) -> Triage:
    return triage(title, text, triage_rules())


@pytest.mark.parametrize(("text", "call"), CALLS.items())
def test_a_call_for_help_goes_where_help_comes_from(text: str, call: str) -> None:
    found = of(text)
    assert call in [alert.hand_over for alert in found.alerts if alert.level == "EMERGENCY"]
    assert found.urgency is Urgency.EMERGENCY
    assert call in [alert.hand_over for alert in of("求助", title=text).alerts]


@pytest.mark.parametrize("text", NO_CALLS)
def test_what_is_only_feared_remembered_or_said_in_passing_is_no_emergency(text: str) -> None:
    assert not [alert for alert in of(text).alerts if alert.level == "EMERGENCY"]


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("暖气不热，室温只有十二度", "供暖"),
        ("再不解决我就去集体上访", "扬言"),
        ("消防通道被私家车堵住", "消防安全"),
        ("自来水发黄已经一周", "供水"),
    ],
)
def test_the_watch_list_of_the_daily_report_is_noticed(text: str, category: str) -> None:
    (alert,) = (one for one in of(text).alerts if one.category == category)
    assert alert.level == "WATCH" and alert.hand_over is None and alert.words


def test_heating_is_watched_when_it_fails_and_not_when_it_is_asked_about() -> None:
    assert not of("请问供暖季什么时候开始").alerts


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("请问居住证怎么办理", Kind.CONSULT),
        ("感谢信：社区工作人员热心", Kind.PRAISE),
        ("我要举报无证经营", Kind.REPORT),
        ("建议在路口增设红绿灯", Kind.SUGGESTION),
        ("楼上装修噪音扰民", Kind.COMPLAINT),
        ("老人行动不便，请帮忙", Kind.HELP),
    ],
)
def test_the_kind_is_proposed_with_the_words_that_say_so(text: str, kind: Kind) -> None:
    found = of(text)
    assert found.kind is kind and found.kind_words and all(word in text for word in found.kind_words)


def test_lifelines_are_urgent_and_what_says_nothing_is_proposed_nothing() -> None:
    assert of("小区停電兩天了").urgency is Urgency.LIFELINE
    nothing = of("。。。")
    assert (nothing.kind, nothing.urgency, nothing.alerts) == (None, None, ())
    assert nothing.version == triage_rules().version


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("樓上著火了，有人被困，救命！", "119"),
        ("我家著火了快來救火", "119"),
        ("My house is on FIRE, please help", "119"),
        ("我要上吊自杀了", "110"),
        ("家里进贼了", "110"),
        ("心肌梗死，快救命", "120"),
        ("两车相撞，有人受伤", "122"),
    ],
)
def test_help_is_called_for_in_many_words_and_either_script(text: str, call: str) -> None:
    assert call in [alert.hand_over for alert in of(text).alerts]
