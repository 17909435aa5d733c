"""Whether an encoder pays: what is gained, what is harmed, and that no text is encoded twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from experts.factory.encoder_check import Checked, EncodeAll, check, harm, remembering
from experts.factory.gains import judged
from experts.factory.lessons import Lessons
from tests.experts.factory.toys import TOPICS


def test_what_was_harmed_is_named() -> None:
    rows = {"a": 1000, "g": 1000}
    plain = Checked({"a": 0.90}, rows, {"a": 0.95}, {"g": 0.80}, 1.0)
    better = Checked({"a": 0.92}, rows, {"a": 0.96}, {"g": 0.798}, 0.9)
    assert harm(plain, better) == []
    worse = Checked({"a": 0.99}, rows, {"a": 0.99}, {"g": 0.79}, 0.9)
    assert harm(plain, worse) == ["accuracy with few examples on g 80.00% -> 79.00%"]


@pytest.mark.parametrize("rows", [30, 100, 333])
def test_one_row_of_few_is_no_harm_and_two_are(rows: int) -> None:
    def guarded(right: float) -> Checked:
        return Checked({"a": 0.9}, {"a": 1000, "g": rows}, {}, {"g": right / rows})

    plain, names = guarded(rows - 3), ["accuracy with few examples on g"]
    assert harm(plain, guarded(rows - 4)) == []
    assert [each.rsplit(" ", 3)[0] for each in harm(plain, guarded(rows - 5))] == names
    assert [each.rsplit(" ", 3)[0] for each in harm(plain, guarded(rows - 4.2))] == names, "one draw of five more"


def test_one_row_of_a_few_trained_for_is_no_harm_either() -> None:
    plain, tuned = (Checked({"a": right / 40}, {"a": 40}) for right in (30, 29))
    assert harm(plain, tuned) == [] and harm(plain, Checked({"a": 28 / 40}, {"a": 40}))


def spell(texts: list[str]) -> np.ndarray:
    """Vectors by the letters of a text: an encoder that needs no weights."""
    counts = np.array([[text.count(chr(97 + n)) + 0.01 for n in range(26)] for text in texts], np.float32)
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_a_text_is_encoded_once() -> None:
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> np.ndarray:
        asked.extend(texts)
        return spell(list(texts))

    memory = remembering(encode)
    np.testing.assert_array_equal(memory(["one", "two", "one"]), spell(["one", "two", "one"]))
    np.testing.assert_array_equal(memory(["two", "three"]), spell(["two", "three"]))
    assert asked == ["one", "two", "three"]


def test_an_encoder_that_tells_labels_apart_checks_better() -> None:
    labels = np.repeat(list(TOPICS), 12)
    texts = [f"{TOPICS[label]} {n}" for n, label in enumerate(labels)]
    one = Lessons("one", "0", texts, labels, texts, labels, ["zzzz", "qqqq", "jjjj"])
    general = ["all sorts", "of things"]

    def checked(encode: EncodeAll) -> Checked:
        return check(encode, judged(encode, [one]).checked(), [one], general, spell(general))

    good, blind = checked(spell), checked(lambda texts: spell(["same"] * len(texts)))
    assert good.in_domain == good.guards == {"one": 1.0} and good.outside["one"] > 0.9
    assert good.rows == {"one": 48} == good.to_json()["rows"]
    assert good.general_cosine == pytest.approx(1) and blind.general_cosine < 0.9
    assert blind.in_domain["one"] == pytest.approx(0.25) and blind.outside["one"] == 0.5
    assert len(harm(good, blind)) == 3 and not harm(blind, good)
