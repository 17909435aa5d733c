"""Clients that speak HTTP/1.0 get nothing that only HTTP/1.1 has."""

from __future__ import annotations

import pytest

from tests.router.api.wire import served, talk


def read(answer: bytes) -> tuple[set[bytes], bytes]:
    """The head's lines, less those of every answer, and the body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return {line for line in head.split(b"\r\n") if not line.startswith((b"date: ", b"server: "))}, body


OK, CLOSE = b"HTTP/1.1 200 OK", b"connection: close"
POST = b"POST /x HTTP/%b\r\nhost: localhost\r\ncontent-length: 5\r\n%b\r\n"


@pytest.mark.parametrize("version", [b"1.0", b"0.9"])
@pytest.mark.parametrize("more", [b"", b"connection: keep-alive\r\n"])
@pytest.mark.parametrize("parts", [[], [b"data: 1\n\n", b"", b"data: 2\n\n"]])
async def test_an_answer_without_a_length_ends_with_its_connection(
    version: bytes, more: bytes, parts: list[bytes]
) -> None:
    async with served() as (app, port):
        app.before = parts
        answer = await talk(port, POST % (version, more) + b"hello")
        assert read(answer) == ({OK, CLOSE}, b"".join(parts) + b"read 5")


async def test_a_length_that_is_known_is_told() -> None:
    async with served() as (app, port):
        app.more = [(b"Content-Length", b"6")]
        answer = await talk(port, POST % (b"1.0", b"") + b"hello")
        assert read(answer) == ({OK, CLOSE, b"content-length: 6"}, b"read 5")


async def test_an_answer_to_head_has_no_body() -> None:
    async with served() as (_, port):
        answer = await talk(port, b"HEAD /x HTTP/1.0\r\nhost: localhost\r\n\r\n")
        assert read(answer) == ({OK, CLOSE}, b"")


async def test_no_100_continue_comes() -> None:
    async with served() as (app, port):
        answer = await talk(port, POST % (b"1.0", b"expect: 100-continue\r\n"), b"hello")
        assert answer.startswith(b"HTTP/1.1 200")
        assert app.last == b"hello"


async def test_answers_in_http_1_1_have_chunks() -> None:
    async with served() as (app, port):
        app.before = [b"data: 1\n\n"]
        head, body = read(await talk(port, POST % (b"1.1", b"connection: close\r\n") + b"hello"))
        assert head == {OK, CLOSE, b"transfer-encoding: chunked"}
        assert body == b"9\r\ndata: 1\n\n\r\n6\r\nread 5\r\n0\r\n\r\n"
