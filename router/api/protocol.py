"""The server's side of a connection, with the patience uvicorn lacks: for slow heads, slow bodies and slow readers.

Whole requests that arrive at once, which is nearly all, cost a sum of lengths; a timer is set only for what is slow.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from router.api.errors import ApiError
from router.api.older_http import Unchunked
from router.api.parser import Parser
from router.api.refusals import no_proxy, not_chunked, too_long, too_slow, whole
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
"""Of headers, and of what comes with a body and is none of it: sizes of chunks and trailers."""

LINGER_BYTES: Final = 64 * 1024 * 1024
"""Read and dropped of a body that was refused: closing at once would take the refusal away from the client too."""

TALLY: Final = "tally"
"""Where the lifespan's state holds the count of answers, for those that no application gives."""

LINGER_S: Final = 2.0
"""The same after the last answer of a connection, however much comes."""


class Phase(Enum):
    """What a connection reads."""

    IDLE = "nothing: no request has begun, or one came whole"
    HEAD = "a request's headers"
    BODY = "a request's body"
    ENDING = "nothing any more: the last word is written, what still comes is dropped until the timer ends it"


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools, with limits."""

    head_s = HEAD_S
    body_s = BODY_S
    body_grace_s = BODY_GRACE_S
    reader_s = READER_S
    linger_s = LINGER_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = cast(Any, Parser(self))
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._phase = Phase.IDLE
        self._received = 0
        """Bytes since the head, the body or the end began."""
        self._beside = 0
        """Bytes since the last of a body."""
        self._body_since = 0.0

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.head_s, self._head_too_slow)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        self._beside += len(data)
        if self._phase is Phase.ENDING:
            if self._received > LINGER_BYTES:
                self.transport.abort()
            return
        super().data_received(data)
        if not self.transport.is_closing():
            self._watch()

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
        if self._phase is not Phase.ENDING:
            super().on_message_begin()
            self._phase = Phase.HEAD

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase is Phase.HEAD:  # a trailer must not pass for a header (RFC 9110, section 6.5.1)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._phase is Phase.ENDING:
            return
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > HEAD_BYTES:
            self._refuse(too_long("headers", HEAD_BYTES))
            return
        # httptools undoes chunked and is silent of what else was done to the body (RFC 9112, section 6.1).
        if any(name == b"transfer-encoding" and value.strip().lower() != b"chunked" for name, value in self.headers):
            self._refuse(not_chunked())
            return
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._refuse(no_proxy())
            return
        super().on_headers_complete()
        self._phase = Phase.BODY
        self._beside = 0
        if not self.cycle.keep_alive:
            self.cycle.transport = cast(asyncio.Transport, _Unhurried(self))

    def on_body(self, body: bytes) -> None:
        if self._phase is not Phase.ENDING:
            self._beside = 0
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._phase is Phase.BODY:  # and not the head's of an offer, which is read again
            self._phase = Phase.IDLE
            self._received = 0
            self._stop_timer()
            super().on_message_complete()

    def head_without_offer(self) -> bytes | None:
        """The head that was just read, without its offers of other protocols; None if the connection ends."""
        if self._phase is Phase.ENDING or self.transport.is_closing():
            return None
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = (b"%b: %b" % (name, value) for name, value in self.headers if name != b"upgrade")
        return b"\r\n".join((line, *kept, b"", b""))

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP at all, in the shape of every other error."""
        self._refuse(ApiError(400, msg, code="invalid_http"))

    def close_politely(self) -> None:
        """Close; when something is still coming, a moment later: closing before it takes the answer away with it."""
        if self._phase in (Phase.BODY, Phase.ENDING):
            self._end()
        else:
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._body_since:
            self._body_since = 0.0  # its turn has come: time begins anew
            self._watch_body()
        older = cycle.scope["http_version"] < "1.1"
        super()._start_asgi_task(cycle, cast(Any, Unchunked(app, cycle)) if older else app)

    # --- patience

    def _watch(self) -> None:
        if self._phase is Phase.BODY:
            self._watch_body()
        elif self._phase is Phase.HEAD or (self._phase is Phase.IDLE and self._answered()):
            self._watch_head()

    def _watch_head(self) -> None:
        if self._received > HEAD_BYTES:
            self._refuse(too_long("headers", HEAD_BYTES))
        elif self._timer is None:
            self._timer = self.loop.call_later(self.head_s, self._head_too_slow)

    def _watch_body(self) -> None:
        if self._beside > HEAD_BYTES:
            self._refuse(too_long("chunk sizes and trailers", HEAD_BYTES))
        elif self._body_since == 0.0:
            self._stop_timer()
            self._body_since = self.loop.time()
            self._received = 0
            self._timer = self.loop.call_later(self.body_grace_s, self._look_at_body)
        elif self.cycle.response_complete and self._received > LINGER_BYTES:
            self.transport.close()

    def _look_at_body(self) -> None:
        if self.pipeline:
            return  # until its turn comes, nothing of it is read
        age_s = self.loop.time() - self._body_since
        if age_s >= self.body_s or self._received < age_s * BODY_BYTES_PER_S:
            self._refuse(too_slow("body"))
        else:
            self._timer = self.loop.call_later(min(1.0, self.body_s - age_s), self._look_at_body)

    def _head_too_slow(self) -> None:
        if self._phase is Phase.HEAD:
            self._refuse(too_slow("headers"))
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

    def _answered(self) -> bool:
        """Whether every request so far has its whole answer."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _refuse(self, error: ApiError) -> None:
        """Answer, if what is wrong has no answer yet and none is under way, and end."""
        cycle: RequestResponseCycle | None = self.cycle
        if self._phase is Phase.ENDING or self.transport.is_closing():
            return
        if self._phase is not Phase.BODY and not self._answered():
            self._end_after_answers()
            return
        if self.pipeline:
            self.transport.close()  # the answer to an earlier request is under way, and nobody here can stop it
            return
        unheard = self._phase is not Phase.BODY  # a body has a cycle of its own, anything else is past it
        if cycle is not None and not cycle.response_complete:
            unheard = not cycle.response_started
            cycle.disconnected = True
            cycle.waiting_for_100_continue = False
            cycle.message_event.set()
            if unheard:
                cast(dict[str, Any], cycle.scope)[REFUSED] = error.status  # the edge counts it, once
        elif unheard and (tally := cast(Tally | None, self.app_state.get(TALLY))) is not None:
            tally.count("", error.status)
        if unheard:
            self.transport.write(whole(error))
        self._end()

    def _end_after_answers(self) -> None:
        """Earlier requests get their answers (RFC 9112, section 9.3.2), and nothing after them is read."""
        self.cycle.keep_alive = False
        self.cycle.transport = cast(asyncio.Transport, _Unhurried(self))
        self._stop_timer()
        self._phase = Phase.ENDING
        self._received = 0

    def _end(self) -> None:
        """Write nothing any more, drop what comes for a moment, and let go of the connection whatever came."""
        if not self.transport.is_closing():
            self._stop_timer()
            self._phase = Phase.ENDING
            self._received = 0
            self.transport.write_eof()
            self._timer = self.loop.call_later(self.linger_s, self.transport.abort)


class _Unhurried:
    """A transport as the answer to a last request sees it: told to close, it lets the request's body end first."""

    def __init__(self, protocol: GuardedProtocol) -> None:
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol.transport, name)

    def close(self) -> None:
        self._protocol.close_politely()
