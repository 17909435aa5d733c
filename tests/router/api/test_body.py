"""Where a body is parsed."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from router.api import body
from router.api.errors import ApiError
from router.api.strict_json import LARGE_BYTES


async def read(*parts: bytes) -> Any:
    waiting = list(parts)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    return await body.read_json({"headers": []}, receive, 10_000_000)


async def test_a_large_body_is_parsed_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "parse", lambda _: threading.current_thread())
    here = threading.current_thread()
    assert await read(b"x" * LARGE_BYTES) is here
    assert await read(b"x" * LARGE_BYTES, b"x") is not here


async def test_what_is_wrong_with_it_is_said_the_same_way() -> None:
    for size in (1, LARGE_BYTES):
        with pytest.raises(ApiError, match="We could not parse the JSON body of your request"):
            await read(b'["' + b"x" * size)
    assert await read(b'"', b"x" * LARGE_BYTES, b'"') == "x" * LARGE_BYTES
