from __future__ import annotations

from typing import Any

import pytest

from eval.scorers.fields import TRIED, json_fields

WANTED = {"name": "Ada", "age": 36, "member": True}


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ('{"name": "Ada", "age": 36, "member": true}', 1),
        ('```json\n{"name": " ada ", "age": 36.0, "member": true, "more": 1}\n```', 1),
        ('Sure! {"name": "Ada", "age": 36, "member": 1} Anything else?', 2 / 3),  # 1 is not true
        ('{"name": "Ada", "age": "36", "member": true}', 2 / 3),  # a text is no number
        ('{"name": "Eve"} or {"name": "Ada", "age": 36, "member": true}', 1),
        ('{"person": {"name": "Ada", "age": 36, "member": true}}', 0),
        ('{"name": "Ada", "age": 36', 0),
        ("{" * 100_000, 0),
        ("[]", 0),
        ("", 0),
    ],
)
def test_json_fields_gives_the_share_that_is_right(answer: str, score: float) -> None:
    assert json_fields(answer, WANTED) == pytest.approx(score)


@pytest.mark.parametrize(
    ("answer", "target", "score"),
    [
        ('{"a": [1, "X"]}', {"a": [1.0, "x"]}, 1),
        ('{"a": [1]}', {"a": [1, 2]}, 0),
        ('{"a": {"b": null}}', {"a": {"b": None}}, 1),
        ('{"a": {"b": null, "c": 1}}', {"a": {"b": None}}, 0),
        ('{"a": 1}', {}, 0),
        (f'{{"a": {"1" * 400}}}', {"a": 1}, 0),  # a number that a float does not hold
        (f'{{"a": {"1" * 400}}}', {"a": int("1" * 400)}, 1),
    ],
)
def test_lists_and_objects_are_compared_whole(answer: str, target: dict[str, Any], score: float) -> None:
    assert json_fields(answer, target) == score


@pytest.mark.parametrize("opened", ['{"a":', "{"])
def test_of_an_answer_that_opens_objects_without_end_only_so_many_are_tried(opened: str) -> None:
    """A model that repeats itself: 100,000 of the first took 83 s, for each is tried as deep as Python goes."""
    assert json_fields(opened * (TRIED - 1) + ' {"a": 1}', {"a": 1}) == 1
    assert json_fields(opened * TRIED + ' {"a": 1}', {"a": 1}) == 0
