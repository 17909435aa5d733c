"""One HTTP/1.1 connection to an upstream: requests go out as bytes, answers come in through llhttp.

Knows time (first byte, idle, total) and nothing of what is said. `upstream.py` keeps the connections.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import httptools

from experts.spec import Timeouts

_MAX_HEAD_BYTES = 64 * 1024
"""Of headers, and of what comes with a body and is none of it: sizes of chunks and trailers."""

_HIGH_WATER_BYTES = 256 * 1024
"""Unread bytes of an answer from which on the upstream has to wait for whoever reads it."""


class _ResponseParser(Protocol):
    """What is used of `httptools.HttpResponseParser`."""

    def feed_data(self, data: bytes) -> None: ...
    def get_status_code(self) -> int: ...
    def should_keep_alive(self) -> bool: ...


class Broken(Exception):
    """The connection ended, or what came is not HTTP, before the answer was whole."""


class Stale(Broken):
    """The connection ended before a single byte of the answer came."""


class TooLate(Exception):
    """A wait took too long; the message says which."""


class Connection(asyncio.Protocol):
    """Carries one exchange after another: `send`, `head`, `read` until it returns nothing, then the next."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.closed = False
        self.idle_since = 0.0

    def send(self, request: bytes, timeouts: Timeouts) -> None:
        """Begin an exchange."""
        self._parser = cast(_ResponseParser, httptools.HttpResponseParser(self))
        self._timeouts = timeouts
        self._waiting_since: float = self._loop.time()
        self._deadline = self._waiting_since + timeouts.total_s
        self._parts: list[bytes] = []
        self._unread = 0
        self._beside = 0
        """Bytes since the last of a body, or since the beginning."""
        self._error: Exception | None = None
        self._has_head = self._paused = self._until_end = self.complete = self.reusable = False
        self.headers: dict[bytes, bytes] = {}
        self.status = 0
        self._timer = self._loop.call_at(self._next_look(), self._ring)
        if self._transport is None or self.closed:
            self._fail(Stale("closed"))
        else:
            self._transport.write(request)

    async def head(self) -> None:
        """Wait for status and headers. Raises Stale, Broken, TooLate."""
        while not self._has_head:
            await self._wait()

    async def read(self) -> bytes:
        """What has arrived of the body, waiting for at least a byte; empty at its end. Raises Broken, TooLate."""
        if not self._parts and not self.complete:
            self._waiting_since = self._loop.time()
            while not self._parts and not self.complete:
                await self._wait()
        parts, self._parts, self._unread = self._parts, [], 0
        if self._paused and self._transport is not None and not self.closed:
            self._paused = False
            self._transport.resume_reading()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def release(self) -> bool:
        """End the exchange. True when the connection can carry another; closes it at once when it cannot."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.idle_since = self._loop.time()
        if self.complete and self.reusable and not self.closed and not self._paused:
            return True
        self.abort()
        return False

    def give_up(self, error: TooLate) -> None:
        """End the exchange for whoever waits for it."""
        self._fail(error)

    def abort(self) -> None:
        """Close at once."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._timer is None:  # nobody asked: whatever this is, it is no answer
            self.abort()
            return
        self._beside += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(Broken(f"not HTTP ({type(error).__name__})"))  # its message quotes the bytes
            self.abort()
            return
        if self._beside > _MAX_HEAD_BYTES and not self.complete:
            self._fail(Broken(f"headers or trailers of more than {_MAX_HEAD_BYTES} bytes"))
            self.abort()
        elif self._unread > _HIGH_WATER_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._timer is None or self.complete:
            return
        if error is None and self._has_head and self._until_end:
            self.complete = True
            self._wake()
        elif self._has_head or self._beside:
            self._fail(Broken(str(error or "the connection was closed")))
        else:
            self._fail(Stale(str(error or "the connection was closed")))

    # --- what the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # what comes later is a trailer
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= 200:  # what is below announces the answer
            self._has_head = True
            self._until_end = b"content-length" not in self.headers and b"transfer-encoding" not in self.headers

    def on_body(self, body: bytes) -> None:
        self._beside = 0
        self._parts.append(body)
        self._unread += len(body)

    def on_message_complete(self) -> None:
        if not self._has_head:
            self.headers = {}
        elif self.complete:
            self.reusable = False  # a second answer to one request
        else:
            self.complete = True
            self.reusable = self._parser.should_keep_alive()

    # --- waiting

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self._wake()

    def _due(self) -> float:
        """When the present wait, or one that began now, will have taken too long."""
        limit_s = self._timeouts.idle_s if self._has_head else self._timeouts.first_byte_s
        since = self._loop.time() if self._waiter is None else self._waiting_since
        return min(since + limit_s, self._deadline)

    def _next_look(self) -> float:
        """When the timer must ring, so that a wait that begins after this is not found too late."""
        return min(self._due(), self._loop.time() + self._timeouts.idle_s)

    def _ring(self) -> None:
        """Give up a wait that took too long. One timer serves a whole exchange: ringing early, it is set again."""
        due = self._due()
        if due > self._loop.time():
            self._timer = self._loop.call_at(self._next_look(), self._ring)
            return
        times = self._timeouts
        if due == self._deadline:
            self._fail(TooLate(f"not done {times.total_s:g} s after it was asked (timeouts.total_s)"))
        elif self._has_head:
            self._fail(TooLate(f"silent for {times.idle_s:g} s in the middle of its answer (timeouts.idle_s)"))
        else:
            self._fail(TooLate(f"no first byte within {times.first_byte_s:g} s (timeouts.first_byte_s)"))
