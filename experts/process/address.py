"""Where a child process listens: a place on this machine that others do not reach."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path

SOCKET_NAME = "s.sock"
"""llama.cpp takes a host for a Unix socket only when it ends in .sock."""
LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel keeps 104 (macOS) or 108 (Linux) for the path of a Unix socket, its closing zero included."""


@dataclass(frozen=True, slots=True)
class Address:
    """A Unix socket in a private folder, or, for engines that know no such thing, a port on loopback."""

    unix_socket: Path | None = None
    port: int | None = None

    @classmethod
    def in_folder(cls, folder: Path) -> Address:
        """A Unix socket in `folder`. Raises ValueError when the path would be too long for the kernel."""
        path = folder / SOCKET_NAME
        if len(str(path).encode()) > LONGEST_SOCKET_PATH:
            raise ValueError(f"{path} is too long for a Unix socket; set TMPDIR to a shorter folder")
        return cls(unix_socket=path)

    @classmethod
    def on_loopback(cls) -> Address:
        """A TCP port on 127.0.0.1 that is free now."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return cls(port=int(probe.getsockname()[1]))

    @property
    def base_url(self) -> str:
        """What an OpenAI client calls its base URL; over a Unix socket the host means nothing."""
        host = "localhost" if self.port is None else f"127.0.0.1:{self.port}"
        return f"http://{host}/v1"

    def clear(self) -> None:
        """Take away the socket file that a dead child left, so that the next one can bind."""
        if self.unix_socket is not None:
            self.unix_socket.unlink(missing_ok=True)

    async def status(self, path: str, timeout_s: float) -> int | None:
        """The HTTP status of GET `path`, or None when nobody answered within `timeout_s` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._get(path)
        except (OSError, TimeoutError, ValueError, IndexError):
            return None

    async def _get(self, path: str) -> int:
        if self.unix_socket is not None:
            reader, writer = await asyncio.open_unix_connection(str(self.unix_socket))
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            status_line = await reader.readline()
            return int(status_line.split()[1])
        finally:
            writer.close()
