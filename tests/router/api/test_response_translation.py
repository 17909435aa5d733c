"""A request for a response as a chat."""

from __future__ import annotations

from typing import Any

import pytest

from router.api.responses.items import as_items
from router.api.responses.translation import chat_body

TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}


def chat(**body: Any) -> dict[str, Any]:
    return chat_body({"model": "auto", **body}, as_items("hello"))


@pytest.mark.parametrize("parallel", [True, False])
def test_calls_are_parallel_only_where_there_are_tools(parallel: bool) -> None:
    """OpenAI's chat refuses it without, and its own clients send it with every request."""
    assert chat(tools=[TOOL], parallel_tool_calls=parallel)["parallel_tool_calls"] is parallel
    for without in ({}, {"tools": []}):
        assert "parallel_tool_calls" not in chat(parallel_tool_calls=parallel, **without)
    assert "parallel_tool_calls" not in chat(tools=[TOOL])
