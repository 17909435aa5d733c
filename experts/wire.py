"""OpenAI wire types shared by every expert: a call, its answer, and the events of a streamed answer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import orjson
from msgspec import Struct, field
from numpy.typing import NDArray

from experts.errors import ExpertFailed

Vector = NDArray[np.float32]
"""A request vector, shape (dimensions,), float32, length 1."""

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to request vectors, shape (texts, dimensions), each of length 1."""

MAX_TOKENS = 2**27
"""A larger count is no count: no prompt and no answer comes near, and a server that says 2**32 - 1 means -1. At the
most joules a token, hundreds of the largest fit the ledger's sums of 64 bits."""

MAX_CHOICES = 128
"""Answers to one call, its prompts times their choices: more are never asked for, and to look at each takes time."""

Prompt = str | Sequence[int]
"""The beginning of a text, as itself or as token ids of the expert's own vocabulary."""

TokenSource = Literal["upstream", "tokenizer", "estimate", "none"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]

DONE = b"data: [DONE]\n\n"


class Call(Struct, frozen=True):
    """One attempt's work. `body` is a validated chat-completion body; an expert never changes it in place."""

    body: dict[str, Any]
    request_id: str
    vector: Vector | None = None
    """The request vector; set for experts that read it (answers, labels)."""
    prompts: Sequence[Prompt] = ()
    """Texts to go on with, instead of messages to answer; choice `n * i + k` is the k-th answer to the i-th."""


class Usage(Struct, frozen=True):
    """Tokens of one attempt. `cached` and `cache_write` are two parts of `input`, `reasoning` is one of `output`.

    Of the source `none` what is 0 was not counted; the other count may be there.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    source: TokenSource = "none"
    cache_write: int = 0
    """Read anew, and written into the upstream's prompt cache."""

    @classmethod
    def from_openai(cls, usage: dict[str, Any]) -> Usage:
        """Read an OpenAI `usage` object; one that lacks a count is of the source `none`.

        Raises AttributeError, OverflowError, TypeError or ValueError when it is none.
        """
        prompt = usage.get("prompt_tokens_details") or {}
        completion = usage.get("completion_tokens_details") or {}
        counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
        asked, said = (int(count or 0) for count in counts)
        cached = int(prompt.get("cached_tokens") or usage.get("cache_read_input_tokens") or 0)
        written = int(prompt.get("cache_write_tokens") or usage.get("cache_creation_input_tokens") or 0)
        reasoning = int(completion.get("reasoning_tokens") or 0)
        # Some count reasoning beside the completion and not in it, xAI for one, and bill both; their total says so.
        if reasoning > 0 and usage.get("total_tokens") == asked + said + reasoning:
            said += reasoning
        # As Anthropic itself counts, so do some who pass its counts on: what its cache gave and took beside the prompt.
        elif cached + written > 0:
            # The total says so, or they are more than the prompt and not given as its details: then they are no part.
            apart = not (prompt.get("cached_tokens") or prompt.get("cache_write_tokens")) and cached + written > asked
            if apart or usage.get("total_tokens") == asked + said + cached + written:
                asked += cached + written
        return cls(asked, said, cached, reasoning, "none" if None in counts else "upstream", written)

    @classmethod
    def read(cls, usage: object) -> Usage:
        """Read what should be an OpenAI `usage` object; when it is none, zero tokens from the source `none`."""
        try:
            found = cls.from_openai(usage) if isinstance(usage, dict) else cls()
        except (AttributeError, OverflowError, TypeError, ValueError):
            return cls()
        counts = (found.input, found.output, found.cached, found.reasoning, found.cache_write)
        if min(counts) < 0 or max(counts) > MAX_TOKENS:
            return cls()
        cached, reasoning = min(found.cached, found.input), min(found.reasoning, found.output)
        written = min(found.cache_write, found.input - cached)
        return cls(found.input, found.output, cached, reasoning, found.source, written)

    def to_openai(self, said: Any = None) -> dict[str, Any]:
        """The OpenAI `usage` object; the total is the sum. Details that `said` holds beside ours are kept."""
        theirs = said if isinstance(said, dict) else {}
        return {
            "prompt_tokens": self.input,
            "completion_tokens": self.output,
            "total_tokens": self.input + self.output,
            "prompt_tokens_details": {
                **_PROMPT, **_details(theirs, "prompt"),
                "cached_tokens": self.cached, "cache_write_tokens": self.cache_write,
            },
            "completion_tokens_details": {
                **_COMPLETION, **_details(theirs, "completion"), "reasoning_tokens": self.reasoning,
            },
        }  # fmt: skip


_PROMPT = {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0}
_COMPLETION = {
    "reasoning_tokens": 0,
    "audio_tokens": 0,
    "accepted_prediction_tokens": 0,
    "rejected_prediction_tokens": 0,
}


def _details(usage: dict[str, Any], of: str) -> dict[str, Any]:
    found = usage.get(f"{of}_tokens_details")
    return found if isinstance(found, dict) else {}


class Completion(Struct):
    """A whole answer: `body` is an OpenAI chat.completion with at least one choice."""

    body: dict[str, Any]
    usage: Usage

    @property
    def text(self) -> str:
        """What the first choice says in words."""
        return self.body["choices"][0]["message"].get("content") or ""


class Event:
    """One event of a streamed answer: its bytes as they will be sent, its meaning read only when asked for."""

    __slots__ = ("_chunk", "_plain", "raw", "usage")

    def __init__(self, raw: bytes, usage: Usage | None = None, plain: bool | None = None) -> None:
        self.raw = raw
        """`data: {...}\\n\\n`; never the [DONE] event, which the surface writes itself."""
        self.usage = usage
        """Set on the event that closes a stream, and only there: its tokens and where they were counted."""
        self._plain = plain
        self._chunk: dict[str, Any] | None = None

    @property
    def chunk(self) -> dict[str, Any]:
        """The chat.completion.chunk inside. Raises orjson.JSONDecodeError when it is none."""
        if self._chunk is None:
            self._chunk = dict(orjson.loads(self.raw[6:]))
        return self._chunk

    @property
    def plain(self) -> bool:
        """True when the event surely is a middle one: no finish reason, no usage. Decided on bytes, for speed.

        None of these patterns can occur inside a JSON string, where the quotes would be escaped.
        """
        if self._plain is None:
            raw = self.raw
            self._plain = (
                (b'"finish_reason":null' in raw or b'"finish_reason": null' in raw)
                and b'"finish_reason":"' not in raw
                and b'"finish_reason": "' not in raw
                and b'"prompt_tokens"' not in raw
            )
        return self._plain

    @classmethod
    def of(cls, chunk: dict[str, Any], usage: Usage | None = None) -> Event:
        """An event that says `chunk`."""
        return cls(b"data: " + orjson.dumps(chunk) + b"\n\n", usage)


Events = Sequence[Event]
"""The events that arrived together, in order: one network read's worth, never empty."""


def choices_of(event: Event, expert: str) -> list[dict[str, Any]]:
    """The choices of an event, which on its way here nobody may have read. Raises ExpertFailed where they are none."""
    try:
        choices = event.chunk.get("choices") or []
    except (TypeError, ValueError):  # no JSON, or no object
        choices = None
    if not isinstance(choices, list) or len(choices) > MAX_CHOICES or not all(map(is_streamed, choices)):
        raise ExpertFailed(expert, "the upstream sent an event that is no chat.completion.chunk")
    return choices


def is_streamed(choice: Any) -> bool:
    """Whether it is a choice of a streamed answer: what it says and calls, and what stands around that, is sound."""
    if not isinstance(choice, dict) or not isinstance(choice.get("delta"), dict):
        return False
    delta, calls = choice["delta"], choice["delta"].get("tool_calls")
    return (
        is_framed(choice)
        and isinstance(delta.get("content"), str | None)
        and isinstance(delta.get("refusal"), str | None)
        and (calls is None or (isinstance(calls, list) and all(map(_is_call, calls))))
    )


def _is_call(call: Any) -> bool:
    if not isinstance(call, dict):
        return False
    function = call.get("function")
    return isinstance(call.get("index"), int | None) and (
        function is None or (isinstance(function, dict) and isinstance(function.get("arguments"), str | None))
    )


def is_framed(choice: dict[str, Any]) -> bool:
    """Whether what stands around the words of a choice, whole or streamed, is of the right types."""
    return (
        isinstance(choice.get("index"), int | None)
        and isinstance(choice.get("finish_reason"), str | None)
        and _are_logprobs(choice.get("logprobs"))
    )


def _are_logprobs(told: Any) -> bool:
    if not isinstance(told, dict):
        return told is None
    tokens = told.get("content")
    return tokens is None or (isinstance(tokens, list) and all(map(_is_token, tokens)))


def _is_token(token: Any) -> bool:
    if not isinstance(token, dict) or not isinstance(token.get("token"), str):
        return False
    top = token.get("top_logprobs")
    return isinstance(token.get("logprob"), int | float) and (
        top is None or (isinstance(top, list) and all(map(_is_token, top)))
    )


def call_id() -> str:
    """An id for a tool call whose server gave it none: its result is sent back under it."""
    return f"call_{uuid.uuid4().hex}"


def text_of(events: Events, expert: str) -> str:
    """What the first choice of a streamed answer of `expert` says in words. Raises ExpertFailed where it is none."""
    choices = [choice for event in events for choice in choices_of(event, expert) if not choice.get("index")]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


class ChatId(Struct, frozen=True):
    """What all chunks of an answer made here share."""

    model: str
    id: str
    created: int = field(default_factory=lambda: int(time.time()))

    def completion(self, text: str, usage: Usage, finish: FinishReason = "stop") -> Completion:
        """A whole one-choice answer that says `text`."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        body = {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [choice],
            "usage": usage.to_openai(),
        }
        return Completion(body, usage)

    def chunk(
        self,
        delta: dict[str, Any],
        finish: FinishReason | None = None,
        logprobs: dict[str, Any] | None = None,
        index: int = 0,
    ) -> Event:
        """One streamed delta of the choice `index`."""
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return Event.of({**self._head(), "choices": [choice]})

    def usage(self, usage: Usage) -> Event:
        """The event that closes a stream and carries its usage."""
        return Event.of({**self._head(), "choices": [], "usage": usage.to_openai()}, usage)

    def _head(self) -> dict[str, Any]:
        return {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model}
