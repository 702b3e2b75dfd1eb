"""What a unit told the appellant and the hotline, side by side: in sentences, and nothing of either is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feedback_service.reading import MOST_SENTENCES, side_by_side

GOOD = "水管已经更换。十七时恢复供水，请您放心！"


def answer(recipient: str, text: str, round_: int = 1, kind: str = "RESULT") -> dict[str, Any]:
    return {"recipient": recipient, "text": text, "round": round_, "kind": kind}


def compared(to_appellant: str, to_hotline: str) -> dict[str, Any]:
    found = side_by_side(1, [answer("APPELLANT", to_appellant), answer("HOTLINE", to_hotline)])
    assert found is not None
    return found


def whole(parts: list[dict[str, str]], side: str) -> str:
    """One of the texts, put together again."""
    return "".join(part.get("both", part.get(side, "")) for part in parts)


def test_without_a_result_there_is_nothing_to_compare() -> None:
    assert side_by_side(1, []) is None
    assert side_by_side(1, [answer("HOTLINE", GOOD, kind="PROGRESS"), answer("HOTLINE", GOOD, 2)]) is None


def test_sentences_are_in_both_or_only_in_one() -> None:
    found = compared("水管已经更换。十七时恢复供水。", "水管已经更换。居民未配合。")
    assert found["parts"] == [
        {"both": "水管已经更换。"},
        {"to_appellant": "十七时恢复供水。", "to_hotline": "居民未配合。"},
    ]
    assert 0 < float(found["similarity"]) < 1


@pytest.mark.parametrize(("other", "similarity"), [(GOOD, "1.00"), ("路灯坏掉", "0.00")])
def test_the_likeness_of_both_is_told_as_a_number(other: str, similarity: str) -> None:
    assert compared(GOOD, other)["similarity"] == similarity


def test_one_answer_alone_is_like_nothing() -> None:
    found = side_by_side(1, [answer("HOTLINE", GOOD)])
    assert found is not None and found["to_appellant"] is None and found["to_hotline"]["text"] == GOOD
    assert found["similarity"] == "0.00" and whole(found["parts"], "to_hotline") == GOOD


def test_of_several_answers_the_last_of_the_round_counts() -> None:
    given_ = [answer("HOTLINE", "一。"), answer("HOTLINE", "二。"), answer("HOTLINE", "三。", 2)]
    found = side_by_side(1, given_)
    assert found is not None and (found["round"], found["to_hotline"]["text"]) == (1, "二。")


WRITTEN = st.text(st.sampled_from("水管。！？；，,;!?\n .:a"), max_size=40)


@given(WRITTEN, WRITTEN)
def test_both_texts_can_be_put_together_again(one: str, other: str) -> None:
    parts = compared(one, other)["parts"]
    assert (whole(parts, "to_appellant"), whole(parts, "to_hotline")) == (one, other)


@pytest.mark.parametrize(("more", "shown"), [(0, True), (1, False)])
def test_of_very_many_sentences_only_the_likeness_is_told(more: int, shown: bool) -> None:
    long = "修。" * (MOST_SENTENCES + more)
    for found in (compared(long, GOOD), compared(GOOD, long), compared(long, long)):
        assert (found["parts"] is not None) is shown and found["similarity"]


@pytest.mark.parametrize("sentence", ["水", "水管已经更换，", "。"])
def test_the_longest_answers_are_compared_too(sentence: str) -> None:
    one = (sentence * 10_000)[:10_000]
    assert compared(one, one[::-1])["similarity"]
    most = "。".join(f"第{number}处已修" for number in range(MOST_SENTENCES))
    assert compared(most, most[::-1])["parts"]
