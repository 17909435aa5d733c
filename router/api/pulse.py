"""A sign of life in a stream that has nothing to say yet: its head within a second, then comments.

Both official clients, and every other reader of server-sent events, skip comments; without a byte they, or a proxy
between, give up on an expert that is queued for or still loading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self

from starlette.types import Message, Send

FIRST_S: Final = 0.7
"""From the request to the first sign of life, so that it is there within a second."""

EVERY_S: Final = 10.0
"""Between signs of life; many a proxy gives up after fifteen seconds."""

COMMENT: Final = b": still here\n\n"

EVENT_STREAM: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}
"""Headers of a stream of events; the last keeps a proxy from holding it back."""

_HEADERS: Final = [(name.encode(), value.encode()) for name, value in EVENT_STREAM.items()]


def stream_head(headers: Iterable[tuple[bytes, bytes]] = ()) -> Message:
    """The head of a stream of events."""
    return {"type": "http.response.start", "status": 200, "headers": [*_HEADERS, *headers]}


def streams(head: Message) -> bool:
    """Whether a head begins a stream of events."""
    return any(name == b"content-type" and kind.startswith(b"text/event-stream") for name, kind in head["headers"])


class Pulse:
    """`with Pulse(send, head) as pulse:` and send the stream through it; `head` goes out first when it must be early.

    What is sent through it counts as a sign of life. `begun`: another head has gone out already.
    """

    def __init__(
        self, send: Send, head: Message, first_s: float = FIRST_S, every_s: float = EVERY_S, *, begun: bool = False
    ) -> None:
        self.begun = begun
        """Whether a head is out: an error from now on can only be an event."""
        self._send = send
        self._head = head
        self._first_s = first_s
        self._every_s = every_s
        self._quiet = True
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._first_s, self._beat)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    async def start(self, head: Message) -> None:
        """Send the head, unless an early one is out."""
        if not self.begun:
            self.begun = True
            self._quiet = False
            await self._send(head)

    async def send(self, data: bytes, more: bool = True) -> None:
        """Send a part of the body."""
        self._quiet = False
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    def _beat(self) -> None:
        # A client that reads nothing holds the last beat up; there is no use in queueing another behind it.
        if self._quiet and (self._task is None or self._task.done()):
            self._task = self._loop.create_task(self._live())
        self._quiet = True
        self._timer = self._loop.call_later(self._every_s, self._beat)

    async def _live(self) -> None:
        if not self.begun:
            self.begun = True
            await self._send(self._head)
        await self._send({"type": "http.response.body", "body": COMMENT, "more_body": True})
