"""Streams as any client reads them: alive while nothing comes, ended by an event when they break, whole HTTP."""

from __future__ import annotations

import json

import httptools
import openai
import pytest

from tests.service.server import Server

CHAT = "/v1/chat/completions"


def ask(text: str, **more: object) -> dict[str, object]:
    return {"model": "poet", "messages": [{"role": "user", "content": text}], "stream": True, **more}


def stream(server: Server, body: dict[str, object]) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of a stream that was read to its end."""
    return server.send("POST", CHAT, json.dumps(body).encode(), {"content-type": "application/json"})


def test_a_late_stream_begins_with_a_comment(shared: Server) -> None:
    status, raw, headers = stream(shared, ask("LATE"))
    assert status == 200
    assert raw.startswith(b": still here\n\n")
    assert raw.endswith(b"data: [DONE]\n\n")
    assert headers["content-type"].startswith("text/event-stream")
    chunks = list(shared.client().chat.completions.create(**ask("LATE")))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Roses, at last."
    assert chunks[-1].model_extra["shoal"]["decision"]["expert"] == "poet"


def test_an_error_after_the_head_is_an_event(shared: Server) -> None:
    status, raw, _ = stream(shared, ask("LATEFAIL"))
    assert status == 200
    assert b"[DONE]" not in raw
    error = json.loads(raw.strip().rsplit(b"data: ", 1)[1])["error"]
    assert (error["type"], error["code"]) == ("server_error", "upstream_error")
    with pytest.raises(openai.APIError):
        list(shared.client().chat.completions.create(**ask("LATEFAIL")))


def test_an_error_before_the_head_is_a_status(shared: Server) -> None:
    assert stream(shared, ask("BREAK"))[0] == 502
    assert stream(shared, ask("x", model="nobody"))[0] == 404


def test_the_bytes_on_the_wire_are_whole_http(shared: Server) -> None:
    import socket

    body = json.dumps(ask("a poem")).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", shared.port)) as connection:
        connection.sendall(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        raw = b""
        while not raw.endswith(b"0\r\n\r\n"):
            raw += connection.recv(65536)

    def read(*parts: bytes) -> bytes:
        got = bytearray()

        class Reader:
            def on_body(self, data: bytes) -> None:
                got.extend(data)

        parser = httptools.HttpResponseParser(Reader())
        for part in parts:
            parser.feed_data(part)
        return bytes(got)

    wanted = read(raw)
    assert wanted.endswith(b"data: [DONE]\n\n")
    for at in range(1, len(raw)):
        assert read(raw[:at], raw[at:]) == wanted
