from __future__ import annotations

import pytest

from eval.scorers.rubric import mark_of


@pytest.mark.parametrize(
    ("reply", "mark"),
    [
        ("7", 0.7),
        ("10", 1.0),
        ("0", 0.0),
        (" 8/10.", 0.8),
        ("8 out of 10", 0.8),
        ("MARK (0 to 10): 7", 0.7),  # the prompt's last words, said again
        ("Mark (0-10): **9**", 0.9),
        ("On a scale from 0 to 10, I give 9", 0.9),
        ("7.5", None),
        ("7,5", None),
        ("-3", None),
        ("\u22123", None),
        ("11", None),
        ("1,000", None),
        ("4/5", None),  # of another scale
        ("version 2.0.1", None),
        ("It is fine.", None),
        ("", None),
    ],
)
def test_a_mark_is_read_only_where_it_stands(reply: str, mark: float | None) -> None:
    assert mark_of(reply) == mark
