"""The application around its endpoints."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message

from router.api.edge import BrokenOff
from router.app import create_app
from router.settings import Settings


async def test_a_bug_of_an_endpoint_is_answered_in_openais_shape(tmp_path: Path) -> None:
    async def broken(_: Request) -> Response:
        raise ZeroDivisionError("a bug")

    app = create_app(Settings(registry=tmp_path / "registry.yaml", data_dir=tmp_path))
    app.router.routes[:0] = [Route("/v1/broken", broken)]
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": "/v1/broken", "raw_path": b"/v1/broken",
        "root_path": "", "scheme": "http", "query_string": b"", "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    with pytest.raises(BrokenOff) as raised:  # for whoever runs it to log, words of requests not among it
        await app(scope, receive, send)
    assert "a bug" not in "".join(traceback.format_exception(raised.value))
    assert sent[0]["status"] == 500
    error = json.loads(b"".join(message.get("body", b"") for message in sent[1:]))["error"]
    assert (error["type"], error["code"], "a bug" in error["message"]) == ("server_error", None, False)
