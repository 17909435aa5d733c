"""A streamed answer as servers really send it -> the events Shoal promises. Pure: bytes in, events out, no IO.

Middle events keep their bytes; only the first and those that say something (a finish reason, usage, an error) are read.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import orjson

from experts.errors import ExpertFailed
from experts.http.calls import Calls
from experts.http.parts import join
from experts.http.refusal import from_stream
from experts.http.sse import MAX_EVENT_BYTES, EventTooLong, SseDecoder
from experts.http.text import as_chat_chunk
from experts.wire import MAX_CHOICES, ChatId, Completion, Event, Usage, is_streamed

_NULL_USAGE = (b',"usage":null', b', "usage": null')
"""OpenAI closes every chunk but the last with one when usage was asked for. It cannot occur inside a JSON string."""


class _Mould:
    """What this server writes before and after the part of a middle event that changes, in its words and in ours."""

    def __init__(self, head: bytes, tail: bytes, our_head: bytes, our_tail: bytes) -> None:
        self._head, self._our_head = head, b"data: " + our_head
        self._tail, self._our_tail = tail, our_tail + b"\n\n"
        self._changing = slice(len(head), -len(tail))

    def cast(self, payload: bytes) -> Event | None:
        """The event with this payload in our words when it surely is a middle one; else None."""
        if not (payload.startswith(self._head) and payload.endswith(self._tail)) or not _may_pass(payload):
            return None
        changing = payload[self._changing]
        return None if _must_be_read(changing) else Event(self._our_head + changing + self._our_tail, None, True)


class ChunkStream:
    """The events of one answer that is asked of `expert` with `choices` choices.

    `text`: the server speaks of text completions, which are told as those of a chat. `tools`: it may call some.
    """

    def __init__(
        self,
        expert: str,
        choices: int = 1,
        key: str | None = None,
        fingerprint: str | None = None,
        text: bool = False,
        tools: bool = False,
    ) -> None:
        self._expert = expert
        self._text = text
        self._unsaid = None if tools else ""
        self._fingerprint = {"system_fingerprint": fingerprint} if fingerprint else {}
        self._swaps: list[tuple[bytes, bytes]] = []
        self._choices = choices
        self._key = key
        self._decoder = SseDecoder()
        self._ours = b'"model":' + orjson.dumps(expert)
        self._theirs = self._ours
        self._null_usage: bytes | None = None
        self._mould: _Mould | None = None
        self._first: dict[str, Any] | None = None
        self._closing: dict[str, Any] | None = None
        self._usage: Any = None
        self._finished: set[int] = set()
        self._spoken: set[int] = set()
        self._calls: defaultdict[int, Calls] = defaultdict(Calls)
        self.done = False
        """True once [DONE] came; nothing after it is read."""

    def feed(self, data: bytes) -> list[Event]:
        """The events `data` completes, none of them the usage event. Raises ExpertFailed, ExpertRefused."""
        if (
            self._mould is not None
            and self._decoder.idle
            and data.startswith(b"data: ")
            and data.endswith(b"\n\n")
            and (event := self._mould.cast(data[6:-2]))
        ):
            return [event]  # what nearly every read is
        try:
            payloads = self._decoder.feed(data)
        except EventTooLong:
            raise self._failed(f"sent an event of more than {MAX_EVENT_BYTES} bytes") from None
        return self._events(payloads)

    def close(self) -> list[Event]:
        """What is left when the upstream has ended; the last one carries usage. Raises ExpertFailed when it was cut."""
        events = self._events(self._decoder.close())
        if self._first is None:
            raise self._failed("ended the stream before any answer")
        if not self.done:
            raise self._failed("broke off: the stream ended without [DONE]")
        if not self._finished:  # it said [DONE] properly, only not why
            events.append(self._head().chunk({}, "tool_calls" if any(self._calls.values()) else "stop"))
        events.append(self._usage_event())
        return events

    def _events(self, payloads: list[bytes]) -> list[Event]:
        events = []
        for payload in payloads:
            if self.done:
                break
            if self._mould is not None and (event := self._mould.cast(payload)):
                events.append(event)
            elif payload == b"[DONE]":
                self.done = True
            elif self._first is not None and (event := self._forward(payload)):
                events.append(event)
            else:
                events += [event for chunk in self._read(payload) if (event := self._accept(chunk, payload))]
        return events

    def _forward(self, payload: bytes) -> Event | None:
        """A middle event as it came but for the model's name; None when it has to be read."""
        if self._text or not _may_pass(payload):
            return None
        ours = self._renamed(payload)
        event = Event(b"data: " + ours + b"\n\n")
        return event if event.plain and self._ours in ours and not _must_be_read(ours) else None

    def _renamed(self, part: bytes) -> bytes:
        if self._theirs != self._ours:
            part = part.replace(self._theirs, self._ours, 1)
        for theirs, ours in self._swaps:
            part = part.replace(theirs, ours, 1)
        return part.replace(self._null_usage, b"", 1) if self._null_usage else part

    def _read(self, payload: bytes) -> list[dict[str, Any]]:
        """The chunk in a payload, or several where a server put one on each line of an event."""
        try:
            chunks = [orjson.loads(payload)]
        except orjson.JSONDecodeError:
            try:
                chunks = [orjson.loads(line) for line in payload.split(b"\n")]
            except orjson.JSONDecodeError:
                raise self._failed("sent an event that is not JSON") from None
        for chunk in chunks:
            if not isinstance(chunk, dict):
                raise self._failed("sent an event that is no JSON object")
            if chunk.get("error"):
                raise from_stream(self._expert, chunk["error"], self._key)
        try:
            return [as_chat_chunk(chunk) for chunk in chunks] if self._text else chunks
        except (AttributeError, TypeError):
            raise self._failed("sent an event that is no chunk of a text completion") from None

    def _accept(self, chunk: dict[str, Any], payload: bytes) -> Event | None:
        """A chunk that was read, as ours; None when it has no choices and so no place before the usage event."""
        usage, choices = chunk.pop("usage", None), chunk.get("choices")
        if usage:
            self._usage = usage
        if not choices:
            self._closing = chunk if usage else self._closing
            return None
        join(choices, "delta")
        self._note_finishes(choices)
        if self._first is None:
            self._first = chunk
            self._learn(payload, chunk, may_repeat=not usage and self._choices == 1)
        return Event.of(
            {
                **_without_extras(chunk),
                **self._fingerprint,
                "model": self._expert,
                "choices": [self._opened(c) for c in choices],
            }
        )

    def _opened(self, choice: dict[str, Any]) -> dict[str, Any]:
        """A choice that was read; the first delta of each says who speaks, also where the server left it out.

        A text that it does not say stays unsaid where tools may be called: of "" clients make a text of its own, before
        the call.
        """
        # Some leave it out until the end, or say ""; without a null no event is surely a middle one, and it is held.
        choice = {**choice, "finish_reason": choice.get("finish_reason") or None}
        index, delta = choice.get("index", 0), choice["delta"]
        for call in delta.get("tool_calls") or ():
            self._calls[index].settle(call)
        if index in self._spoken:
            return choice
        self._spoken.add(index)
        opened = {"role": "assistant", "content": self._unsaid, "refusal": None}
        return {**choice, "delta": {**opened, **{name: value for name, value in delta.items() if value is not None}}}

    def _learn(self, payload: bytes, chunk: dict[str, Any], may_repeat: bool) -> None:
        """How this server writes its chunks, so that later ones need not be read to be renamed."""
        self._null_usage = next((bare for bare in _NULL_USAGE if bare in payload), None)
        name = orjson.dumps(chunk.get("model"))
        written = next((key + name for key in (b'"model":', b'"model": ') if key + name in payload), None)
        if written is None:
            return
        self._theirs = written
        if self._fingerprint and "system_fingerprint" in chunk:
            key = b'"system_fingerprint":'
            theirs = key + orjson.dumps(chunk["system_fingerprint"])
            self._swaps = [(theirs, key + orjson.dumps(self._fingerprint["system_fingerprint"]))]
        head, _, tail = payload.partition(b'"delta":' + orjson.dumps(chunk["choices"][0]["delta"]))
        tail = tail[max(0, tail.find(b'"finish_reason":null')) :]  # log-probabilities may stand between the two
        ours, rest = self._renamed(head), self._renamed(tail)
        if may_repeat and tail and b'"finish_reason":null' in head + tail and not _must_be_read(ours + rest):
            self._mould = _Mould(head, tail, ours, rest)

    def _note_finishes(self, choices: Any) -> None:
        if isinstance(choices, list) and len(choices) > MAX_CHOICES:
            raise self._failed(f"sent an event with {len(choices)} choices; at most {MAX_CHOICES} can be asked for")
        if not isinstance(choices, list) or not all(map(is_streamed, choices)):
            raise self._failed("sent an event that is no chat.completion.chunk")
        for choice in choices:
            if choice.get("finish_reason"):
                index = choice.get("index")
                self._finished.add(index if isinstance(index, int) else 0)

    def _usage_event(self) -> Event:
        usage = Usage.read(self._usage)
        if usage.source == "none":
            return self._head().usage(usage)
        ours = {**self._fingerprint, "model": self._expert, "choices": [], "usage": usage.to_openai(self._usage)}
        return Event.of({**_without_extras(self._closing or self._first or {}), **ours}, usage)

    def _head(self) -> ChatId:
        first = self._first or {}
        return ChatId(self._expert, str(first.get("id") or ""), first.get("created") or 0)

    def _failed(self, message: str) -> ExpertFailed:
        return ExpertFailed(self._expert, f"the upstream {message}")


def _without_extras(chunk: dict[str, Any]) -> dict[str, Any]:
    """A chunk without what an engine adds for itself."""
    return {name: value for name, value in chunk.items() if name != "timings"}


def _must_be_read(part: bytes) -> bool:
    """Whether a middle event says what nobody may pass on unread.

    Clients act on the arguments of a call, calls are numbered and named, parts of a content joined, and usage is told
    at the end, to those who asked for it. Inside a JSON string the quotes would be escaped.
    """
    return b'"arguments"' in part or b'"usage"' in part or ((b'":[' in part or b'": [' in part) and _lists(part))


def _lists(part: bytes) -> bool:
    """Whether it holds calls, and not only [], as some servers say in every event, or a content in parts.

    Log-probabilities call a list their content, too.
    """
    return (
        b'"tool_calls":[{' in part
        or b'"tool_calls": [{' in part
        or part.count(b'"content":[') > part.count(b'"logprobs":{"content":[')
        or part.count(b'"content": [') > part.count(b'"logprobs": {"content": [')
    )


def _may_pass(payload: bytes) -> bool:
    """Whether what nobody reads on its way is one line of text: no client gets over bytes that are none."""
    if b"\n" in payload:
        return False
    if not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError:
            return False
    return True


def as_stream(completion: Completion) -> list[Event]:
    """A whole answer as the events of a stream, for servers that do not stream. The last one carries usage."""
    body = completion.body
    chat = ChatId(body["model"], str(body.get("id") or ""), body.get("created") or 0)
    events = []
    for position, choice in enumerate(body["choices"]):
        index = choice.get("index", position)
        delta = {name: value for name, value in choice["message"].items() if value is not None}
        if calls := delta.get("tool_calls"):
            delta["tool_calls"] = [{**call, "index": at} for at, call in enumerate(calls)]
        events.append(chat.chunk(delta, None, choice.get("logprobs"), index))
        events.append(chat.chunk({}, choice.get("finish_reason") or "stop", None, index))
    return [*events, chat.usage(completion.usage)]
