"""Where a child process listens: a Unix socket in a private folder, which others on this machine do not reach."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

SOCKET_NAME = "s.sock"
"""llama.cpp takes a host for a Unix socket only when it ends in .sock."""
LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel keeps 104 (macOS) or 108 (Linux) for the path of a Unix socket, its closing zero included."""


@dataclass(frozen=True, slots=True)
class Address:
    """No port: whoever takes a free one before the child does would be asked in its place."""

    unix_socket: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Address:
        """A Unix socket in `folder`. Raises ValueError when the path would be too long for the kernel."""
        path = folder / SOCKET_NAME
        if len(str(path).encode()) > LONGEST_SOCKET_PATH:
            raise ValueError(f"{path} is too long for a Unix socket; set TMPDIR to a shorter folder")
        return cls(path)

    @property
    def base_url(self) -> str:
        """What an OpenAI client calls its base URL; over a Unix socket the host means nothing."""
        return "http://localhost/v1"

    def clear(self) -> None:
        """Take away the socket file that a dead child left, so that the next one can bind."""
        self.unix_socket.unlink(missing_ok=True)

    async def status(self, path: str, timeout_s: float) -> int | None:
        """The HTTP status of GET `path`, or None when nobody answered within `timeout_s` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._get(path)
        except (OSError, TimeoutError, ValueError, IndexError):
            return None

    async def _get(self, path: str) -> int:
        reader, writer = await asyncio.open_unix_connection(str(self.unix_socket))
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            status_line = await reader.readline()
            return int(status_line.split()[1])
        finally:
            writer.close()
