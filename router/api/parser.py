"""httptools' parser for a server that stays with HTTP/1.1, whatever else a client offers.

It stops behind a head that offers another protocol and takes the body, which follows, for a request of its own. An
offer may be ignored (RFC 9110, section 7.8), so such a head is read a second time, without the offer.
"""

from __future__ import annotations

from typing import Protocol

import httptools


class Listener(Protocol):
    """The calls of httptools' parser go to this object too."""

    def head_without_offer(self) -> bytes | None:
        """The head that was just read, less what made the parser stop. None: what follows is not to be read."""
        ...


class Parser:
    """What uvicorn calls of `httptools.HttpRequestParser`.

    The listener hears of a head with an offer twice: first with `should_upgrade()`, and with the message's end at once.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._renew()

    def feed_data(self, data: bytes) -> None:
        """Read on. Raises `httptools.HttpParserError` for what is no HTTP."""
        rest = memoryview(data)
        while (offered := self._stops(rest)) is not None:
            head = self._listener.head_without_offer()
            if head is None:
                return
            rest = rest[offered:]
            self._renew()
            self._parser.feed_data(head)

    def _stops(self, data: memoryview) -> int | None:
        """Where in `data` the parser stopped behind an offer; None if it read everything."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            offset: int = stop.args[0]
            return offset
        return None

    def _renew(self) -> None:
        self._parser = httptools.HttpRequestParser(self._listener)
        # As uvicorn does: what follows a last request is ignored, and does not take the answer's place.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def get_method(self) -> bytes:
        """Such as b"POST"."""
        return self._parser.get_method()

    def get_http_version(self) -> str:
        """Such as "1.1"."""
        return self._parser.get_http_version()

    def should_keep_alive(self) -> bool:
        """Whether another request may follow."""
        return self._parser.should_keep_alive()

    def should_upgrade(self) -> bool:
        """Whether the head that was just read offers another protocol, or is CONNECT's."""
        return self._parser.should_upgrade()
