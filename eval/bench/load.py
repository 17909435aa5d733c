"""A closed loop of kept-alive connections: each sends its next request when it has its answer, and checks every answer.

Written on the bare protocol, so that it takes a small part of what it measures.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import orjson

from eval.bench.errors import BenchError
from eval.bench.upstream import EVENTS

END_OF_CHUNKS = b"\r\n0\r\n\r\n"
DONE = b"data: [DONE]\n\n"

PATIENCE_S = 60.0
"""How long a window in which nothing was answered goes on at most: on a busy machine a short one may see no answer."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_EXPERT = re.compile(rb"\r\nx-shoal-expert: *([^\r]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to send to, and the word that a right answer holds."""

    port: int
    marker: bytes = b'"shoal"'


def post(port: int, model: str, prompt: str, stream: bool = False) -> bytes:
    """A chat completion as it goes over the wire."""
    body: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    data = orjson.dumps(body)
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
    return (head % port).encode() + b"content-length: %d\r\n\r\n%b" % (len(data), data)


def fault(head: bytes, body: bytes, marker: bytes) -> str | None:
    """What is wrong with an answer; None when it is right."""
    if not head.startswith(b"HTTP/1.1 200 "):
        return f"status {head[9:12].decode(errors='replace')}: {body[:300].decode(errors='replace')}"
    if marker not in body:
        return f"an answer without {marker.decode()}: {body[:300].decode(errors='replace')}"
    if b"text/event-stream" in head:
        if not body.endswith(DONE + END_OF_CHUNKS):
            return f"a stream that does not end with [DONE]: {body[-100:]!r}"
        if (events := body.count(b"data: {")) != EVENTS:
            return f"a stream of {events} events, not {EVENTS}"
    return None


@dataclass(slots=True)
class Tally:
    """What came back."""

    answers: int = 0
    errors: int = 0
    first_error: str | None = None
    latencies_ns: list[int] = field(default_factory=list)
    experts: Counter[str] = field(default_factory=Counter)

    def right(self, latency_ns: int, expert: str) -> None:
        """Count a right answer."""
        self.answers += 1
        self.latencies_ns.append(latency_ns)
        self.experts[expert] += 1

    def wrong(self, why: str) -> None:
        """Count a wrong one."""
        self.errors += 1
        self.first_error = self.first_error or why


class Connection(asyncio.Protocol):
    """One connection of the loop."""

    def __init__(self, requests: Iterator[bytes], marker: bytes, tally: Callable[[], Tally]) -> None:
        """`tally` gives the tally that counts now; it changes between warm-up and window."""
        self._requests = requests
        self._marker = marker
        self._tally = tally
        self._data = bytearray()
        self._size: int | None = None
        self._stopping = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Send the first request."""
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Collect the answer; when it is whole, check it and send the next request."""
        whole = self._data
        whole += data
        if self._size is None:
            end = whole.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(whole, 0, end)
            self._head = end + 4
            self._size = end + 4 + int(length[1]) if length else 0
        if len(whole) < self._size if self._size else not whole.endswith(END_OF_CHUNKS):
            return
        self._count(bytes(whole[: self._head]), bytes(whole[self._head :]))
        if self._stopping:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count an answer that never came."""
        if self._data or not self._stopping:
            self._tally().wrong(f"the connection was closed in the middle of a request ({exc or 'end of stream'})")
        if not self.ended.done():
            self.ended.set_result(None)

    def stop(self) -> None:
        """Close when the answer under way has come."""
        self._stopping = True

    def _send(self) -> None:
        self._data.clear()
        self._size = None
        self._sent_ns = time.perf_counter_ns()
        self._transport.write(next(self._requests))

    def _count(self, head: bytes, body: bytes) -> None:
        self._data.clear()
        if why := fault(head, body, self._marker):
            self._tally().wrong(why)
            return
        expert = _EXPERT.search(head)
        self._tally().right(time.perf_counter_ns() - self._sent_ns, expert[1].decode() if expert else "")


@dataclass(slots=True)
class Window:
    """What was seen between two moments of a steady load."""

    tally: Tally
    wall_ns: int
    cpu_ns: int
    """Own CPU time of the process under load."""
    outside: int = 0
    """Right answers before and after the window."""

    @property
    def cpu_us(self) -> float:
        """Own CPU time of an answer, in microseconds. Raises ZeroDivisionError when nothing was answered."""
        return self.cpu_ns / 1000 / self.tally.answers


async def window(
    address: Address, requests: Iterator[bytes], connections: int, settle_s: float, seconds: float,
    cpu_ns: Callable[[], int],
) -> Window:  # fmt: skip
    """Load `address`, wait `settle_s`, look for `seconds` and until something came. What is wrong before counts too."""
    loop = asyncio.get_running_loop()
    tally = before = Tally()
    came = asyncio.Event()

    def current() -> Tally:
        came.set()
        return tally

    def make() -> Connection:
        return Connection(requests, address.marker, current)

    made = [(await loop.create_connection(make, "127.0.0.1", address.port))[1] for _ in range(connections)]
    await asyncio.sleep(settle_s)
    tally = Tally()
    came.clear()
    seen, begun_ns, cpu_before_ns = tally, time.perf_counter_ns(), cpu_ns()
    await asyncio.sleep(seconds)
    if not before.errors:
        with suppress(TimeoutError):
            await asyncio.wait_for(came.wait(), PATIENCE_S)
    done = Window(seen, time.perf_counter_ns() - begun_ns, cpu_ns() - cpu_before_ns)
    tally = before
    for connection in made:
        connection.stop()
    await asyncio.gather(*[connection.ended for connection in made])
    seen.errors += before.errors
    seen.first_error = seen.first_error or before.first_error
    done.outside = before.answers
    return done


async def largest_gaps_ns(address: Address, request: bytes, streams: int) -> list[int]:
    """Of each of `streams` streams, one after the other on a quiet connection: the longest wait between two reads."""
    reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
    gaps = []
    try:
        for _ in range(streams):
            writer.write(request)
            gaps.append(await _largest_gap_ns(reader, address.marker))
    finally:
        writer.close()
        await writer.wait_closed()
    return gaps


async def _largest_gap_ns(reader: asyncio.StreamReader, marker: bytes) -> int:
    data = await reader.readuntil(b"\r\n\r\n")
    head, body, largest, last = data, b"", 0, time.perf_counter_ns()
    while not body.endswith(END_OF_CHUNKS):
        part = await reader.read(65536)
        now = time.perf_counter_ns()
        largest, last = max(largest, now - last), now
        body += part
        if not part:
            break
    if why := fault(head, body, marker):
        raise BenchError(why)
    return largest
