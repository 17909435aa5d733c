"""The events of a streamed chat, read: what surfaces that word them otherwise need to know. One choice only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from experts.errors import ExpertFailed
from experts.wire import Event, choices_of


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


Word = Text | Refusal | CallBegun | Arguments
Delta = Word | Finished | Used


class Deltas:
    """What the events of one answer say, each text and each call in one piece.

    A surface cannot go back to a text or a call once another has begun, and a chat can. What comes while the arguments
    of a call are not whole yet waits behind them, to the end of the answer.
    """

    def __init__(self) -> None:
        self._call: int | None = None
        """The call that is being told; None: a text is, or nothing yet."""
        self._arguments: list[str] = []
        """What was told of its arguments."""
        self._waiting: list[list[Word]] = []
        self._calls: dict[int, list[Word]] = {}
        """Those that wait."""

    def read(self, events: Iterable[Event], expert: str) -> Iterator[Delta]:
        """What the next events of `expert` say. Raises ExpertFailed where they are none, or go on with a whole call."""
        for event in events:
            for choice in choices_of(event, expert):
                for word in _words(choice["delta"], choice.get("logprobs")):
                    yield from self._in_turn(word, expert)
                if reason := choice.get("finish_reason"):
                    yield from self._rest()
                    yield Finished(reason)
            if event.usage is not None:  # what an upstream may say of it before is not looked at by anybody
                yield Used(event.chunk["usage"])

    def _in_turn(self, word: Word, expert: str) -> Iterator[Word]:
        if isinstance(word, Arguments):
            if word.index == self._call:
                yield self._told(word)
            elif word.index in self._calls:
                self._calls[word.index].append(word)
            elif word.text.strip():
                raise ExpertFailed(expert, "the upstream went on with the arguments of a call that were whole")
        elif self._waiting or (self._call is not None and not _is_whole("".join(self._arguments))):
            self._wait(word)
        else:
            yield self._told(word)

    def _told(self, word: Word) -> Word:
        if isinstance(word, Arguments):
            self._arguments.append(word.text)
        else:
            self._call, self._arguments = word.index if isinstance(word, CallBegun) else None, []
        return word

    def _wait(self, word: Text | Refusal | CallBegun) -> None:
        if isinstance(word, CallBegun):
            self._calls[word.index] = []
            self._waiting.append(self._calls[word.index])
        elif not self._waiting or type(self._waiting[-1][0]) is not type(word):
            self._waiting.append([])
        self._waiting[-1].append(word)

    def _rest(self) -> Iterator[Word]:
        waiting, self._waiting, self._calls = self._waiting, [], {}
        for words in waiting:
            yield from map(self._told, words)


def _is_whole(arguments: str) -> bool:
    """Whether no more of a call's arguments can come: an object cannot be gone on with."""
    try:
        return isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        return False


def _words(delta: dict[str, Any], logprobs: dict[str, Any] | None) -> Iterator[Word]:
    if content := delta.get("content"):
        yield Text(content, (logprobs or {}).get("content") or [])
    if refusal := delta.get("refusal"):
        yield Refusal(refusal)
    for call in delta.get("tool_calls") or ():
        function = call.get("function") or {}
        if identity := call.get("id"):
            yield CallBegun(call.get("index", 0), str(identity), str(function.get("name") or ""))
        if arguments := function.get("arguments"):
            yield Arguments(call.get("index", 0), arguments)
