from __future__ import annotations

import pytest

from router.grading import BEST, MOST_TOKENS, grade, grading_bodies, same


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ("7", 0.7),
        (" 10\n", 1.0),
        ("0", 0.0),
        ("8/10", 0.8),
        ("Grade: 9.", 0.9),
        ("<think>3 points of 5 are right, so 6 or 7.</think>\n\n7", 0.7),
        ("11", None),
        ("7.5", None),
        ("between 6 and 8", None),
        ("2025", None),
        ("good", None),
        ("", None),
    ],
)
def test_a_grade_is_one_whole_number(reply: str, wanted: float | None) -> None:
    assert grade(reply) == wanted


def test_the_grader_reads_the_request_and_the_answer_and_only_their_ends() -> None:
    parts = [{"type": "text", "text": "And in French?"}, {"type": "image_url", "image_url": {"url": "x"}}]
    asked = [{"role": "user", "content": "a" * 20_000}, {"role": "user", "content": parts}]
    body, _ = grading_bodies(asked, "b" * 20_000, 128_000)
    shown = body["messages"][1]["content"]
    assert "And in French?" in shown
    assert len(shown) < 13_000
    assert shown.endswith(f"GRADE (0 to {BEST}):")


def test_nothing_asked_is_gradable_too() -> None:
    body, _ = grading_bodies([{"role": "user", "content": None}], "x", 128_000)
    assert "ANSWER\nx" in body["messages"][1]["content"]


def test_a_grader_has_room_to_think_and_is_asked_in_other_words_where_it_refuses() -> None:
    asked = [{"role": "user", "content": "a" * 300}]
    first, then = grading_bodies(asked, "x", 128_000)
    assert (first["max_tokens"], first["temperature"]) == (MOST_TOKENS, 0)
    assert then == {"messages": first["messages"], "max_completion_tokens": MOST_TOKENS}
    first, then = grading_bodies(asked, "x", MOST_TOKENS + 100)
    assert first == {"messages": first["messages"], "temperature": 0}, "a limit that its context has no room for"
    assert then == {"messages": first["messages"]}


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [("Billing_Refund", "billing_refund", True), ("yes.", " yes ", True), ("yes", "no", False), ("", "", True)],
)
def test_same_looks_past_case_space_and_a_full_stop(one: str, other: str, wanted: bool) -> None:
    assert same(one, other) is wanted
