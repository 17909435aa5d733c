"""What is kept of answers is bounded in number, size and time."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any

import orjson
import pytest

from router.api import replay
from router.api.replay import IDEMPOTENT, Replays


class Endpoint:
    """Counts, and answers with the count and some padding."""

    def __init__(self, padding: int = 0) -> None:
        self.count = 0
        self.padding = padding
        self.gate: asyncio.Event | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.count += 1
        if self.gate is not None:
            await self.gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % self.count + b"x" * self.padding})


async def ask(app: Replays, key: str, body: bytes = b"{}") -> bytes:
    return b"".join(message.get("body", b"") for message in await ask_all(app, key, body))


async def ask_all(app: Replays, key: str, body: bytes = b"{}") -> list[Any]:
    scope = {"type": "http", "path": "/v1/x", "headers": [], "shoal": ("r", "me"), IDEMPOTENT: key.encode()}
    sent: list[Any] = []
    unread = True

    async def receive() -> Any:
        nonlocal unread
        if unread:
            unread = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await asyncio.sleep(3600)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def test_answers_are_forgotten_in_time() -> None:
    now = [0.0]
    endpoint = Endpoint()
    app = Replays(endpoint, 1000, lambda: now[0])
    assert [await ask(app, "a"), await ask(app, "a")] == [b"1", b"1"]
    now[0] = replay.KEPT_S + 1
    assert await ask(app, "a") == b"2"


async def test_answers_are_forgotten_when_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MOST_ANSWERS", 10)
    endpoint = Endpoint()
    app = Replays(endpoint, 1000)
    for number in range(30):
        await ask(app, str(number))
    assert len(app._answers) == 10
    assert await ask(app, "29") == b"30"
    assert await ask(app, "0") == b"31"


async def test_answers_are_forgotten_when_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MOST_BYTES", 10_000)
    app = Replays(Endpoint(padding=3_000), 1000)
    for number in range(10):
        await ask(app, str(number))
    assert len(app._answers) == 3
    assert app._size == sum(answer.size for answer in app._answers.values()) < 10_000


async def test_an_answer_too_large_to_keep_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "LARGEST_ANSWER", 100)
    endpoint = Endpoint(padding=500)
    app = Replays(endpoint, 1000)
    assert len(await ask(app, "a")) == 501
    assert app._answers == {} and app._size == 0
    await ask(app, "a")
    assert endpoint.count == 2


async def test_an_answer_takes_little_more_memory_than_it_has_bytes() -> None:
    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        body = orjson.dumps({"content": "x" * 1200, "id": scope[IDEMPOTENT].decode()})
        pairs = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        expert = [(b"x-shoal-%s" % name, b"%s-%s" % (name, scope[IDEMPOTENT])) for name in (b"expert", b"energy-j")]
        await send({"type": "http.response.start", "status": 200, "headers": [*pairs, *expert]})
        await send({"type": "http.response.body", "body": body})

    app = Replays(endpoint, 1000)
    await ask(app, "warm")
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(200):
            await ask(app, f"key-{number}")
        gc.collect()
        each = tracemalloc.get_traced_memory()[0] / 200
    finally:
        tracemalloc.stop()
    assert len(app._answers) == 201
    assert each < 1200 + 1200


async def test_old_answers_are_forgotten_when_a_new_one_comes() -> None:
    now = [0.0]
    app = Replays(Endpoint(), 1000, lambda: now[0])
    await ask(app, "a")
    now[0] = replay.KEPT_S + 1
    await ask(app, "b")
    assert [key for _, _, key in app._answers] == [b"b"]


async def test_a_replay_says_what_the_first_said() -> None:
    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 201, "headers": [(b"a", b"b: c"), (b"a", b""), (b"d", b"")]}
        )
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    app = Replays(endpoint, 1000)
    first, again = await ask_all(app, "a"), await ask_all(app, "a")
    head = first[0]
    assert again[0] == {**head, "headers": [*head["headers"], (b"x-shoal-replayed", b"true")]}
    assert b"".join(message["body"] for message in again[1:]) == b"one two"
    assert not again[-1].get("more_body")


async def test_when_the_first_is_cancelled_the_second_runs() -> None:
    endpoint = Endpoint()
    endpoint.gate = asyncio.Event()
    app = Replays(endpoint, 1000)
    first = asyncio.create_task(ask(app, "a"))
    await asyncio.sleep(0)
    others = [asyncio.create_task(ask(app, "a")) for _ in range(3)]
    await asyncio.sleep(0.01)
    first.cancel()
    endpoint.gate.set()
    assert await asyncio.gather(*others) == [b"2"] * 3
    assert endpoint.count == 2
