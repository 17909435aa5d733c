"""An OpenAI-compatible server on loopback that misbehaves as told: raw bytes, no HTTP library, no mercy.

The behaviour is chosen by the `model` a request names: `ok`, or any name registered in `Upstream.behaviours`; that of
a GET is registered as "".
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}


def completion(model: str = "ok", text: str = "Hello there", **extra: Any) -> dict[str, Any]:
    """A whole answer as OpenAI writes it."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": model}
    return {**body, "choices": [choice], "usage": USAGE, **extra}


def chunk(delta: dict[str, Any], finish: str | None = None, model: str = "ok", **extra: Any) -> dict[str, Any]:
    """One streamed chunk as OpenAI writes it."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": model}
    return {**body, "choices": [choice], **extra}


def event(chunk: Any) -> bytes:
    """A server-sent event that says `chunk`."""
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def story(words: tuple[str, ...] = ("Hel", "lo ", "wörld 🐟"), model: str = "ok") -> list[bytes]:
    """A whole, well-formed stream: role, words, finish, usage, [DONE]."""
    chunks = [chunk({"role": "assistant", "content": ""}, model=model)]
    chunks += [chunk({"content": word}, model=model) for word in words]
    chunks += [chunk({}, "stop", model=model), {**chunk({}, model=model), "choices": [], "usage": USAGE}]
    return [*map(event, chunks), b"data: [DONE]\n\n"]


@dataclass
class Exchange:
    """One request as it arrived, and the means to answer it. A GET has an empty body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connection: int
    """How many connections the server had taken when this one came."""

    async def send(self, body: bytes, status: int = 200, headers: dict[str, str] = JSON) -> None:
        """A complete answer."""
        self.head(status, {**headers, "content-length": str(len(body))})
        await self.write(body)

    async def stream(self, *parts: bytes, end: bool = True, pause_s: float = 0.0) -> None:
        """A chunked event stream, each part in a write of its own."""
        self.head(200, {**SSE, "transfer-encoding": "chunked"})
        for part in parts:
            await self.part(part)
            await asyncio.sleep(pause_s)
        if end:
            await self.write(b"0\r\n\r\n")

    async def part(self, part: bytes) -> None:
        """One chunk of a chunked answer."""
        await self.write(b"%x\r\n%b\r\n" % (len(part), part))

    def head(self, status: int, headers: dict[str, str]) -> None:
        """Status line and headers."""
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def write(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Cut the connection with RST instead of FIN."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Return when the client has closed its end."""
        while await self.reader.read(65536):
            pass


Behaviour = Callable[[Exchange], Awaitable[None]]


async def answer_well(exchange: Exchange) -> None:
    """What a good server does."""
    model = exchange.body["model"]
    if exchange.body.get("stream"):
        await exchange.stream(*story(model=model))
    else:
        await exchange.send(orjson.dumps(completion(model)))


@dataclass
class Upstream:
    """A running server: `url` ends in /v1, `seen` holds every request in order."""

    url: str = ""
    seen: list[Exchange] = field(default_factory=list)
    connections: int = 0
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    deaf: bool = False
    """Reads everything and answers nothing."""

    stop_listening: Callable[[], None] = lambda: None

    def behave(self, model: str) -> Callable[[Behaviour], Behaviour]:
        """Decorator: requests for `model` are answered so."""

        def register(behaviour: Behaviour) -> Behaviour:
            self.behaviours[model] = behaviour
            return behaviour

        return register

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
        self.connections += 1
        connection = self.connections
        try:
            while not writer.is_closing() and (exchange := await _receive(reader, writer, connection)):
                if self.deaf:
                    await exchange.gone()
                    break
                if not exchange.body:
                    if "" in self.behaviours:
                        self.seen.append(exchange)
                        await self.behaviours[""](exchange)
                        continue
                    await exchange.send(b'{"object": "list", "data": []}')
                    continue
                self.seen.append(exchange)
                await self.behaviours.get(exchange.body["model"], answer_well)(exchange)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left; what it saw is what the test asserts
        finally:
            writer.close()


async def _receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> Exchange | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    request, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Exchange(request.split()[1], headers, orjson.loads(body or b"{}"), reader, writer, connection)


@asynccontextmanager
async def running(unix_socket: str | None = None) -> AsyncIterator[Upstream]:
    """A fresh upstream on a free port of 127.0.0.1, or on a Unix socket."""
    upstream = Upstream()
    if unix_socket is not None:
        server = await asyncio.start_unix_server(upstream.serve, unix_socket)
        upstream.url = "http://localhost/v1"
    else:
        server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
        upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    upstream.stop_listening = server.close
    try:
        yield upstream
    finally:
        server.close()
