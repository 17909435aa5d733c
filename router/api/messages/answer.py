"""What was said in the chat inside, as Anthropic's message: whole, or as the events of a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from experts.wire import Event, choices_of
from router.api.deltas import Arguments, CallBegun, Delta, Deltas, Finished, Refusal, Text, Used
from router.meter.receipt import Receipt

Body = dict[str, Any]

_REASONS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def message_id(request_id: str) -> str:
    """The id of the message that answers a request."""
    return f"msg_{request_id}"


def message(request_id: str, chat: Body, receipt: Receipt) -> Body:
    """A whole chat completion as a message."""
    choice = chat["choices"][0]
    said = choice["message"]
    content: list[Body] = []
    if text := said.get("content") or said.get("refusal"):
        content.append({"type": "text", "text": text})
    for call in said.get("tool_calls") or ():
        function = call["function"]
        block = {"type": "tool_use", "id": call["id"], "name": function["name"], "input": _input(function["arguments"])}
        content.append(block)
    return {
        "id": message_id(request_id),
        "type": "message",
        "role": "assistant",
        "model": chat["model"],
        "content": content,
        **_ending(choice["finish_reason"], choice.get("stop_reason"), _instead(said)),
        "usage": usage(chat["usage"]),
        "shoal": receipt.to_json(),
    }


def _input(arguments: str) -> Any:
    """A call's arguments as the object they should be; what is none is told as it came."""
    try:
        found = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        return {"arguments": arguments}
    return found if isinstance(found, dict) else {"arguments": found}


def _instead(said: Body) -> str | None:
    """Why an answer with a call or a refusal ended, whatever its server says; None of one with neither."""
    if said.get("tool_calls"):
        return "tool_use"
    return "refusal" if said.get("refusal") else None


def _ending(finish: str | None, stop: object, instead: str | None) -> Body:
    """Why the answer ended.

    OpenAI says "stop" of a refusal, and some servers of calls too, as OpenAI's of one it was told to make. Anthropic's
    clients run tools only after `tool_use`, and what they were to parse is none after `refusal`.
    """
    if finish == "stop" and isinstance(stop, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": stop}
    reason = _REASONS.get(finish or "stop", "end_turn")
    return {"stop_reason": instead or reason if reason == "end_turn" else reason, "stop_sequence": None}


def usage(told: Body) -> Body:
    """OpenAI's usage in Anthropic's words, which count apart what a cache gave and what it took."""
    details = told.get("prompt_tokens_details") or {}
    cached, written = details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0
    return {
        "input_tokens": told["prompt_tokens"] - cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": told["completion_tokens"],
        "service_tier": "standard",
    }


class MessageStream:
    """Says a streamed answer as Anthropic's events."""

    def __init__(self, request_id: str) -> None:
        self._id = message_id(request_id)
        self._expert = ""
        self._deltas = Deltas()
        self._index = -1
        self._open: str | None = None
        """The type of the block that is being said."""
        self._instead: str | None = None
        """As `_instead` says of a whole answer."""
        self._finish: str | None = None
        self._stop: object = None
        self._usage: Body | None = None

    def begin(self, model: str) -> bytes:
        """The first event. Tokens are counted when the answer has ended, and told then."""
        self._expert = model
        head = {"id": self._id, "type": "message", "role": "assistant", "model": model, "content": []}
        nothing = {"prompt_tokens": 0, "completion_tokens": 0}
        told = {**head, "stop_reason": None, "stop_sequence": None, "usage": usage(nothing)}
        return _event("message_start", message=told)

    def say(self, events: Iterable[Event]) -> bytes:
        """Events of the chat inside, as events of the message."""
        heard = list(events)
        for event in heard:
            for choice in () if event.plain else choices_of(event, self._expert):
                self._stop = choice.get("stop_reason") or self._stop
        return b"".join([said for delta in self._deltas.read(heard, self._expert) for said in self._of(delta)])

    def end(self, receipt: Receipt) -> bytes:
        """The last events."""
        told = {
            "delta": _ending(self._finish, self._stop, self._instead),
            "usage": usage(self._usage) if self._usage else None,
        }
        last = _event("message_delta", **told, shoal=receipt.to_json()) + _event("message_stop")
        return b"".join(self._close()) + last

    def _of(self, delta: Delta) -> Iterator[bytes]:
        match delta:
            case Text(text, _) | Refusal(text):
                if isinstance(delta, Refusal):
                    self._instead = self._instead or "refusal"
                if self._open != "text":
                    yield from self._begin_block({"type": "text", "text": ""})
                yield self._delta({"type": "text_delta", "text": text})
            case CallBegun(_, identity, name):
                self._instead = "tool_use"
                yield from self._begin_block({"type": "tool_use", "id": identity, "name": name, "input": {}})
            case Arguments(_, text):
                yield self._delta({"type": "input_json_delta", "partial_json": text})
            case Finished(reason):
                self._finish = reason
            case Used(told):
                self._usage = told

    def _begin_block(self, block: Body) -> Iterator[bytes]:
        yield from self._close()
        self._index += 1
        self._open = block["type"]
        yield _event("content_block_start", index=self._index, content_block=block)

    def _delta(self, delta: Body) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)

    def _close(self) -> Iterator[bytes]:
        if self._open is not None:
            self._open = None
            yield _event("content_block_stop", index=self._index)


def _event(kind: str, **said: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **said}))
