"""What is alike is found alike, whatever script it is written in, and the index holds nothing readable."""

from __future__ import annotations

import pytest

from shared.language.likeness import BANDS, bands, likeness, token, tokens

KEY = b"k" * 32
TEXT = "小区停水两天了，自来水公司电话打不通，请尽快处理。"


def alike(one: str, other: str) -> float:
    return likeness(tokens(KEY, [one]), tokens(KEY, [other]))


def test_the_same_text_is_alike_whatever_its_script_width_case_and_punctuation() -> None:
    assert alike(TEXT, "小區停水兩天了 自來水公司電話打不通!請盡快處理") == 1.0
    assert alike("ＫＴＶ噪音扰民", "ktv噪音扰民") == 1.0


def test_a_text_with_a_sentence_more_is_still_alike_and_another_matter_is_not() -> None:
    assert 0.6 < alike(TEXT, TEXT + "我已经打了三次电话。") < 1.0
    assert alike(TEXT, "楼下烧烤店每天营业到凌晨三点，油烟和噪音让人无法入睡。") < 0.1


@pytest.mark.parametrize("empty", ["", "。", "水"])
def test_what_says_nothing_is_like_nothing(empty: str) -> None:
    assert alike(empty, empty) == 0.0
    assert bands(tokens(KEY, [empty])) == []


def test_the_alike_share_a_band_and_strangers_do_not() -> None:
    mine = set(bands(tokens(KEY, [TEXT])))
    assert len(mine) == BANDS
    assert mine & set(bands(tokens(KEY, [TEXT + "我已经打了三次电话。"])))
    assert not mine & set(bands(tokens(KEY, ["楼下烧烤店每天营业到凌晨三点，油烟和噪音让人无法入睡。"])))


def test_tokens_depend_on_the_key_and_bands_on_nothing_but_the_tokens() -> None:
    assert token(KEY, "停水") != token(b"o" * 32, "停水")
    assert -(2**63) <= token(KEY, "停水") < 2**63
    assert bands(frozenset({1, 2, 3}))[:2] == bands(frozenset({3, 2, 1}))[:2]


def test_signatures_stay_what_they_were_stored_as() -> None:
    assert bands(frozenset({1}))[0] == -3585988189627021576
