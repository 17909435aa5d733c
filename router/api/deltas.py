"""The events of a streamed chat, read: what surfaces that word them otherwise need to know. One choice only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from experts.wire import Event, call_id, choices_of


@dataclass(frozen=True, slots=True)
class Text:
    """More of the answer's text."""

    text: str
    logprobs: list[dict[str, Any]]
    """Of its tokens, for those who asked."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """More of what is said instead of an answer."""

    text: str


@dataclass(frozen=True, slots=True)
class CallBegun:
    """A tool is going to be called."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Arguments:
    """More of the arguments of the call `index`."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Why the answer ended: stop, length, tool_calls, content_filter."""

    reason: str


@dataclass(frozen=True, slots=True)
class Used:
    """OpenAI's `usage` object, of the event that closes the stream."""

    usage: dict[str, Any]


Delta = Text | Refusal | CallBegun | Arguments | Finished | Used


def deltas(events: Iterable[Event], expert: str) -> Iterator[Delta]:
    """What the events of `expert` say, in order. Raises ExpertFailed where they are none."""
    for event in events:
        for choice in choices_of(event, expert):
            yield from _of_choice(choice)
        if event.usage is not None:  # what an upstream may say of it before is not looked at by anybody
            yield Used(event.chunk["usage"])


def _of_choice(choice: dict[str, Any]) -> Iterator[Delta]:
    delta = choice["delta"]
    if content := delta.get("content"):
        yield Text(content, (choice.get("logprobs") or {}).get("content") or [])
    if refusal := delta.get("refusal"):
        yield Refusal(refusal)
    for call in delta.get("tool_calls") or ():
        function = call.get("function") or {}
        if call.get("id") or function.get("name"):
            yield CallBegun(call.get("index", 0), str(call.get("id") or call_id()), str(function.get("name") or ""))
        if arguments := function.get("arguments"):
            yield Arguments(call.get("index", 0), arguments)
    if reason := choice.get("finish_reason"):
        yield Finished(reason)
