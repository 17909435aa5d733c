"""What is wrong with a request takes no answer away from those before it on the connection."""

from __future__ import annotations

import asyncio

import pytest

from router.api.protocol import HEAD_BYTES
from tests.router.api.wire import GET, served, talk

POST = b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello"
BAD = {
    "bytes": b"\xff\xff\r\n\r\n",
    "header": b"GET /x HTTP/1.1\r\nx y\r\n\r\n",
    "target": b"GET http://localhost HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "tunnel": b"CONNECT x:1 HTTP/1.1\r\n\r\n",
    "long": b"GET /x HTTP/1.1\r\nx-y: " + b"v" * HEAD_BYTES + b"\r\n\r\n",
}


@pytest.mark.parametrize("before", [1, 3])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_answers_to_earlier_requests_are_given(bad: bytes, apart: bool, before: int) -> None:
    """Its refusal came in the place of their answers: for a client, as the answer to another request."""
    async with served() as (app, port):
        app.free.clear()
        good = POST * before
        asking = asyncio.create_task(talk(port, *([good, bad] if apart else [good + bad]), GET))
        await asyncio.sleep(0.1)
        app.free.set()
        answer = await asking
        assert (answer.count(b"HTTP/1.1 200"), answer.count(b"HTTP/1.1 ")) == (before, before)
        assert answer.endswith(b"\r\n6\r\nread 5\r\n0\r\n\r\n")
        assert app.bodies == [5] * before


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_stream_under_way_comes_to_its_end(bad: bytes, apart: bool) -> None:
    async with served() as (app, port):
        app.before = [b"begun"]
        app.free_to_end.clear()
        asking = asyncio.create_task(talk(port, *([POST, bad] if apart else [POST + bad])))
        await asyncio.sleep(0.1)
        app.free_to_end.set()
        assert (await asking).endswith(b"\r\n5\r\nbegun\r\n6\r\nread 5\r\n0\r\n\r\n")


async def test_a_head_that_never_ends_takes_no_earlier_answer_away() -> None:
    async with served(head_s=0.1) as (app, port):
        app.free.clear()
        asking = asyncio.create_task(talk(port, POST, GET[:20]))
        await asyncio.sleep(0.3)
        app.free.set()
        answer = await asking
        assert (answer.count(b"HTTP/1.1 "), answer.count(b"read 5")) == (1, 1)


async def test_a_body_whose_turn_has_not_come_is_not_too_slow() -> None:
    """Behind an answer that takes its time, nothing is read."""
    head, body = POST[:-5], POST[-5:]
    async with served(body_grace_s=0.5) as (app, port):
        app.free.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST + head)
        await asyncio.sleep(1)
        app.free.set()
        await reader.readuntil(b"read 5\r\n0\r\n\r\n")
        writer.write(body)
        assert (await reader.readuntil(b"read 5\r\n0\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()
