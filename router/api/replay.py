"""Idempotency-Key: a request that is sent again is answered again, not worked on again.

The answer of a first request is kept for a while, in memory, and given to every later one with the same key and body;
one that comes while the first is under way waits for it, in a stream with signs of life. Only whole answers of status
2xx are kept: what failed, broke off or lost its client is tried anew. Keys of different API keys never meet. A replay
costs nothing, so it is no entry of the ledger. It says x-shoal-replayed, and its request id is that of the first, a dot
and its own: each answer has another, and whoever speaks of one, as feedback does, finds the entry (`Replays.named_in`).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from router.api.body import ClientLeft, read_body
from router.api.departure import Departure
from router.api.errors import ApiError, as_api_error, invalid, shaped_event
from router.api.pulse import FIRST_S, Pulse, stream_head, streams

HEADER: Final = b"idempotency-key"
IDEMPOTENT: Final = "shoal.idempotency"
"""Where the edge puts the header's value into a scope."""

BEGUN: Final = "shoal.begun"
"""Set in a scope when the head of a stream went out before its endpoint was called."""

FIRST: Final = "shoal.first"
"""Set in a scope to the id of the request whose answer it is given again."""

BROKEN: Final = "shoal.broken"
"""Set in a scope by an endpoint whose stream ended in an error event."""

LONGEST_KEY: Final = 255
KEPT_S: Final = 3600.0
MOST_ANSWERS: Final = 10_000
MOST_BYTES: Final = 64 * 1024 * 1024
LARGEST_ANSWER: Final = 4 * 1024 * 1024

REPLAYED: Final = (b"x-shoal-replayed", b"true")

Slot = tuple[str, str, bytes]
"""API key id, path, Idempotency-Key."""


@dataclass(slots=True, eq=False)
class Answer:
    """One answer, under way or whole."""

    request_id: str
    """Of the first request."""
    digest: bytes
    """Of the body it answers."""
    since_s: float
    messages: list[Message] = field(default_factory=list)
    size: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its head is known, or when there will be none."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first request has ended, however it did."""
    whole: bool = False

    @property
    def streams(self) -> bool:
        """Whether it is a stream of events; known once it has begun."""
        return bool(self.messages) and streams(self.messages[0])


class Replays:
    """ASGI middleware around endpoints. `clock` gives monotonic seconds."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._answers: OrderedDict[Slot, Answer] = OrderedDict()
        self._given: OrderedDict[str, str] = OrderedDict()
        """Of streams whose head went out before it was known whose answer they get: their ids, and then whose."""
        self._size = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that carries an Idempotency-Key."""
        try:
            body = await read_body(scope, receive, self._max_body_bytes)
        except ClientLeft:
            return
        try:
            await self._answer(body, scope, receive, send)
        except Exception as error:
            if BEGUN not in scope:
                raise
            last = shaped_event(as_api_error(error), scope["path"], scope["shoal"][0])
            await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _answer(self, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        slot = (scope["shoal"][1], scope["path"], _key(scope[IDEMPOTENT]))
        digest = hashlib.sha256(body).digest()
        while (answer := self._find(slot)) is not None:
            if answer.digest != digest:
                raise ApiError(
                    409, "This Idempotency-Key was used with another body. Use a new key for a new request.",
                    code="idempotency_key_reused", headers={"x-should-retry": "false"},
                )  # fmt: skip
            scope[FIRST] = answer.request_id
            if not answer.over.is_set():
                with Departure(receive) as departure:
                    await _wait(answer, scope, send)
                if departure.left:
                    return
            if answer.whole:
                if BEGUN in scope:
                    self._note(scope["shoal"][0], answer.request_id)
                await _replay(answer, scope, send)
                return
        await self._first(slot, digest, body, scope, receive, send)

    async def _first(self, slot: Slot, digest: bytes, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        if BEGUN not in scope:
            scope.pop(FIRST, None)
        answer = self._answers[slot] = Answer(scope["shoal"][0], digest, self._clock())
        if BEGUN in scope:
            answer.messages.append(stream_head())
            answer.begun.set()
        unread = True

        async def body_first() -> Message:
            nonlocal unread
            if unread:
                unread = False
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        async def recorded(message: Message) -> None:
            if answer.size <= LARGEST_ANSWER:
                kept = {**message, "headers": list(message["headers"])} if _starts(message) else message
                answer.messages.append(kept)
                answer.size += len(message.get("body", b""))
                answer.begun.set()
            await send(message)

        try:
            await self._app(scope, body_first, recorded)
            answer.whole = _is_whole(answer) and not scope.get(BROKEN)
        finally:
            if answer.whole:
                self._size += answer.size
                self._shrink()
            else:
                answer.messages.clear()
                self._answers.pop(slot, None)
            answer.begun.set()
            answer.over.set()

    def named_in(self, request_id: str) -> list[str]:
        """Ids of requests an x-request-id may speak of, its own before that of the first.

        A head that went out while the first was under way names both also where the first then failed. Where another
        that waited took over, this process remembers that one for a while.
        """
        own, *first = request_id.split(".", 1)[::-1]
        return [self._given[own]] if own in self._given else [own, *first]

    def _note(self, request_id: str, given: str) -> None:
        self._given[request_id] = given
        if len(self._given) > MOST_ANSWERS:
            self._given.popitem(last=False)

    def _find(self, slot: Slot) -> Answer | None:
        answer = self._answers.get(slot)
        if answer is not None and answer.whole and self._clock() - answer.since_s > KEPT_S:
            self._forget(slot)
            return None
        return answer

    def _forget(self, slot: Slot) -> None:
        self._size -= self._answers.pop(slot).size

    def _shrink(self) -> None:
        """Forget the oldest whole answers until the rest is few and small enough."""
        for slot, answer in list(self._answers.items()):
            if len(self._answers) <= MOST_ANSWERS and self._size <= MOST_BYTES:
                return
            if answer.whole:
                self._forget(slot)


async def _wait(answer: Answer, scope: Scope, send: Send) -> None:
    """Until the first request has ended; where it streams, this one begins to live as it would by itself."""
    loop = asyncio.get_running_loop()
    since = loop.time()
    await answer.begun.wait()
    if not answer.streams:
        await answer.over.wait()
        return
    first_s = max(0.0, FIRST_S - (loop.time() - since))
    with Pulse(send, stream_head(), first_s, begun=BEGUN in scope) as pulse:
        await answer.over.wait()
    if pulse.begun:
        scope[BEGUN] = True


async def _replay(answer: Answer, scope: Scope, send: Send) -> None:
    for message in answer.messages:
        if not _starts(message):
            await send(message)
        elif BEGUN not in scope:
            await send({**message, "headers": [*message["headers"], REPLAYED]})


def stamped_id(scope: Scope, request_id: str) -> str:
    """The x-request-id of an answer to a request of this id."""
    return f"{scope[FIRST]}.{request_id}" if FIRST in scope else request_id


def _starts(message: Message) -> bool:
    return bool(message["type"] == "http.response.start")


def _is_whole(answer: Answer) -> bool:
    if answer.size > LARGEST_ANSWER or len(answer.messages) < 2 or not 200 <= answer.messages[0]["status"] < 300:
        return False
    return not answer.messages[-1].get("more_body")


def _key(given: bytes) -> bytes:
    key = given.strip()
    if not 1 <= len(key) <= LONGEST_KEY or not all(0x21 <= byte <= 0x7E for byte in key):
        message = f"An Idempotency-Key is 1 to {LONGEST_KEY} printable ASCII characters without spaces."
        raise invalid(message, "Idempotency-Key", "invalid_value")
    return key
