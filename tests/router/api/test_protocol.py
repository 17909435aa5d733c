"""Slow heads, slow bodies and slow readers on a real socket; patience is shortened, never measured."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import pytest

from router.api.protocol import HEAD_BYTES
from tests.router.api.wire import GET, NEVER, refusal, served, talk


async def test_a_head_that_never_ends_is_refused() -> None:
    async with served(head_s=0.1) as (_, port):
        assert refusal(await talk(port, GET[:20])) == (408, "request_timeout")
        assert await talk(port) == b""  # not a word: nothing to answer


async def test_a_second_head_on_the_same_connection_too() -> None:
    async with served(head_s=0.5) as (app, port):
        answer = await talk(port, GET, GET[:20])
        assert answer.startswith(b"HTTP/1.1 200")
        assert refusal(answer[answer.index(b"HTTP/1.1 408") :]) == (408, "request_timeout")
        assert app.bodies == [0]


async def test_a_head_dripped_byte_by_byte_in_time_is_served() -> None:
    async with served() as (app, port):
        closing = GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in closing:
            writer.write(bytes([byte]))
            await writer.drain()
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        assert app.bodies == [0]


@pytest.mark.parametrize("patience", [{"body_grace_s": 0.1}, {"body_grace_s": 0.05, "body_s": 0.1}])
async def test_a_body_that_never_ends_is_refused(patience: dict[str, float]) -> None:
    head = b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n"
    async with served(**patience) as (app, port):
        assert refusal(await talk(port, head, b"x" * 50_000 if "body_s" in patience else b"x")) == (
            408,
            "request_timeout",
        )
        await app.left.wait()
        assert app.bodies == []


async def test_a_large_body_in_pieces_is_served() -> None:
    head = b"POST /x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 5000000\r\n\r\n"
    async with served() as (app, port):
        answer = await talk(port, head, *[b"x" * 500_000] * 10)
        assert b"read 5000000" in answer
        assert app.bodies == [5_000_000]


@pytest.mark.parametrize("parts", [1, 40])
async def test_headers_beyond_the_limit(parts: int) -> None:
    lines = [b"x-%d: %b\r\n" % (number, b"v" * (HEAD_BYTES // 40)) for number in range(42)]
    whole = b"GET /x HTTP/1.1\r\nhost: localhost\r\n" + b"".join(lines) + b"\r\n"
    size = -(-len(whole) // parts)
    async with served() as (app, port):
        answer = await talk(port, *[whole[at : at + size] for at in range(0, len(whole), size)])
        assert refusal(answer) == (431, "headers_too_large")
        assert app.bodies == []


CHUNKED = b"POST /x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("apart", [False, True])
async def test_trailers_are_no_headers(apart: bool) -> None:
    last = b"0\r\nauthorization: Bearer another\r\nx-late: 1\r\n\r\n"
    parts = [CHUNKED, b"2\r\n{}\r\n", last]
    async with served() as (app, port):
        assert b"read 2" in await talk(port, *(parts if apart else [b"".join(parts)]))
        assert {name for name, _ in app.headers} == {b"host", b"connection", b"transfer-encoding"}


@pytest.mark.parametrize("piece", [b"x: y\r\n", b"x"])
@pytest.mark.parametrize("begun", [b"2\r\n{}\r\n0\r\n", b"2;", b"2;x="])
async def test_what_comes_with_a_body_and_is_none_of_it_is_bounded(begun: bytes, piece: bytes) -> None:
    """A trailer that grew took the square of its length, and many took three gigabytes of memory."""
    async with served() as (app, port):
        answer = await talk(port, CHUNKED, begun, *[piece * (HEAD_BYTES // 4 // len(piece))] * 6)
        assert answer.split()[1] in (b"431", b"400")
        assert app.bodies == []


async def test_trailers_beyond_the_limit_are_not_called_headers() -> None:
    async with served() as (_, port):
        answer = await talk(port, CHUNKED, b"2\r\n{}\r\n0\r\n", *[b"x: y\r\n" * (HEAD_BYTES // 24)] * 6)
        assert refusal(answer) == (431, "headers_too_large")
        assert b"The chunk sizes and trailers are longer than" in answer


async def test_a_large_body_in_the_same_packet_is_no_large_head() -> None:
    head = b"POST /x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 60000\r\n\r\n"
    async with served() as (app, port):
        assert (await talk(port, head + b"x" * 60_000)).startswith(b"HTTP/1.1 200")
        assert app.bodies == [60_000]


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,  # a TLS hello on a plain port
        b"GET /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        b"POST /x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"G\xff\xff /x HTTP/1.1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET http://localhost HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_in_our_shape(bytes_sent: bytes) -> None:
    async with served() as (app, port):
        assert refusal(await talk(port, bytes_sent)) == (400, "invalid_http")
        assert app.bodies == []


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"gzip\r\ntransfer-encoding: chunked", b"identity, chunked"])
async def test_a_body_that_is_more_than_chunked_is_refused(coding: bytes) -> None:
    """It was read as if it were not compressed."""
    head = CHUNKED.replace(b"transfer-encoding: chunked", b"transfer-encoding: " + coding)
    async with served() as (app, port):
        assert refusal(await talk(port, head + b"2\r\n{}\r\n0\r\n\r\n")) == (501, "unsupported_transfer_coding")
        assert app.bodies == []
        assert b"read 2" in await talk(port, CHUNKED.replace(b"chunked", b"Chunked ") + b"2\r\n{}\r\n0\r\n\r\n")


async def test_a_refused_body_is_read_on_so_that_the_refusal_arrives() -> None:
    head = b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 30000000\r\n\r\n"
    async with served() as (app, port):
        app.refuse = True
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        for _ in range(30):
            writer.write(b"x" * 1_000_000)
            await writer.drain()
        assert (await reader.readuntil(b"read 0")).startswith(b"HTTP/1.1 413")
        app.refuse = False
        writer.write(GET)  # the connection is of use still
        assert (await reader.readuntil(b"read 0")).count(b"HTTP/1.1 200") == 1
        writer.close()


async def test_a_refused_last_body_is_read_on_too() -> None:
    head = b"POST /x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 30000000\r\n\r\n"
    async with served() as (app, port):
        app.refuse = True
        answer = await talk(port, head, *[b"x" * 1_000_000] * 30)
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"read 0" in answer


@pytest.mark.parametrize(
    ("last", "grace_s"), [(b"connection: close\r\n", NEVER), (b"connection: close\r\n", 0.05), (b"", 0.05)]
)
async def test_a_refused_body_that_drips_on_ends_the_connection_without_another_word(
    last: bytes, grace_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    head = b"POST /x HTTP/1.1\r\nhost: localhost\r\n" + last + b"content-length: 500000\r\n\r\nx"
    async with served(body_grace_s=grace_s, linger_s=0.1) as (app, port):
        app.refuse = True
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        answer = await reader.readuntil(b"read 0")
        with pytest.raises(ConnectionError):
            while True:  # until the server is really gone
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        with suppress(ConnectionError):
            answer += await reader.read()
        assert answer.count(b"HTTP/1.1 ") == 1
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_what_follows_a_refused_head_in_its_packet_is_not_served(caplog: pytest.LogCaptureFixture) -> None:
    long = b"GET /x HTTP/1.1\r\nhost: localhost\r\nx-y: " + b"v" * HEAD_BYTES + b"\r\n\r\n"
    async with served() as (app, port):
        assert refusal(await talk(port, long + GET + b"\xff\xff")) == (431, "headers_too_large")
        assert app.bodies == []
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_head_after_a_body_in_its_packet_has_a_time_of_its_own() -> None:
    post = b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nx"
    async with served(head_s=0.5) as (app, port):
        answer = await talk(port, post, b"x" + GET[:20])
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"headers of the request came too slowly" in answer
        assert app.bodies == [2]


@pytest.mark.parametrize("first", [b"", GET])
async def test_empty_lines_keep_no_connection_open(first: bytes) -> None:
    async with served(head_s=0.5) as (app, port):
        answer = await talk(port, *[first] * bool(first), b"\r\n")
        assert answer.count(b"HTTP/1.1 ") == len(app.bodies) == bool(first)


async def test_a_client_that_reads_nothing_is_dropped() -> None:
    async with served(reader_s=0.1) as (app, port):
        app.flood = True
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await app.left.wait()
        writer.close()
