from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from experts.process.address import Address


def test_a_path_too_long_for_a_socket_is_refused_with_its_remedy() -> None:
    with pytest.raises(ValueError, match="set TMPDIR to a shorter folder"):
        Address.in_folder(Path("/" + "x" * 120))


@pytest.mark.parametrize("reply", [b"", b"\r\n", b"HTTP/1.1 fine\r\n", b"x" * 100_000])
async def test_who_does_not_speak_http_has_no_status(reply: bytes, tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        writer.close()

    address = Address.in_folder(tmp_path)
    server = await asyncio.start_unix_server(serve, str(address.unix_socket))
    assert await address.status("/health", 5) is None
    server.close()


async def test_who_says_nothing_has_no_status_in_time(tmp_path: Path) -> None:
    talks = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        while await reader.read(1000):
            pass
        writer.close()
        await writer.wait_closed()

    address = Address.in_folder(tmp_path)
    silent = await asyncio.start_unix_server(listen, str(address.unix_socket))
    assert await address.status("/health", 0.05) is None
    silent.close()
    await asyncio.gather(*filter(None, talks))  # its side hears of the end
