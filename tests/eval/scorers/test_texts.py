from __future__ import annotations

import pytest

from eval.scorers.exact import exact
from eval.scorers.includes import includes
from eval.scorers.overlap import coverage, f1


@pytest.mark.parametrize(
    ("answer", "target", "score"),
    [
        ("  Paris. ", "paris", 1),
        ('"Paris"', "Paris", 1),
        ("Paris, France", "Paris", 0),
        ("", "Paris", 0),
        ("lyon", ["Paris", "Lyon"], 1),
        ("\uff30ARIS", "paris", 1),
        ("a  b\nc", "a b c", 1),
        ("`?`", "!", 0),  # signs that are all of the text
        ("", "?", 0),
        ("?", "?", 1),
    ],
)
def test_exact_wants_the_whole_answer(answer: str, target: str | list[str], score: float) -> None:
    assert exact(answer, target) == score


@pytest.mark.parametrize(
    ("answer", "target", "score"),
    [
        ("The capital is Paris, of course.", "paris", 1),
        ("concatenate", "cat", 0),
        ("the cat sat", "cat", 1),
        ("New\nYork", "new york", 1),
        ("York is new", "new york", 0),
        ("1256", "25", 0),
        ("anything", "", 0),
        ("in Lyon", ["Paris", "Lyon"], 1),
        ("I don't know", "don't", 1),
        ("首都は東京です。", "東京", 1),  # no spaces between words
        ("首都は京都です。", "東京", 0),
        ("答案是Paris吧", "paris", 1),
    ],
)
def test_includes_wants_whole_words_in_order(answer: str, target: str | list[str], score: float) -> None:
    assert includes(answer, target) == score


@pytest.mark.parametrize(
    ("answer", "target", "score"),
    [
        ("the seats", "seats", 1),
        ("racing seats", "seats", 2 / 3),
        ("no idea", "seats", 0),
        ("", "seats", 0),
        ("blue blue blue", "blue", 0.5),
        ("March 9, 2018", ["9 March 2018", "never"], 1),
    ],
)
def test_f1_weighs_what_is_said_against_what_is_wanted(answer: str, target: str | list[str], score: float) -> None:
    assert f1(answer, target) == pytest.approx(score)


@pytest.mark.parametrize(
    ("answer", "target", "score"),
    [
        ("Two dogs were running to catch it.", "dog, run, catch, frisbee", 0.75),
        ("She dances while he wades.", "dance, wade", 1),
        ("catalogue", "cat", 0),
        ("", "dog", 0),
        ("anything", "", 0),
    ],
)
def test_coverage_counts_the_words_used_in_any_form(answer: str, target: str, score: float) -> None:
    assert coverage(answer, target) == pytest.approx(score)
