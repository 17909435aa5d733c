"""What is told of an upstream's own words."""

from __future__ import annotations

import pytest

from experts.http.refusal import MAX_MESSAGE_CHARS, READ_CHARS, redact

KEY = "k" * 4000


@pytest.mark.parametrize("before", [0, 1, 2, 3, 4])
def test_of_a_key_that_a_long_message_is_cut_in_nothing_is_told(before: int) -> None:
    """Keys that are told as one word each make room for what stands at the cut."""
    told = redact(f"{KEY} " * before + "x" * before + f" {KEY}" * (READ_CHARS // 1000), KEY)
    assert "kk" not in told
    assert len(told) <= MAX_MESSAGE_CHARS


def test_of_a_message_without_an_end_the_beginning_is_told() -> None:
    told = redact("no such model, " * 1_000_000)
    assert told.startswith("no such model, no such") and len(told) == MAX_MESSAGE_CHARS
    assert redact("x" * 1_000_000) == "…"
