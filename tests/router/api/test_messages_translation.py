"""A conversation in Anthropic's words as a chat."""

from __future__ import annotations

from typing import Any

import pytest

from router.api.errors import ApiError
from router.api.messages.translation import chat_body
from tests.steps import steps

Body = dict[str, Any]


def calls(*names: str) -> Body:
    content = [{"type": "tool_use", "id": name, "name": "f", "input": {}} for name in names]
    return {"role": "assistant", "content": content}


def results(*names: str) -> Body:
    content = [{"type": "tool_result", "tool_use_id": name, "content": "x"} for name in names]
    return {"role": "user", "content": content}


def chat(*turns: Body) -> list[Body]:
    told: list[Body] = chat_body({"model": "auto", "messages": list(turns)})["messages"]
    return told


def test_four_times_the_turns_are_four_times_the_work() -> None:
    """It was sixteen times: of 2,047 turns it took half a second."""

    def work(turns: int) -> int:
        return steps(lambda: chat(*[calls("a", "b"), results("a", "b")] * turns))

    assert work(128) < 5 * work(32)


def test_results_belong_to_the_turn_before() -> None:
    assert [message["role"] for message in chat(calls("a", "b"), results("b", "a"))] == ["assistant", "tool", "tool"]
    hello = {"role": "user", "content": "hello"}
    for turns, at, said in [
        ([calls("a"), hello], 1, "'tool_use' ids were found without 'tool_result' blocks: a"),
        ([calls("a"), results("a"), results("a")], 2, "unexpected 'tool_use_id' in 'tool_result' blocks: a"),
        ([calls("a"), results("a"), hello, results("a")], 3, "unexpected 'tool_use_id'"),
        ([calls("a", "b"), results("a"), hello], 2, "'tool_use' ids were found without 'tool_result' blocks: b"),
    ]:
        with pytest.raises(ApiError, match=rf"messages\[{at}\]: {said}"):
            chat(*turns)


@pytest.mark.parametrize("strict", [True, False, None])
def test_a_tool_is_as_strict_as_its_client_says(strict: bool | None) -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    tool = {"name": "f", "input_schema": schema} | ({} if strict is None else {"strict": strict})
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], "tools": [tool]}
    (told,) = chat_body(body)["tools"]
    assert told["function"] == {"name": "f", "parameters": schema} | ({} if strict is None else {"strict": strict})
