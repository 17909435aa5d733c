"""The one place that speaks HTTP to a generative expert: a pool of keep-alive connections to one chat endpoint.

What comes out is bytes or an ExpertError; nothing outside this file knows the HTTP library.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from experts.errors import ExpertError, ExpertFailed, ExpertTimedOut, ExpertUnavailable
from experts.spec import Timeouts

MAX_BODY_BYTES = 64 * 1024 * 1024
"""A longer whole answer is taken for an attack or a fault."""

_DNS_TTL_S = 60

_LINGER_S = 0.1
"""How long the end of a body may take after its sense is complete; a new connection costs less than longer waits."""

_ADDED_BY_AIOHTTP = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Answer:
    """An answer whose head has arrived. Close it, always: what was not read to its end stops at the upstream too."""

    def __init__(self, expert: str, response: aiohttp.ClientResponse, timeouts: Timeouts, started: float) -> None:
        self.status = response.status
        self._expert = expert
        self._response = response
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._deadline = started + timeouts.total_s
        self._waiting_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._too_late: str | None = None
        if (connection := response.connection) and (protocol := connection.protocol):
            protocol.read_timeout = None  # it bounded the wait for the first byte; from here our one timer does
            protocol.start_timeout()

    def header(self, name: str) -> str | None:
        """A header of the answer, or None."""
        return self._response.headers.get(name)

    async def read(self) -> bytes:
        """What has arrived by now, waiting for at least a byte; empty at the end.

        Raises ExpertTimedOut after `idle_s` without a byte or `total_s` since the request, ExpertFailed when cut.
        """
        now = self._waiting_since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(min(now + self._timeouts.idle_s, self._deadline), self._ring)
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            if self._too_late:
                raise ExpertTimedOut(self._expert, self._too_late) from None
            raise ExpertFailed(self._expert, f"the upstream broke off: {error}") from error
        finally:
            self._waiting_since = None

    async def read_all(self) -> bytes:
        """The whole body. Raises as `read` does, and ExpertFailed when it is longer than `MAX_BODY_BYTES`."""
        parts = []
        size = 0
        while part := await self.read():
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise ExpertFailed(self._expert, f"the upstream sent more than {MAX_BODY_BYTES} bytes")
        return b"".join(parts)

    async def finish(self) -> None:
        """Read on to the end of a body whose sense is complete, so that its connection can be used again."""
        if self._response.content.at_eof():
            return
        with suppress(ExpertError, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while await self.read():
                    pass

    def close(self) -> None:
        """Close the connection, unless all was read and the pool has it back already. A second call does nothing."""
        if self._timer is not None:
            self._timer.cancel()
        self._response.close()

    def _ring(self) -> None:
        """Give up a wait that took too long. One timer serves all reads: when it rings early, it is set again."""
        now, idle_s = self._loop.time(), self._timeouts.idle_s
        since = now if self._waiting_since is None else self._waiting_since
        if self._waiting_since is not None and now >= self._deadline:
            self._too_late = f"not done {self._timeouts.total_s:g} s after it was asked (timeouts.total_s)"
        elif now >= since + idle_s:
            self._too_late = f"silent for {idle_s:g} s in the middle of its answer (timeouts.idle_s)"
        if self._too_late:
            self._response.close()
        else:
            until_deadline = self._deadline if now < self._deadline else now + idle_s
            self._timer = self._loop.call_at(min(since + idle_s, until_deadline), self._ring)


class Upstream:
    """The chat endpoint below `base_url`, which ends in /v1, reached over TCP, TLS or a Unix socket."""

    def __init__(
        self,
        expert: str,
        base_url: str,
        key: str | None,
        timeouts: Timeouts,
        unix_socket: Path | None,
        max_concurrency: int,
    ) -> None:
        self._expert = expert
        self._url = URL(base_url.rstrip("/") + "/chat/completions")
        self._headers = CIMultiDict({"Content-Type": "application/json", "Accept-Encoding": "identity"})
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._timeouts = timeouts
        self._unix_socket = unix_socket
        self._max_concurrency = max_concurrency
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._may_be_stale = False

    async def post(self, body: bytes) -> Answer:
        """Send a request and wait for the head of its answer.

        Raises ExpertUnavailable (refused, no such host, closed), ExpertTimedOut (connect, first byte), ExpertFailed.
        """
        started = asyncio.get_running_loop().time()
        session = self._session or self._open()
        try:
            response = await self._send(session, body)
        except aiohttp.ConnectionTimeoutError:
            raise ExpertTimedOut(self._expert, self._no("connection", self._timeouts.connect_s, "connect_s")) from None
        except TimeoutError:
            raise ExpertTimedOut(
                self._expert, self._no("first byte", self._timeouts.first_byte_s, "first_byte_s")
            ) from None
        except (aiohttp.ClientConnectorError, RuntimeError) as error:
            raise ExpertUnavailable(self._expert, f"cannot reach {self._url.origin()}: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ExpertFailed(self._expert, f"no HTTP answer from {self._url.origin()}: {error}") from error
        self._may_be_stale = True
        return Answer(self._expert, response, self._timeouts, started)

    async def aclose(self) -> None:
        """Close every connection. A second call does nothing."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _send(self, session: aiohttp.ClientSession, body: bytes) -> aiohttp.ClientResponse:
        try:
            return await session.post(self._url, data=body, allow_redirects=False)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # The server may have closed a pooled connection while our request was on its way. A first request can
            # meet no such connection, so a server that dies of a request is not asked again.
            if not self._may_be_stale:
                raise
            return await session.post(self._url, data=body, allow_redirects=False)

    def _no(self, what: str, seconds: float, name: str) -> str:
        return f"no {what} from {self._url.origin()} within {seconds:g} s (timeouts.{name})"

    def _open(self) -> aiohttp.ClientSession:
        """The session, made in the running loop. Everything that costs time and brings us nothing is left off."""
        if self._closed:
            raise ExpertUnavailable(self._expert, "closed")
        connector: aiohttp.BaseConnector
        if self._unix_socket is not None:
            connector = aiohttp.UnixConnector(str(self._unix_socket), limit=self._max_concurrency)
        else:
            connector = aiohttp.TCPConnector(limit=self._max_concurrency, ttl_dns_cache=_DNS_TTL_S)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            skip_auto_headers=_ADDED_BY_AIOHTTP,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._timeouts.connect_s, sock_read=self._timeouts.first_byte_s
            ),
        )
        return self._session
