"""The calls of a stream as servers write them, as OpenAI's client puts them together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from tests.experts.lab import Lab, check_stream, events, open_lab
from tests.upstream import USAGE, chunk, event

Call = dict[str, Any]


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab() as lab:
        yield lab


def part(arguments: str, index: int | None = 0, **more: Any) -> Call:
    name = {"name": more.pop("name")} if "name" in more else {}
    number = {} if index is None else {"index": index}
    return {**number, **more, "function": {**name, "arguments": arguments}}


def first(arguments: str, index: int | None = 0, identity: str | None = "a", name: str = "f") -> Call:
    return part(arguments, index, id=identity, type="function", name=name)


STREAMS: dict[str, tuple[list[list[Call]], list[tuple[str, str]]]] = {
    "in turns": (
        [[first("", 0), first("", 1, "b")], [part("{0}", 0)], [part("{1}", 1)]],
        [("a", "{0}"), ("b", "{1}")],
    ),
    "the head again": ([[first("{")], [first("}")]], [("a", "{}")]),
    "an empty head again": ([[first("{")], [part("}", id="", name="")]], [("a", "{}")]),
    "an id for every part": ([[first("{")], [part("}", id="other")]], [("a", "{}")]),
    "one number for all": (
        [[first("{0}")], [first("{", identity="b")], [part("}")], [first("{}", 1, "c")]],
        [("a", "{0}"), ("b", "{}"), ("c", "{}")],
    ),
    "no number": ([[first("{0}", None)], [first("{", None, "b")], [part("}", None)]], [("a", "{0}"), ("b", "{}")]),
    "no number and no id": (
        [[first("{0}", None, None)], [first("{", None, None)], [part("}", None)]],
        [("call_", "{0}"), ("call_", "{}")],
    ),
    "no id": ([[first("{0}", 0, None)], [first("{", 1, "")], [part("}", 1)]], [("call_", "{0}"), ("call_", "{}")]),
}


@pytest.mark.parametrize("name", STREAMS)
async def test_calls_are_put_together_as_they_were_meant(lab: Lab, name: str) -> None:
    parts, wanted = STREAMS[name]
    stream = await events(lab.streams(*streamed(parts)))
    check_stream(stream)
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for each in stream:
        state.handle_chunk(ChatCompletionChunk.model_validate(each.chunk))
    calls = state.get_final_completion().choices[0].message.tool_calls or []
    assert [(call.function.name, call.function.arguments) for call in calls] == [("f", said) for _, said in wanted]
    ids = [call.id for call in calls]
    assert len({*ids}) == len(ids)
    for identity, (known, _) in zip(ids, wanted, strict=True):
        assert identity == known or (known == "call_" and len(identity) == len("call_") + 32)


async def test_a_name_in_pieces_stays_one(lab: Lab) -> None:
    pieces = [[first("", name="get_")], [part("", name="weather")], [part("{}")]]
    stream = await events(lab.streams(*streamed(pieces)))
    told = [call["function"].get("name") for each in stream for call in calls_in(each.chunk)]
    assert told == ["get_", "weather", None]


@pytest.mark.parametrize(("calls", "finish"), [([[first("{}")]], "tool_calls"), ([], "stop")])
async def test_a_stream_that_does_not_say_why_it_ended_ends_as_what_it_said(
    lab: Lab, calls: list[list[Call]], finish: str
) -> None:
    stream = await events(lab.streams(*streamed(calls, None)))
    assert [choice["finish_reason"] for each in stream for choice in each.chunk["choices"]][-1] == finish


def streamed(parts: list[list[Call]], finish: str | None = "tool_calls") -> list[bytes]:
    """A stream that makes `parts` of calls, an event each, after one that says the role."""
    deltas: list[dict[str, Any]] = [{"role": "assistant"}, *({"tool_calls": calls} for calls in parts)]
    chunks = [chunk(delta, model="parts") for delta in deltas]
    chunks += [chunk({}, finish, model="parts")] if finish else []
    chunks.append({**chunk({}, model="parts"), "choices": [], "usage": USAGE})
    return [*map(event, chunks), b"data: [DONE]\n\n"]


def calls_in(chunk: dict[str, Any]) -> list[Call]:
    return [call for choice in chunk["choices"] for call in choice["delta"].get("tool_calls") or ()]
