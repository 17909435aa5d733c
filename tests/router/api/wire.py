"""An application behind `GuardedProtocol` on a real socket, and a client that says what it likes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from router.api.protocol import GuardedProtocol

GET = b"GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n"
NEVER = 3600.0


class Application:
    """Answers with how many bytes it read, and remembers what it saw."""

    def __init__(self) -> None:
        self.bodies: list[int] = []
        self.last = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.more: list[tuple[bytes, bytes]] = []
        self.before: list[bytes] = []
        """Sent before it says how many."""
        self.free, self.free_to_end = asyncio.Event(), asyncio.Event()
        """To begin its answers, and to end them."""
        self.free.set()
        self.free_to_end.set()
        self.left = asyncio.Event()
        self.flood = False
        self.refuse = False

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        size, body = 0, []
        while not self.refuse:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            size += len(message["body"])
            body.append(message["body"])
            if not message["more_body"]:
                break
        await self.free.wait()
        self.bodies.append(size)
        self.last = b"".join(body)
        self.headers = list(scope["headers"])
        await send({"type": "http.response.start", "status": 413 if self.refuse else 200, "headers": self.more})
        if self.flood:
            watching = asyncio.ensure_future(receive())
            while not watching.done():
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            self.left.set()
            return
        for part in self.before:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await self.free_to_end.wait()
        await send({"type": "http.response.body", "body": b"read %d" % size})


@asynccontextmanager
async def served(**patience: float) -> AsyncIterator[tuple[Application, int]]:
    app = Application()
    limits = {"head_s": NEVER, "body_s": NEVER, "body_grace_s": NEVER, "reader_s": NEVER, "linger_s": 5.0, **patience}
    protocol = type("Short", (GuardedProtocol,), limits)
    config = uvicorn.Config(
        app, port=0, http=protocol, loop="asyncio", lifespan="off", log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve([listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield app, listener.getsockname()[1]
        server.should_exit = True
        await task


async def talk(port: int, *parts: bytes) -> bytes:
    """Send the parts, each in a packet of its own, and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.01)
    answer = await reader.read()
    writer.close()
    return answer


def refusal(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"x-request-id: " in head
    assert b"content-type: application/json" in head
    assert b"openai-version: " in head
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return int(head.split()[1]), error["code"]
