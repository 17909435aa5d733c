"""The one place that asks an expert over HTTP: a pool of keep-alive connections to one OpenAI-compatible server.

What comes out is bytes or an ExpertError. A few endpoints and one method, without redirects, cookies or proxies, need
no general HTTP client.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

import aiohappyeyeballs

from experts.errors import ExpertError, ExpertFailed, ExpertTimedOut, ExpertUnavailable
from experts.http.connection import Broken, Connection, Stale, TooLate
from experts.http.watch import Watch
from experts.spec import Timeouts

passed_on: ContextVar[bytes] = ContextVar("passed_on", default=b"")
"""Header lines that go along with whatever the current task asks, each with its line break: whose trace this is."""

Endpoint = Literal["/chat/completions", "/completions", "/embeddings", "/messages/count_tokens"]

MODELS = "/models"
"""Where any server lists its models; what is asked of one that may be dead, too."""

MAX_BODY_BYTES = 64 * 1024 * 1024
"""A longer whole answer is taken for an attack or a fault."""

_KEEP_ALIVE_S = 15.0
"""Idle connections are used again for this long; many a network forgets them soon after, without a word."""

_LINGER_S = 0.1
"""How long the end of a body may take after its sense is complete; a new connection costs less than longer waits."""

_HAPPY_EYEBALLS_S = 0.25  # RFC 8305, section 5


class Answer:
    """An answer whose head has arrived. Close it, always: what was not read to its end stops at the upstream too."""

    def __init__(self, upstream: Upstream, connection: Connection) -> None:
        self.status = connection.status
        self._upstream = upstream
        self._connection = connection
        self._closed = False

    def header(self, name: str) -> str | None:
        """A header of the answer by its lower-case name, or None."""
        value = self._connection.headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    async def read(self) -> bytes:
        """What has arrived by now, waiting for at least a byte; empty at the end.

        Raises ExpertTimedOut after `idle_s` without a byte or `total_s` since the request, ExpertFailed when cut.
        """
        try:
            return await self._connection.read()
        except TooLate as error:
            raise ExpertTimedOut(self._upstream.expert, str(error)) from None
        except Broken as error:
            raise ExpertFailed(self._upstream.expert, f"the upstream broke off: {error}") from None

    async def read_all(self) -> bytes:
        """The whole body. Raises as `read` does, and ExpertFailed when it is longer than `MAX_BODY_BYTES`."""
        parts = [await self.read()]
        size = len(parts[0])
        while not self._connection.complete and (part := await self.read()):
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise ExpertFailed(self._upstream.expert, f"the upstream sent more than {MAX_BODY_BYTES} bytes")
        return b"".join(parts)  # to add each to the rest took 3 s of the event loop's time for the longest

    async def finish(self) -> None:
        """Read on to the end of a body whose sense is complete, so that its connection can be used again."""
        if self._connection.complete:
            return
        with suppress(ExpertError, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while await self.read():
                    pass

    def close(self) -> None:
        """Give the connection back if all was read, else close it. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._upstream.take_back(self._connection)


class Upstream:
    """The endpoints below `base_url`, which ends in /v1, reached over TCP, TLS or a Unix socket.

    A query behind it, as some servers want for their version, goes along with every request.
    """

    def __init__(
        self,
        expert: str,
        base_url: str,
        key: str | None,
        timeouts: Timeouts,
        unix_socket: Path | None,
        max_concurrency: int,
    ) -> None:
        self.expert = expert
        self._timeouts = timeouts
        # The head of a whole answer comes when the answer is whole, so only the total can bound it.
        self._whole = timeouts.model_copy(update={"first_byte_s": timeouts.total_s})
        self._unix_socket = unix_socket
        url = urlsplit(base_url)
        self._secure = url.scheme == "https"
        self._host, self._port = url.hostname or "", url.port or (443 if self._secure else 80)
        self._place = f"{url.scheme}://{url.netloc.rpartition('@')[2]}" if unix_socket is None else str(unix_socket)
        place, host = url.path.rstrip("/"), url.netloc.rpartition("@")[2]
        query = f"?{url.query}" if url.query else ""
        self._heads = {path: _head(place + path + query, host, key) for path in get_args(Endpoint)}
        self._question = _question(place + MODELS + query, host, key)
        self._slots = asyncio.Semaphore(max_concurrency)
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    async def post(self, body: bytes, path: Endpoint = "/chat/completions", *, whole: bool = False) -> Answer:
        """Send a request and wait for the head of its answer; of a `whole` one it comes when all of it is made.

        Raises ExpertUnavailable (refused, no such host, closed), ExpertTimedOut (connect, first byte), ExpertFailed.
        """
        head = b"%b%d\r\n%b\r\n" % (self._heads[path], len(body), passed_on.get())
        return await self._answer(head + body, whole)

    async def models(self) -> Answer:
        """Ask which models there are, and wait for the head of the answer. Raises as `post` does."""
        return await self._answer(self._question, whole=False)

    async def _answer(self, request: bytes, whole: bool) -> Answer:
        await self._slots.acquire()
        try:
            return Answer(self, await self._exchange(request, whole))
        except BaseException:
            self._slots.release()
            raise

    async def aclose(self) -> None:
        """Close every connection. A second call does nothing."""
        self._closed = True
        for connection in [*self._idle, *self._busy]:
            connection.abort()
        self._idle.clear()

    def take_back(self, connection: Connection) -> None:
        """End an exchange; keep its connection for the next when it can carry one."""
        self._slots.release()
        self._busy.discard(connection)
        if connection.release() and not self._closed:
            self._idle.append(connection)

    async def _exchange(self, request: bytes, whole: bool) -> Connection:
        """A connection with the head of an answer to `request`. A stale one is replaced by a new one, once."""
        if (pooled := self._pooled()) is not None:
            with suppress(Stale):
                return await self._ask(pooled, request, whole)
        try:
            return await self._ask(await self._connect(), request, whole)
        except Stale as error:
            raise ExpertFailed(self.expert, f"no answer from {self._place}: {error}") from None

    async def _ask(self, connection: Connection, request: bytes, whole: bool) -> Connection:
        self._busy.add(connection)
        watch = Watch(self._timeouts.first_byte_s, self._probe, connection.give_up) if whole else None
        try:
            connection.send(request, self._whole if whole else self._timeouts)
            await connection.head()
        except BaseException as error:
            self._busy.discard(connection)
            connection.release()
            if isinstance(error, TooLate):
                raise ExpertTimedOut(self.expert, f"{self._place}: {error}") from None
            if isinstance(error, Broken) and not isinstance(error, Stale):
                raise ExpertFailed(self.expert, f"no HTTP answer from {self._place}: {error}") from None
            raise
        finally:
            if watch is not None:
                watch.end()
        return connection

    async def _probe(self) -> None:
        """Ask something harmless; returns when anything is answered. Raises OSError, Broken, and never TooLate."""
        connection = await self._open()
        try:
            connection.send(self._question, self._whole)
            await connection.head()
        finally:
            connection.release()
            connection.abort()

    def _pooled(self) -> Connection | None:
        if self._closed:
            raise ExpertUnavailable(self.expert, "closed")
        oldest = asyncio.get_running_loop().time() - _KEEP_ALIVE_S
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                return await self._open()
        except TimeoutError:
            said = f"no connection to {self._place} within {self._timeouts.connect_s:g} s (timeouts.connect_s)"
            raise ExpertTimedOut(self.expert, said) from None
        except OSError as error:
            raise ExpertUnavailable(self.expert, f"cannot reach {self._place}: {error}") from error

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        if self._unix_socket is not None:
            return (await loop.create_unix_connection(Connection, str(self._unix_socket)))[1]
        addresses = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        raw = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_HAPPY_EYEBALLS_S)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._secure and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        name = self._host if self._secure else None
        return (await loop.create_connection(Connection, sock=raw, ssl=self._tls, server_hostname=name))[1]


def _head(path: str, host: str, key: str | None) -> bytes:
    """The head of every request up to the length of its body."""
    return _lines(f"POST {path}", host, key, "Content-Type: application/json", "Content-Length: ")


def _question(path: str, host: str, key: str | None) -> bytes:
    """A request without a body, for a connection of its own."""
    return _lines(f"GET {path}", host, key, "Connection: close", "", "")


def _lines(request: str, host: str, key: str | None, *more: str) -> bytes:
    lines = [
        f"{request} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: shoal",
        "Accept: application/json, text/event-stream",
        "Accept-Encoding: identity",
        *([f"Authorization: Bearer {key}"] if key else []),
        *more,
    ]
    return "\r\n".join(lines).encode("latin-1")
