"""An OpenAI-compatible server that answers at once: what is left of a request's cost is the gateway's own.

`python -m eval.bench.upstream FD` serves on the listening socket it inherited and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from typing import Any, Final

import orjson

EVENTS: Final = 33
"""Events of a streamed answer before [DONE]: role, deltas, finish reason, usage."""

DELTAS: Final = EVENTS - 3
PACE_S: Final = 0.001
"""Between two events of a paced stream, so that each is read by itself."""

BURST, PACED, JOINED = "burst", "paced", "joined"
"""Model names: one write an event, the same with `PACE_S` between them, one write for the whole stream."""

_ID: Final[dict[str, Any]] = {"id": "chatcmpl-bench", "created": 1_700_000_000}
_USAGE: Final = {"prompt_tokens": 12, "completion_tokens": DELTAS, "total_tokens": 12 + DELTAS}
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream": ?true')
_MODEL = re.compile(rb'"model": ?"(\w+)"')


def completion_body() -> bytes:
    """A chat.completion of one short choice."""
    message = {"role": "assistant", "content": " word" * DELTAS}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return orjson.dumps({**_ID, "object": "chat.completion", "model": "bench", "choices": [choice], "usage": _USAGE})


def stream_events() -> list[bytes]:
    """The events of the same answer as a stream, and [DONE]."""
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, *[{"content": " word"}] * DELTAS]
    choices: list[list[dict[str, Any]]] = [
        [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}] for delta in deltas
    ]
    choices += [[{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}], []]
    head = {**_ID, "object": "chat.completion.chunk", "model": "bench"}
    chunks = [{**head, "choices": each, "usage": None if each else _USAGE} for each in choices]
    return [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


def _whole(kind: bytes, body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (status, kind, len(body), body)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


JSON: Final = b"application/json"
COMPLETION: Final = _whole(JSON, completion_body())
MODELS: Final = _whole(JSON, orjson.dumps({"object": "list", "data": [{"id": BURST, "object": "model"}]}))
HEALTH: Final = _whole(JSON, b'{"status":"ok"}')
MISSING: Final = _whole(JSON, b'{"error":{"message":"not found"}}', b"404 Not Found")

_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_EVENTS: Final = [_chunk(event) for event in stream_events()]
WRITES: Final = [_HEAD + _EVENTS[0], *_EVENTS[1:-1], _EVENTS[-1] + b"0\r\n\r\n"]
"""A streamed answer as it is written: one write an event."""


class Upstream(asyncio.Protocol):
    """One kept-alive connection; a request is answered in the call that completed it."""

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the transport and its socket: small writes must leave one by one, and at once."""
        self._transport = transport
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._fd = connection.fileno()

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._rest, 0, end)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._rest) < size:
                return
            head, body = self._rest[:end], self._rest[end + 4 : size]
            self._rest = self._rest[size:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"POST /v1/chat/completions "):
            if _STREAM.search(body):
                self._stream(body)
            else:
                self._transport.write(COMPLETION)
        elif head.startswith(b"GET /v1/models "):
            self._transport.write(MODELS)
        else:
            self._transport.write(HEALTH if head.startswith(b"GET /health ") else MISSING)

    def _stream(self, body: bytes) -> None:
        model = _MODEL.search(body)
        name = model[1].decode() if model else BURST
        if name == PACED:
            self._pace(0)
        elif name == JOINED:
            self._transport.write(b"".join(WRITES))
        else:
            self._burst()

    def _burst(self) -> None:
        """Write event by event past the transport, which would join what is written in one turn of the loop."""
        for position, event in enumerate(WRITES):
            try:
                written = os.write(self._fd, event)
            except BlockingIOError:
                written = 0
            if written < len(event):  # the reader is slow; now the order of bytes is the transport's to keep
                self._transport.write(event[written:] + b"".join(WRITES[position + 1 :]))
                return

    def _pace(self, position: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(WRITES[position])
        if position + 1 < len(WRITES):
            asyncio.get_running_loop().call_later(PACE_S, self._pace, position + 1)


class Leash(asyncio.Protocol):
    """Standard input: when it ends, whoever started us is gone."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the server end."""
        self._ended.set()


async def serve(listener: socket.socket) -> None:
    """Serve on `listener` until standard input ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    await loop.connect_read_pipe(lambda: Leash(ended), sys.stdin)
    server = await loop.create_server(Upstream, sock=listener)
    await ended.wait()
    server.close()


def main() -> None:
    """Serve on the inherited socket."""
    import uvloop

    uvloop.run(serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
