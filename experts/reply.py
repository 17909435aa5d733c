"""Answers that are made here, whole, without a server: what is said -> a completion or a stream that looks like any."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

from msgspec import Struct

from experts.wire import Call, ChatId, Completion, Event, FinishReason, Usage

CountTokens = Callable[[str], int]

ARGUMENT_CHARS = 8
"""How a stream cuts the arguments of a tool call."""

_SENTENCE_END = re.compile(r"(?<=[.!?\n]\s)(?=\S)")
_WORD = re.compile(r"\S+\s*|\s+")


class Spoken(Struct, frozen=True):
    """What is said: a text in parts, or calls of tools."""

    parts: Sequence[str]
    finish: FinishReason = "stop"
    logprobs: Sequence[dict[str, Any]] | None = None
    """For every part what OpenAI calls its `logprobs`."""
    calls: Sequence[dict[str, Any]] = ()
    """Each {id, type: function, function: {name, arguments}}; with any, there is no text."""
    stop: str | None = None
    """The stop text that ended it."""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.parts)


def chat_id(expert: str, call: Call) -> ChatId:
    """What the chunks of the answer to `call` share."""
    return ChatId(expert, f"chatcmpl-{call.request_id}")


def choices(call: Call) -> int:
    """How many answers are wanted."""
    return call.body.get("n") or 1


def texts(body: dict[str, Any], role: str | None = None) -> Iterator[str]:
    """What the messages of a chat body say, of `role` only if one is given; parts other than text are left out."""
    for message in body.get("messages") or ():
        if role is None or message.get("role") == role:
            content = message.get("content")
            parts = content if isinstance(content, list) else [{"text": content}]
            yield "\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def usage(call: Call, answer: str, count_tokens: CountTokens | None) -> Usage:
    """The tokens of the messages and of all answers; zero and from nowhere when there is nothing to count them with."""
    if count_tokens is None:
        return Usage()
    asked = [prompt for prompt in call.prompts if isinstance(prompt, str)] or texts(call.body)
    return Usage(sum(map(count_tokens, asked)), choices(call) * count_tokens(answer), source="tokenizer")


def sentences(text: str) -> list[str]:
    """`text` cut after its sentences; joined they are the text again."""
    return _SENTENCE_END.split(text)


def words(text: str) -> list[str]:
    """`text` cut after its words and the blanks that follow them; joined they are the text again."""
    return _WORD.findall(text)


def limited(parts: Sequence[str], call: Call, count_tokens: CountTokens | None) -> Spoken:
    """`parts` as far as the call's `stop` and token limit let them come; joined they are the whole text's beginning."""
    body = call.body
    stops = body.get("stop") or ()
    text = whole = "".join(parts)
    stopped: str | None = None
    for stop in [stops] if isinstance(stops, str) else stops:
        if stop in text:
            text, stopped = text.partition(stop)[0], stop
    finish: FinishReason = "stop"
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    if most and count_tokens is not None and count_tokens(text) > most:
        pieces = words(text)
        fit = bisect.bisect_right(range(len(pieces)), most, key=lambda n: count_tokens("".join(pieces[:n])))
        text, finish, stopped = "".join(pieces[: max(0, fit - 1)]), "length", None
    return Spoken(parts if text == whole else _until(parts, len(text)), finish, stop=stopped)


def _until(parts: Sequence[str], chars: int) -> list[str]:
    kept: list[str] = []
    for part in parts:
        if chars <= 0:
            break
        kept.append(part[:chars])
        chars -= len(part)
    return kept


def completion(chat: ChatId, said: Sequence[Spoken], usage: Usage) -> Completion:
    """A whole answer, a choice for each that is said."""
    answer = chat.completion("", usage)
    answer.body["choices"] = [_choice(one, index) for index, one in enumerate(said)]
    return answer


def _choice(said: Spoken, index: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None}
    if said.calls:
        message |= {"content": None, "tool_calls": list(said.calls)}
    logprobs = None
    if said.logprobs is not None:
        content = [token for told in said.logprobs for token in told["content"]]
        logprobs = {"content": content, "refusal": None}
    choice = {"index": index, "message": message, "logprobs": logprobs, "finish_reason": said.finish}
    return choice | _stopped(said)


def _stopped(said: Spoken) -> dict[str, Any]:
    """The stop text that ended a choice, under the name that vLLM gave it."""
    return {"stop_reason": said.stop} if said.stop is not None else {}


def events(chat: ChatId, said: Sequence[Spoken], usage: Usage) -> list[list[Event]]:
    """A whole stream, in groups that are sent together: roles, a part of each choice, finish reasons and usage."""
    parts = [_deltas(one) for one in said]
    return [
        [chat.chunk(_opening(one), index=index) for index, one in enumerate(said)],
        *(
            [chat.chunk(delta[0], None, delta[1], index) for index, delta in enumerate(group) if delta is not None]
            for group in zip_longest(*parts)
        ),
        [*(_last(chat, one, index) for index, one in enumerate(said)), chat.usage(usage)],
    ]


def _last(chat: ChatId, said: Spoken, index: int) -> Event:
    event = chat.chunk({}, said.finish, index=index)
    if said.stop is None:
        return event
    (choice,) = event.chunk["choices"]
    return Event.of({**event.chunk, "choices": [choice | _stopped(said)]})


def _opening(said: Spoken) -> dict[str, Any]:
    return {"role": "assistant", "content": None if said.calls else "", "refusal": None}


def _deltas(said: Spoken) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """What each chunk of a choice says, and its log-probabilities."""
    if said.calls:
        return [({"tool_calls": [delta]}, None) for delta in _call_deltas(said.calls)]
    told = said.logprobs if said.logprobs is not None else [None] * len(said.parts)
    return [({"content": part}, logprobs) for part, logprobs in zip(said.parts, told, strict=True)]


def _call_deltas(calls: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each call as OpenAI streams it: its head with no arguments, then the arguments in pieces."""
    for index, call in enumerate(calls):
        function = call["function"]
        yield {"index": index, **call, "function": {"name": function["name"], "arguments": ""}}
        arguments = function["arguments"]
        for start in range(0, len(arguments), ARGUMENT_CHARS):
            yield {"index": index, "function": {"arguments": arguments[start : start + ARGUMENT_CHARS]}}
