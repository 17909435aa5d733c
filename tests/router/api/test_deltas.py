"""What is read from a stream's events, and what is not taken for text."""

from __future__ import annotations

from typing import Any

import pytest

from experts.errors import ExpertFailed
from experts.wire import Event
from router.api.deltas import Arguments, CallBegun, Text, deltas


def event(**delta: Any) -> Event:
    return Event.of({"model": "far", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


def call(arguments: object) -> dict[str, Any]:
    return {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}


def test_text_and_calls_are_read() -> None:
    told = list(deltas([event(content="Hi"), event(tool_calls=[call("{}")])], "far"))
    assert told == [Text("Hi", []), CallBegun(0, "c", "f"), Arguments(0, "{}")]


def test_calls_without_ids_get_one_each() -> None:
    unnamed = {**call("{}"), "id": ""}
    begun = list(deltas([event(tool_calls=[unnamed]), event(tool_calls=[unnamed])], "far"))
    first, second = (told.id for told in begun if isinstance(told, CallBegun))
    assert first.startswith("call_") and second.startswith("call_") and first != second


@pytest.mark.parametrize(
    "delta", [{"content": [{"type": "text", "text": "Hi"}]}, {"refusal": 7}, {"tool_calls": [call({"city": "Paris"})]}]
)
def test_what_is_no_text_is_the_experts_fault(delta: dict[str, Any]) -> None:
    with pytest.raises(ExpertFailed, match=r"no chat\.completion\.chunk") as failed:
        list(deltas([event(**delta)], "far"))
    assert failed.value.expert == "far"
