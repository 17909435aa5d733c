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
from router.api.errors import ApiError, as_api_error, invalid, of_anthropic, shaped_event
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
    """One whole answer, in as few and as small objects as it takes, for thousands are kept."""

    request_id: str
    """Of the first request."""
    digest: bytes
    """Of the body it answers."""
    since_s: float
    status: int
    fields: bytes
    """Its headers, as HTTP writes them."""
    body: bytes

    @property
    def size(self) -> int:
        """Bytes that it says."""
        return len(self.fields) + len(self.body)

    @property
    def head(self) -> Message:
        """What it begins with, and that it is a replay."""
        pairs = [line.partition(b": ")[::2] for line in self.fields.split(b"\r\n") if line]
        return {"type": "http.response.start", "status": self.status, "headers": [*pairs, REPLAYED]}


@dataclass(slots=True, eq=False)
class UnderWay:
    """The answer to a first request while it is made."""

    request_id: str
    digest: bytes
    since_s: float
    head: Message | None = None
    body: bytearray = field(default_factory=bytearray)
    size: int = 0
    ended: bool = False
    """Whether its last byte was sent."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its head is known, or when there will be none."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first request has ended, however it did."""
    answer: Answer | None = None
    """What came of it, once it is over; None where it is to be tried anew."""

    @property
    def streams(self) -> bool:
        """Whether it is a stream of events; known once it has begun."""
        return self.head is not None and streams(self.head)

    def record(self, message: Message) -> None:
        """One more message of it; of an answer too large to keep nothing is held."""
        if _starts(message):
            self.head = {**message, "headers": list(message["headers"])}
        else:
            self.size += len(message.get("body", b""))
            if self.size <= LARGEST_ANSWER:
                self.body += message.get("body", b"")
            else:
                self.body.clear()
            self.ended = not message.get("more_body")
        self.begun.set()

    def whole(self) -> Answer | None:
        """The answer, where it is one to keep.

        Its body is a copy: what orjson made, it leaves in the memory it wrote in, of several times the size.
        """
        head = self.head
        if head is None or not self.ended or self.size > LARGEST_ANSWER or not 200 <= head["status"] < 300:
            return None
        fields = b"\r\n".join(b"%b: %b" % (name, value) for name, value in head["headers"])
        return Answer(self.request_id, self.digest, self.since_s, head["status"], fields, bytes(self.body))


class Replays:
    """ASGI middleware around endpoints. `clock` gives monotonic seconds."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._answers: OrderedDict[Slot, Answer] = OrderedDict()
        self._under_way: dict[Slot, UnderWay] = {}
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
            last = shaped_event(as_api_error(error), of_anthropic(scope), scope["shoal"][0])
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
            if isinstance(answer, UnderWay):
                with Departure(receive) as departure:
                    await _wait(answer, scope, send)
                if departure.left:
                    return
                answer = answer.answer
            if answer is not None:
                if BEGUN in scope:
                    self._note(scope["shoal"][0], answer.request_id)
                await _replay(answer, scope, send)
                return
        await self._first(slot, digest, body, scope, receive, send)

    async def _first(self, slot: Slot, digest: bytes, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        if BEGUN not in scope:
            scope.pop(FIRST, None)
        under_way = self._under_way[slot] = UnderWay(scope["shoal"][0], digest, self._clock())
        if BEGUN in scope:
            under_way.record(stream_head())
        unread = True

        async def body_first() -> Message:
            nonlocal unread
            if unread:
                unread = False
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        async def recorded(message: Message) -> None:
            under_way.record(message)
            await send(message)

        try:
            await self._app(scope, body_first, recorded)
            if not scope.get(BROKEN) and (answer := under_way.whole()) is not None:
                under_way.answer = answer
                self._keep(slot, answer)
        finally:
            del self._under_way[slot]
            under_way.begun.set()
            under_way.over.set()

    def named_in(self, request_id: str) -> list[str]:
        """Ids of requests an x-request-id may speak of, its own before that of the first.

        A head that went out while the first was under way names both also where the first then failed. Where another
        that waited took over, this process remembers that one for a while.
        """
        own, *first = request_id.split(".", 1)[::-1]
        return [self._given[own]] if own in self._given else [own, *first]

    def forget(self, key_id: str, request_id: str) -> None:
        """An API key deleted the answer to a request of its own: it is not given again."""
        gone = [slot for slot, kept in self._answers.items() if (slot[0], kept.request_id) == (key_id, request_id)]
        for slot in gone:
            self._forget(slot)

    def _note(self, request_id: str, given: str) -> None:
        self._given[request_id] = given
        if len(self._given) > MOST_ANSWERS:
            self._given.popitem(last=False)

    def _find(self, slot: Slot) -> UnderWay | Answer | None:
        if (under_way := self._under_way.get(slot)) is not None:
            return under_way
        answer = self._answers.get(slot)
        return None if answer is None or self._is_old(answer) else answer

    def _is_old(self, answer: Answer) -> bool:
        return self._clock() - answer.since_s > KEPT_S

    def _keep(self, slot: Slot, answer: Answer) -> None:
        """Keep one more, and forget the oldest until the rest is young, few and small enough."""
        self._forget(slot)
        self._answers[slot] = answer
        self._size += answer.size
        while self._answers:
            oldest, kept = next(iter(self._answers.items()))
            if len(self._answers) <= MOST_ANSWERS and self._size <= MOST_BYTES and not self._is_old(kept):
                return
            self._forget(oldest)

    def _forget(self, slot: Slot) -> None:
        if (answer := self._answers.pop(slot, None)) is not None:
            self._size -= answer.size


async def _wait(answer: UnderWay, scope: Scope, send: Send) -> None:
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
    if BEGUN not in scope:
        await send(answer.head)
    await send({"type": "http.response.body", "body": answer.body})


def stamped_id(scope: Scope, request_id: str) -> str:
    """The x-request-id of an answer to a request of this id."""
    return f"{scope[FIRST]}.{request_id}" if FIRST in scope else request_id


def _starts(message: Message) -> bool:
    return bool(message["type"] == "http.response.start")


def _key(given: bytes) -> bytes:
    key = given.strip()
    if not 1 <= len(key) <= LONGEST_KEY or not all(0x21 <= byte <= 0x7E for byte in key):
        message = f"An Idempotency-Key is 1 to {LONGEST_KEY} printable ASCII characters without spaces."
        raise invalid(message, "Idempotency-Key", "invalid_value")
    return key
