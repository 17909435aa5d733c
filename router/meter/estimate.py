"""How many tokens an answer has whose upstream counts none, by its characters and its events. Pure.

A token is `USUAL_CHARS_PER_TOKEN` characters of whatever a model wrote: words, refusal, reasoning, and the names and
arguments of calls. Of a stream it is an event that says something, which is what a token is on nearly every server; one
that says more than any token does, a whole call for one, is taken by its characters too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from experts.wire import Event, Events
from router.request import USUAL_CHARS_PER_TOKEN

LONGEST_TOKEN: Final = 32
"""Characters; hardly a vocabulary has longer ones, blanks apart."""

REASONING: Final = ("reasoning_content", "reasoning")
"""What servers call it; who says both says the same twice."""

CALL: Final = ("name", "arguments")
"""What a model writes of a call; the rest is the server's."""


def characters(said: Mapping[str, Any]) -> int:
    """How much a message, or a delta of one, says. What is no text where text belongs counts nothing."""
    reasoning = max(_length(said.get(name)) for name in REASONING)
    calls = said.get("tool_calls")
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    functions.append(said.get("function_call"))
    called = sum(_length(each.get(part)) for each in functions if isinstance(each, dict) for part in CALL)
    return _length(said.get("content")) + _length(said.get("refusal")) + reasoning + called


def says(event: Event) -> bool:
    """Whether an event says more than who speaks, why it ended and what it took. One that cannot be read may."""
    try:
        return any(
            value for choice in event.chunk["choices"] for name, value in choice["delta"].items() if name != "role"
        )
    except (AttributeError, LookupError, TypeError, ValueError):
        return True


def begins(event: Event) -> bool:
    """Whether an answer has begun with this event: it says something, or that there was nothing to say."""
    return event.usage is not None or says(event) or any(map(_finish, event.chunk["choices"]))


class StreamedTokens:
    """Counts those of one stream. Only events longer than its others are read, for reading each costs every stream."""

    __slots__ = ("_bare",)

    def __init__(self) -> None:
        self._bare = 0
        """Bytes of an event that says nothing, as far as is known; 0 before the first."""

    def of(self, events: Events) -> int:
        """Tokens in these events, each of which says something as far as is known: at least one in each."""
        found = len(events)
        for event in events:
            size = len(event.raw)
            if size > self._bare + LONGEST_TOKEN:
                said = _said(event)
                self._bare = min(self._bare or size, size - said)
                if said > LONGEST_TOKEN:
                    found += said // USUAL_CHARS_PER_TOKEN - 1
        return found


def _said(event: Event) -> int:
    """Characters in an event; none in one that cannot be read, which went by unread."""
    try:
        choices = event.chunk.get("choices")
    except (orjson.JSONDecodeError, TypeError, ValueError):
        return 0
    choices = choices if isinstance(choices, list) else []
    deltas = [choice.get("delta") for choice in choices if isinstance(choice, dict)]
    return sum(characters(delta) for delta in deltas if isinstance(delta, dict))


def _finish(choice: dict[str, Any]) -> object:
    return choice.get("finish_reason")


def _length(text: object) -> int:
    return len(text) if isinstance(text, str) else 0
