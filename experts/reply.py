"""Answers that are made here, whole, without a server: text -> a completion or a stream that looks like any other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Any

from experts.wire import Call, ChatId, Event, Usage

CountTokens = Callable[[str], int]

_SENTENCE_END = re.compile(r"(?<=[.!?\n]\s)(?=\S)")


def chat_id(expert: str, call: Call) -> ChatId:
    """What the chunks of the answer to `call` share."""
    return ChatId(expert, f"chatcmpl-{call.request_id}")


def texts(body: dict[str, Any], role: str | None = None) -> Iterator[str]:
    """What the messages of a chat body say, of `role` only if one is given; parts other than text are left out."""
    for message in body.get("messages") or ():
        if role is None or message.get("role") == role:
            content = message.get("content")
            parts = content if isinstance(content, list) else [{"text": content}]
            yield "\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def usage(call: Call, answer: str, count_tokens: CountTokens | None) -> Usage:
    """The tokens of the messages and of the answer; zero and from nowhere when there is nothing to count them with."""
    if count_tokens is None:
        return Usage()
    return Usage(sum(map(count_tokens, texts(call.body))), count_tokens(answer), source="tokenizer")


def sentences(text: str) -> list[str]:
    """`text` cut after its sentences; joined they are the text again."""
    return _SENTENCE_END.split(text)


def events(
    chat: ChatId, parts: Iterable[str], usage: Usage, logprobs: Iterable[dict[str, Any] | None] | None = None
) -> list[Event]:
    """A whole stream: the role, each part of the text with its log-probabilities if there are any, finish, usage."""
    told = repeat(None) if logprobs is None else logprobs
    return [
        chat.chunk({"role": "assistant", "content": "", "refusal": None}),
        *(chat.chunk({"content": part}, None, said) for part, said in zip(parts, told, strict=False)),
        chat.chunk({}, "stop"),
        chat.usage(usage),
    ]
