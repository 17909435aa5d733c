"""What is said of a wrong body, however much of it is wrong."""

from __future__ import annotations

import pytest

from router.api.chat_schema import ChatBody
from router.api.errors import ApiError
from router.api.validate import Checker

MANY = 60_000
"""Parts whose problems, each held against each, would keep the server busy until this test is ended."""


def test_a_body_of_very_many_wrong_parts_is_refused_like_one_of_two() -> None:
    said = [refusal(number) for number in (2, MANY)]
    assert said[0] == said[1]
    assert "Supported values are" in said[0]


def refusal(number: int) -> str:
    content = [{"type": "bogus", "text": 1}] * number
    with pytest.raises(ApiError) as refused:
        Checker(ChatBody).check({"model": "auto", "messages": [{"role": "user", "content": content}]})
    return refused.value.message
