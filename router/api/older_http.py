"""Answers to HTTP/1.0, which knows no chunks (RFC 9112, section 6.1): where no length is told, closing ends them."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Unchunked:
    """An application as one request in HTTP/1.0 meets it; the connection is closed after the answer."""

    def __init__(self, app: ASGIApp, cycle: RequestResponseCycle) -> None:
        self._app = app
        self._cycle = cycle
        cycle.keep_alive = False
        cycle.waiting_for_100_continue = False  # to be ignored in HTTP/1.0 (RFC 9110, section 10.1.1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request. The cycle, which knows chunks or a length, takes each part for the last of a length."""
        told = False

        async def unchunked(message: Message) -> None:
            nonlocal told
            if message["type"] == "http.response.start":
                told = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
                if not told:
                    self._cycle.chunked_encoding = False
            elif not told:
                self._cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, unchunked)
