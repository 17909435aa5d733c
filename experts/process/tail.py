"""The last words of a child process: what it wrote, drained all the time, the newest part kept."""

from __future__ import annotations

import asyncio

KEPT_BYTES = 64 * 1024
READ_BYTES = 16 * 1024


class Tail:
    """A bounded memory of a stream. It always reads on, so a talkative child never blocks on a full pipe."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Remember `data`, forgetting the oldest bytes beyond the bound."""
        self._data += data
        if len(self._data) > self._kept_bytes:
            del self._data[: len(self._data) - self._kept_bytes]

    async def drain(self, stream: asyncio.StreamReader | None) -> None:
        """Read `stream`, if there is one, to its end."""
        while stream and (data := await stream.read(READ_BYTES)):
            self.feed(data)

    def clear(self) -> None:
        """Forget everything."""
        self._data.clear()

    def text(self, lines: int | None = None) -> str:
        """What was written, control characters replaced, or only its last `lines` lines that are not blank."""
        text = self._data.decode("utf-8", "replace")
        printable = ("".join(c if c.isprintable() else "?" for c in line.rstrip()) for line in text.splitlines())
        said = [line for line in printable if line]
        return "\n".join(said if lines is None else said[-lines:])
