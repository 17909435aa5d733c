"""The server's side of a connection, with the patience uvicorn lacks: for slow heads, slow bodies and slow readers.

Whole requests that arrive at once, which is nearly all, cost a comparison or two; a timer is set only for what is slow.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from router.api.errors import ApiError
from router.meter.ulid import new_ulid
from router.tally import REFUSED, Tally

HEAD_S: Final = 10.0
"""From a connection's start, or a later request's first byte, to the end of the request's headers."""

BODY_S: Final = 30.0
"""From the end of the headers to the end of the body."""

BODY_BYTES_PER_S: Final = 1_000
BODY_GRACE_S: Final = 5.0
"""A body that is this old must have come at `BODY_BYTES_PER_S` at least."""

READER_S: Final = 30.0
"""How long an answer may wait for a client that reads nothing."""

HEAD_BYTES: Final = 32 * 1024
LINGER_BYTES: Final = 64 * 1024 * 1024
"""Read and dropped of a body that was refused: closing at once would take the refusal away from the client too."""

TALLY: Final = "tally"
"""Where the lifespan's state holds the count of answers, for those that no application gives."""

LINGER_S: Final = 2.0
"""The same after a refusal that ends the connection."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools, with limits."""

    head_s = HEAD_S
    body_s = BODY_S
    body_grace_s = BODY_GRACE_S
    reader_s = READER_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._in_head = False
        self._in_body = False
        self._received = 0
        """Bytes since the head or the body began."""
        self._body_since = 0.0
        self._refused = False
        self._ending = False

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.head_s, self._head_too_slow)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._received += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_body:
            self._watch_body()
        elif self._in_head:
            self._watch_head()
        elif self._timer is not None:
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._reading_again()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self.reader_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._reading_again()
        super().resume_writing()

    # --- what the parser calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._received > HEAD_BYTES and sum(len(n) + len(v) for n, v in self.headers) + len(self.url) > HEAD_BYTES:
            self._refuse(ApiError(431, f"The headers are longer than {HEAD_BYTES:,} bytes.", code="headers_too_large"))
            return
        self._in_body = True
        super().on_headers_complete()
        if not self.cycle.keep_alive:
            self.cycle.transport = cast(asyncio.Transport, _Unhurried(self))

    def on_message_complete(self) -> None:
        self._in_body = False
        self._received = 0
        if self.cycle is not None:
            super().on_message_complete()
        if self._ending:
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        if self.cycle is not None:
            super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP at all, in the shape of every other error."""
        self._refuse(ApiError(400, msg, code="invalid_http"))

    def close_politely(self) -> None:
        """Close; when a body is still coming, after its end: closing before it takes the answer away with it."""
        if self._in_body and not self.transport.is_closing():
            self._ending = True
            self.transport.write_eof()
        else:
            self.transport.close()

    # --- patience

    def _watch_head(self) -> None:
        if self._received > HEAD_BYTES:
            self._refuse(ApiError(431, f"The headers are longer than {HEAD_BYTES:,} bytes.", code="headers_too_large"))
        elif self._timer is None:
            self._timer = self.loop.call_later(self.head_s, self._head_too_slow)

    def _watch_body(self) -> None:
        if self._body_since == 0.0:
            self._stop_timer()
            self._body_since = self.loop.time()
            self._received = 0
            self._timer = self.loop.call_later(self.body_grace_s, self._look_at_body)
        elif self.cycle.response_complete and self._received > LINGER_BYTES:
            self.transport.close()

    def _look_at_body(self) -> None:
        age_s = self.loop.time() - self._body_since
        if age_s >= self.body_s or self._received < age_s * BODY_BYTES_PER_S:
            self._refuse(_too_slow("body"))
        else:
            self._timer = self.loop.call_later(min(1.0, self.body_s - age_s), self._look_at_body)

    def _head_too_slow(self) -> None:
        if self._in_head:
            self._refuse(_too_slow("headers"))
        else:
            self.transport.close()  # nothing was asked yet, so there is nothing to answer

    def _stop_timer(self) -> None:
        self._body_since = 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _reading_again(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _refuse(self, error: ApiError) -> None:
        """Answer, read on for a moment and close; only close when an answer is under way."""
        self._in_head = self._in_body = False
        self._stop_timer()
        cycle: RequestResponseCycle | None = self.cycle
        self._refused = True
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
            cast(dict[str, Any], cycle.scope)[REFUSED] = error.status  # the edge counts it, once
        elif (tally := cast(Tally | None, self.app_state.get(TALLY))) is not None:
            tally.count("", error.status)
        if not self.transport.is_closing():
            body = error.body()
            head = [
                STATUS_LINE[error.status],
                b"content-type: application/json\r\nx-content-type-options: nosniff\r\n",
                b"x-request-id: " + new_ulid().encode() + b"\r\n",
                b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body),
            ]
            self.transport.write(b"".join(head) + body)
            self.transport.write_eof()
            self._timer = self.loop.call_later(LINGER_S, self.transport.close)


class _Unhurried:
    """A transport as the answer to a last request sees it: told to close, it lets the request's body end first."""

    def __init__(self, protocol: GuardedProtocol) -> None:
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol.transport, name)

    def close(self) -> None:
        self._protocol.close_politely()


def _too_slow(what: str) -> ApiError:
    return ApiError(408, f"The {what} of the request came too slowly.", code="request_timeout")
