"""The classifier: learned from examples, kept without code, the same in either script, honest about its confidence."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import opencc
import pytest

from services.routing_service.classifier import Classifier, WrongModel, load
from services.routing_service.training import Example, TooLittle, measured, train

WORDS = {"供水": "停水水压水管自来水", "供暖": "暖气供暖不热室温", "噪声": "噪音扰民施工夜间"}


def examples() -> list[Example]:
    made = []
    for category, words in WORDS.items():
        for number in range(30):
            said = words[number % len(words) :] + words[: number % len(words)]
            made.append(Example(said[:4], f"小区{said}已经{number}天", category, f"{category}{number}"))
    return made


@pytest.fixture(scope="module")
def model() -> Classifier:
    return train(examples(), {"data": "x"}, lambda *_: None).model


def best(model: Classifier, title: str, text: str) -> str:
    return model.categories[int(model.probabilities([title], [text])[0].argmax())]


@pytest.mark.parametrize(("title", "text", "category"), [
    ("停水", "家里停水两天", "供水"), ("", "暖气一直不热", "供暖"), ("夜间施工", "", "噪声"),
    ("停水", "家裏停水兩天，水壓低", "供水"),
])  # fmt: skip
def test_a_message_is_told_by_its_words(model: Classifier, title: str, text: str, category: str) -> None:
    assert best(model, title, text) == category


def test_both_scripts_say_the_same(model: Classifier) -> None:
    told = [one.text for one in examples()]
    script = opencc.OpenCC("s2t")
    traditional = [str(script.convert(text)) for text in told]
    titles = [""] * len(told)
    assert np.array_equal(model.probabilities(titles, told), model.probabilities(titles, traditional))


def test_probabilities_are_probabilities_even_of_nothing(model: Classifier) -> None:
    rows = model.probabilities(["", "x", "😀"], ["", "", "𠀀" * 50])
    assert rows.shape == (3, 3) and np.allclose(rows.sum(axis=1), 1) and (rows >= 0).all()


def test_messages_at_once_and_one_by_one_are_told_alike(model: Classifier) -> None:
    some = examples()[::7]
    together = model.probabilities([one.title for one in some], [one.text for one in some])
    alone = [model.probabilities([one.title], [one.text])[0] for one in some]
    assert np.allclose(together, alone, atol=1e-6)


def test_a_model_comes_back_from_its_file_and_is_no_program(model: Classifier, tmp_path: Path) -> None:
    model.save(tmp_path / "m.npz")
    again = load(BytesIO((tmp_path / "m.npz").read_bytes()))
    assert again.about["data"] == "x" and again.categories == model.categories
    assert np.allclose(again.probabilities(["停水"], ["水管"]), model.probabilities(["停水"], ["水管"]))
    for bad in (b"", b"PK\3\4", b"\x80\x04K\x01."):
        (tmp_path / "bad").write_bytes(bad)
        with pytest.raises(WrongModel):
            load(BytesIO((tmp_path / "bad").read_bytes()))


def test_too_few_examples_teach_nothing() -> None:
    for few in (examples()[:30], examples()[:32], []):
        with pytest.raises(TooLittle):
            train(few, {}, lambda *_: None)


def test_two_categories_are_enough() -> None:
    trained = train(examples()[:60], {}, lambda *_: None)
    model, measures = trained.model, trained.measures
    assert best(model, "停水", "") == "供水" and measures.macro_f1 == 1


def test_measures_count_by_hand() -> None:
    probabilities = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.9, 0.1]])
    measures = measured(probabilities, np.array([0, 1, 1, 0]))
    assert (measures.accuracy, measures.top3, measures.messages) == (0.75, 1.0, 4)
    assert measures.macro_f1 == pytest.approx((2 * 2 / (2 * 2 + 1) + 2 / (2 + 1)) / 2)
    assert measures.calibration_error == pytest.approx((0.2 + 0.6 + 0.3 + 0.1) / 4)
