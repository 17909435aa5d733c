"""A response that was kept, as the events it was or would have been streamed in. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from router.api.responses.answer import Cut
from router.api.responses.stream import PARTS, event

Body = dict[str, Any]
Told = tuple[str, Body]
"""The type of an event and what it says."""


def playback(response: Body, cuts: Sequence[Sequence[Cut]], after: int = -1) -> bytes:
    """The events from the one numbered `after` on.

    `cuts` say for each output item where its text was cut into deltas; without, each part is one delta.
    """
    numbered = zip(count(), _events(response, cuts), strict=False)
    return b"".join([event(kind, number, said) for number, (kind, said) in numbered if number > after])


def _events(response: Body, cuts: Sequence[Sequence[Cut]]) -> Iterator[Told]:
    nothing: Body = {"status": "in_progress", "output": [], "usage": None, "error": None, "incomplete_details": None}
    begun = {name: value for name, value in response.items() if name != "shoal"} | nothing
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(response["output"]):
        yield from _item(item, index, cuts[index] if index < len(cuts) else ())
    yield f"response.{response['status']}", {"response": response}


def _item(item: Body, index: int, cuts: Sequence[Cut]) -> Iterator[Told]:
    place = {"item_id": item["id"], "output_index": index}
    empty: Body = {"content": []} if item["type"] == "message" else {"arguments": ""}
    yield "response.output_item.added", {"output_index": index, "item": {**item, "status": "in_progress", **empty}}
    if item["type"] == "message":
        for at, part in enumerate(item["content"]):
            yield from _part(part, {**place, "content_index": at}, cuts)
    else:
        for said, _ in _deltas(item["arguments"], [], cuts):
            yield "response.function_call_arguments.delta", {**place, "delta": said}
        done = {"name": item["name"], "arguments": item["arguments"]}
        yield "response.function_call_arguments.done", {**place, **done}
    yield "response.output_item.done", {"output_index": index, "item": item}


def _part(part: Body, place: Body, cuts: Sequence[Cut]) -> Iterator[Told]:
    kind = part["type"]
    name, make = PARTS[kind]
    is_text = kind == "output_text"
    yield "response.content_part.added", {**place, "part": make("")}
    for said, logprobs in _deltas(part[name], part.get("logprobs") or [], cuts):
        yield f"response.{kind}.delta", {**place, "delta": said} | ({"logprobs": logprobs} if is_text else {})
    more = {"logprobs": part["logprobs"]} if is_text else {}
    yield f"response.{kind}.done", {**place, name: part[name], **more}
    yield "response.content_part.done", {**place, "part": part}


def _deltas(text: str, logprobs: list[Body], cuts: Sequence[Cut]) -> Iterator[tuple[str, list[Body]]]:
    """Pieces of a text with the log-probabilities of their tokens."""
    chars = tokens = 0
    for length, its in cuts or ([(len(text), len(logprobs))] if text else []):
        yield text[chars : chars + length], logprobs[tokens : tokens + its]
        chars, tokens = chars + length, tokens + its
