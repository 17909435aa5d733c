"""The events of a streamed response: every one with its type and a number that only grows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from experts.wire import Event
from router.api.deltas import Arguments, CallBegun, Delta, Deltas, Finished, Refusal, Text, Used
from router.api.errors import ApiError
from router.api.responses.answer import (
    Answer,
    Cut,
    call_item,
    item_status,
    message_item,
    refusal_part,
    text_part,
)

PARTS: Final = {"output_text": ("text", text_part), "refusal": ("refusal", refusal_part)}
"""What each kind of part calls its text, and what makes one."""


def event(kind: str, number: int, said: dict[str, Any]) -> bytes:
    """One event on the wire."""
    told = {"type": kind, "sequence_number": number, **said}
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps(told))


class ResponseStream:
    """Says what becomes of `answer`, and fills it in on the way."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._deltas = Deltas()
        self._number = -1
        self._open: _OpenPart | _OpenCall | None = None

    def begin(self) -> bytes:
        """The first two events."""
        told = self._answer.snapshot()
        return self._event("response.created", response=told) + self._event("response.in_progress", response=told)

    def say(self, events: Iterable[Event]) -> bytes:
        """Events of the chat inside, as events of the response."""
        return b"".join([said for delta in self._deltas.read(events, self._answer.model) for said in self._of(delta)])

    def end(self) -> bytes:
        """The last event; whatever was open is closed before it."""
        closing = b"".join(self._close())
        return closing + self._event(f"response.{self._answer.status}", response=self._answer.snapshot())

    def fail(self, error: ApiError) -> bytes:
        """The end of a stream that broke off: the failed response, then an error that the official clients raise on."""
        told = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
        begun = self.begin() if self._number < 0 else b""  # it may break off before it begins, after signs of life
        self._answer.error = error
        closing = begun + b"".join(self._close())
        failed = closing + self._event("response.failed", response=self._answer.snapshot())
        return failed + self._event("error", **{**told, "type": "error"}, error=told)

    def _of(self, delta: Delta) -> Iterator[bytes]:
        match delta:
            case Text(text, logprobs):
                yield from self._more("output_text", text, logprobs)
            case Refusal(text):
                yield from self._more("refusal", text, [])
            case CallBegun():
                yield from self._close()
                yield from self._begin_call(delta)
            case Arguments(_, text) if isinstance(self._open, _OpenCall):
                self._open.arguments += text
                self._open.cuts.append((len(text), 0))
                yield self._event("response.function_call_arguments.delta", **self._open.place, delta=text)
            case Finished(reason):
                self._answer.finish = reason
            case Used(usage):
                self._answer.usage = usage

    def _more(self, kind: str, text: str, logprobs: list[dict[str, Any]]) -> Iterator[bytes]:
        part = self._open
        if not isinstance(part, _OpenPart) or part.kind != kind:
            yield from self._close()
            part = self._open = _OpenPart(kind, self._answer)
            yield self._event("response.output_item.added", output_index=part.index, item=part.item("in_progress", []))
            yield self._event("response.content_part.added", **part.place, part=PARTS[kind][1](""))
        part.text += text
        part.logprobs += logprobs
        part.cuts.append((len(text), len(logprobs)))
        more = {"logprobs": logprobs} if kind == "output_text" else {}
        yield self._event(f"response.{kind}.delta", **part.place, delta=text, **more)

    def _begin_call(self, begun: CallBegun) -> Iterator[bytes]:
        call = self._open = _OpenCall(begun, self._answer)
        yield self._event("response.output_item.added", output_index=call.index, item=call.item("in_progress"))

    def _close(self) -> Iterator[bytes]:
        """The events that end the open item, which becomes part of the output."""
        was, self._open = self._open, None
        status = "incomplete" if self._answer.error is not None else item_status(self._answer.finish)
        if isinstance(was, _OpenPart):
            name, make = PARTS[was.kind]
            part = text_part(was.text, was.logprobs) if was.kind == "output_text" else make(was.text)
            more = {"logprobs": was.logprobs} if was.kind == "output_text" else {}
            item = was.item(status, [part])
            yield self._event(f"response.{was.kind}.done", **was.place, **{name: was.text}, **more)
            yield self._event("response.content_part.done", **was.place, part=part)
        elif isinstance(was, _OpenCall):
            item = was.item(status)
            said = {"name": was.name, "arguments": was.arguments}
            yield self._event("response.function_call_arguments.done", **was.place, **said)
        else:
            return
        yield self._event("response.output_item.done", output_index=was.index, item=item)
        self._answer.output.append(item)
        self._answer.cuts.append(was.cuts)

    def _event(self, kind: str, **said: Any) -> bytes:
        self._number += 1
        return event(kind, self._number, said)


class _OpenPart:
    """A message of one part that is still being said."""

    def __init__(self, kind: str, answer: Answer) -> None:
        self.kind = kind
        self.index = len(answer.output)
        self.id = answer.item_id("msg", self.index)
        self.text = ""
        self.logprobs: list[dict[str, Any]] = []
        self.cuts: list[Cut] = []

    @property
    def place(self) -> dict[str, Any]:
        """Where in the response it is."""
        return {"item_id": self.id, "output_index": self.index, "content_index": 0}

    def item(self, status: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """The item it is part of."""
        return message_item(self.id, parts, status)


class _OpenCall:
    """A call whose arguments are still being said."""

    def __init__(self, begun: CallBegun, answer: Answer) -> None:
        self.index = len(answer.output)
        self.id = answer.item_id("fc", self.index)
        self.call_id = begun.id
        self.name = begun.name
        self.arguments = ""
        self.cuts: list[Cut] = []

    @property
    def place(self) -> dict[str, Any]:
        """Where in the response it is."""
        return {"item_id": self.id, "output_index": self.index}

    def item(self, status: str) -> dict[str, Any]:
        """The item as it is now."""
        return call_item(self.id, self.call_id, self.name, self.arguments, status)
