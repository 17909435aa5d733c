from __future__ import annotations

from router.learn.preamble import FEWEST, MOST, preamble

ASKED = [f"{word} is asked of {word}" for word in ("one", "two", "3", "four", "five", "six", "7", "8", "nine", "ten")]


def test_what_all_texts_begin_and_end_with_is_told_with_its_length_and_the_remedy() -> None:
    said = preamble("o.jsonl", ["x" * 1600 + each + "!" * 300 for each in ASKED]) or ""
    told = "o.jsonl: all 10 texts begin with the same 1,600 and end with the same 300 characters, and"
    assert said.startswith(told) and "Remedy: leave these out" in said
    assert "texts begin with the same 1,600 characters" in (preamble("o", ["x" * 1600 + each for each in ASKED]) or "")
    assert "texts end with the same 1,600 characters" in (preamble("o", [each + "x" * 1600 for each in ASKED]) or "")


def test_little_in_common_and_few_texts_are_no_preamble() -> None:
    assert preamble("o", ["x" * MOST + each for each in ASKED]) is None
    assert preamble("o", ["x" * (MOST + 1) + each for each in ASKED]) is not None
    assert preamble("o", ["x" * 1600 + each for each in ASKED[: FEWEST - 1]]) is None
    assert preamble("o", ["x" * 1600] * FEWEST) is None
    assert preamble("o", []) is None


def test_what_is_at_both_ends_of_the_shortest_is_counted_once() -> None:
    said = preamble("o", ["x" * (MOST + 1 + at) for at in range(FEWEST)]) or ""
    assert "begin with the same 201 characters" in said
