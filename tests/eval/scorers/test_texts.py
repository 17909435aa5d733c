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
        ("The answer is 5", "-5", 0),
        ("The answer is -5", "5", 0),
        ("The answer is \u22125.", "-5", 1),
        ("It is -5 °C", "-5", 1),
        ("x=-5", "-5", 1),
        ("It is +5", "5", 1),
        ("-$5", "5", 0),
        ("from 3-5 km", "5", 1),  # no sign, but a range
        ("a 5-year-old", "5", 1),
        ("It is 5.", "5", 1),
        ("(5)", "5", 1),
        ("5, of course", "5", 1),
        ("**5**", "5", 1),
        ("5%", "5", 1),
        ("costs 5.50", "5", 0),
        ("costs 5.50", "50", 0),
        ("costs $5.50, I think", "5.50", 1),
        ("kostet 5,50", "5", 0),
        ("costs .50", "50", 0),
        ("see p.5", "5", 1),
        ("It has 50,000 people", "50", 0),
        ("It has 50,000 people", "50000", 1),
        ("It has 50000 people", "50,000", 1),
        ("$1,500", "1", 0),
        ("$1,500", "$1,500", 1),
        ("they are 1,2,3", "2", 1),
        ("12:30", "12", 1),
        ("5.5km", "5", 0),
        ("5km", "5", 0),
        ("5km", "5km", 1),
        ("version 2.0.1", "0", 0),
        ("共5个", "5", 1),
        ("共-5个", "-5", 1),
        ("I like C", "C++", 0),
        ("I like C++", "C", 0),
        ("I like C++, and Java", "c++", 1),
        ("C# or Java?", "C#", 1),
        ("C# or Java?", "C", 0),
        ("x+y", "y", 1),
        ("a well-known cat", "known cat", 1),
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
