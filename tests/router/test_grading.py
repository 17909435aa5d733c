from __future__ import annotations

import pytest

from router.grading import BEST, grade, grading_body, same


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ("7", 0.7),
        (" 10\n", 1.0),
        ("0", 0.0),
        ("8/10", 0.8),
        ("Grade: 9.", 0.9),
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
    body = grading_body([{"role": "user", "content": "a" * 20_000}, {"role": "user", "content": parts}], "b" * 20_000)
    shown = body["messages"][1]["content"]
    assert "And in French?" in shown
    assert len(shown) < 13_000
    assert shown.endswith(f"GRADE (0 to {BEST}):")


def test_nothing_asked_is_gradable_too() -> None:
    assert "ANSWER\nx" in grading_body([{"role": "user", "content": None}], "x")["messages"][1]["content"]


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [("Billing_Refund", "billing_refund", True), ("yes.", " yes ", True), ("yes", "no", False), ("", "", True)],
)
def test_same_looks_past_case_space_and_a_full_stop(one: str, other: str, wanted: bool) -> None:
    assert same(one, other) is wanted
