"""Clients that offer another protocol are answered in HTTP/1.1, and what they send is their own request's body."""

from __future__ import annotations

import logging

import pytest

from tests.router.api.wire import GET, refusal, served, talk

JAVA = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\nUpgrade: h2c\r\n"
CURL = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
ODD = b"upgrade: a/1\r\nConnection: x\r\nUPGRADE: b\r\nconnection:upgrade\r\n"
LAST = b"connection: close\r\n"
SECRET = b"POST /second HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}"
"""A whole request, which is the body of another."""
CHUNKS = b"5\r\n%b\r\n%x;a=b\r\n%b\r\n" % (SECRET[:5], len(SECRET) - 5, SECRET[5:])
CHUNKS += b"0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


def posts(offer: bytes, chunked: bool = False) -> tuple[bytes, bytes]:
    """A request's head and its body."""
    framing = b"transfer-encoding: chunked\r\n" if chunked else b"content-length: %d\r\n" % len(SECRET)
    return b"POST /x HTTP/1.1\r\nhost: localhost\r\n" + offer + framing + b"\r\n", CHUNKS if chunked else SECRET


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def split(head: bytes, body: bytes, how: str) -> list[bytes]:
    """The same bytes in other packets."""
    ways = {
        "one packet": [head + body],
        "body apart": [head, body],
        "body begun with the head": [head + body[:7], body[7:]],
        "the head's last byte with the body": [head[:-1], head[-1:] + body],
        "head in pieces": [*pieces(head, 9), body],
        "all in pieces": pieces(head + body, 5),
    }
    return ways[how]


WAYS = ["one packet", "body apart", "body begun with the head", "the head's last byte with the body"]
WAYS += ["head in pieces", "all in pieces"]


def unlogged(caplog: pytest.LogCaptureFixture) -> bool:
    return not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("offer", [JAVA, CURL, ODD], ids=["java", "curl", "odd"])
async def test_an_offer_takes_no_body_away(
    offer: bytes, chunked: bool, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as (app, port):
        answer = await talk(port, *split(*posts(offer + LAST, chunked), how))
        assert (answer.count(b"HTTP/1.1 "), answer[:12]) == (1, b"HTTP/1.1 200")
        assert app.last == SECRET
        assert len(app.bodies) == 1
        assert unlogged(caplog)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("chunked", [False, True])
async def test_requests_behind_one_with_an_offer_are_answered_too(chunked: bool, how: str) -> None:
    head, body = posts(JAVA, chunked)
    rest = b"".join(posts(CURL)) + b"".join(posts(b"")) + GET + b"".join(posts(JAVA + LAST, chunked))
    async with served() as (app, port):
        answer = await talk(port, *split(head, body + rest, how))
        assert (answer.count(b"HTTP/1.1 200"), answer.count(b"HTTP/1.1 ")) == (5, 5)
        size = len(SECRET)
        assert app.bodies == [size, size, size, 0, size]


async def test_a_body_behind_an_offer_waits_for_its_100_continue() -> None:
    head, body = posts(JAVA + LAST + b"Expect: 100-continue\r\n")
    async with served() as (app, port):
        answer = await talk(port, head, body)
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")
        assert app.last == SECRET


async def test_a_body_behind_an_offer_is_read_on_when_it_is_refused() -> None:
    async with served() as (app, port):
        app.refuse = True
        head, body = posts(JAVA)
        answer = await talk(port, head, body, GET.replace(b"\r\n\r\n", b"\r\n" + LAST + b"\r\n"))
        assert (answer.count(b"HTTP/1.1 413"), answer.count(b"HTTP/1.1 ")) == (2, 2)


async def test_a_websocket_gets_an_answer_of_http(caplog: pytest.LogCaptureFixture) -> None:
    keys = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    offer = b"Connection: Upgrade, close\r\nUpgrade: websocket\r\n" + keys
    async with served() as (app, port):
        answer = await talk(port, b"GET /x HTTP/1.1\r\nhost: localhost\r\n" + offer + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert app.bodies == [0]
        assert unlogged(caplog)


async def test_other_headers_are_read_as_they_are_without_an_offer() -> None:
    others = b"X-Empty:\r\nX-Byte: \xe9 \t\r\nAuthorization:  Bearer a b \r\nX-Byte: 2\r\n" + LAST
    async with served() as (app, port):
        await talk(port, b"".join(posts(others)))
        plain = app.headers
        await talk(port, b"".join(posts(ODD + others)))
        assert app.headers == [plain[0], (b"connection", b"x"), (b"connection", b"upgrade"), *plain[1:]]


@pytest.mark.parametrize(
    ("more", "how"),
    [
        (b"transfer-encoding: chunked\r\n", 400),
        (b"content-length: 6\r\n", 400),
        (b"x-long: " + b"v" * 40_000 + b"\r\n", 431),
    ],
)
async def test_an_offer_excuses_nothing(more: bytes, how: int) -> None:
    async with served() as (app, port):
        head, body = posts(JAVA + more)
        answer = await talk(port, head + body + SECRET)
        assert refusal(answer)[0] == how
        assert app.bodies == []


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("offer", [b"", JAVA], ids=["", "java"])
async def test_a_tunnel_is_refused_and_nothing_in_it_is_a_request(
    offer: bytes, apart: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tunnel = b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost\r\n" + offer + b"\r\n"
    async with served() as (app, port):
        answer = await talk(port, *([tunnel, SECRET] if apart else [tunnel + SECRET + tunnel]))
        assert refusal(answer) == (501, "method_not_supported")
        assert b"Shoal is no proxy" in answer
        assert app.bodies == []
        assert unlogged(caplog)
