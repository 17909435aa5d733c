"""A loopback file server that misbehaves on demand, and what the tests of weights share."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from experts.errors import WeightsError
from experts.spec import Weights
from experts.weights import fetch

DATA = bytes(range(256)) * 4096
CUT = 500_000
"""More than a client holds unread, so that some of it always arrives before the connection breaks."""
HUB = "hf:owner/repo@main/dir/model.gguf"
HUB_PATH = "/owner/repo/resolve/main/dir/model.gguf"


@dataclass
class Shelf:
    """A loopback file server: what it holds, how it misbehaves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: int | None = None
    """Bytes of a body after which the connection is cut; it still announces the whole."""
    statuses: list[int] = field(default_factory=list)
    """Answers given before any file."""
    redirect: str | None = None
    ranges: bool = True
    started: threading.Event | None = None
    """Set when a body begins; the body then waits for `go_on`."""
    go_on: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def offsets(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]


def handler(shelf: Shelf) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shelf.asked.append((self.path, dict(self.headers)))
            if shelf.redirect:
                self.answer(302, b"", {"Location": shelf.redirect + self.path})
            elif shelf.statuses:
                self.answer(shelf.statuses.pop(0), b"")
            elif self.path not in shelf.files:
                self.answer(404, b"")
            else:
                self.send(shelf.files[self.path])

        def send(self, data: bytes) -> None:
            start = self.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
            if not start or not shelf.ranges:
                self.answer(200, data)
            elif int(start) >= len(data):
                self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            else:
                last = len(data) - 1
                self.answer(206, data[int(start) :], {"Content-Range": f"bytes {start}-{last}/{len(data)}"})

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            kind = "text/html" if self.path.endswith("/") else "application/octet-stream"
            for name, value in {"Content-Length": str(len(body)), "Content-Type": kind, **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if shelf.started and body:
                shelf.started.set()
                shelf.go_on.wait(20)
            with contextlib.suppress(ConnectionError):  # a client that left
                self.wfile.write(body if shelf.cut_after is None else body[: shelf.cut_after])
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextlib.contextmanager
def serving(shelf: Shelf) -> Iterator[Shelf]:
    """The shelf on a port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(shelf))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    shelf.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield shelf
    finally:
        server.shutdown()
        server.server_close()


def weights(source: str, data: bytes = DATA, size: int | None = None) -> Weights:
    return Weights(source=source, sha256=hashlib.sha256(data).hexdigest(), licence="MIT", size_bytes=size)


def kept(cache: Path) -> list[str]:
    """Names of everything in the cache but locks."""
    return sorted(sizes(cache))


def sizes(cache: Path) -> dict[str, int]:
    """Bytes of everything in the cache but locks, by name."""
    return {path.name: path.stat().st_size for path in cache.rglob("*") if path.is_file() and path.name != ".lock"}


async def refused(wanted: Weights, cache: Path, folder: Path | None = None) -> str:
    with pytest.raises(WeightsError) as caught:
        await fetch(wanted, cache, folder or cache)
    said = str(caught.value)
    assert said.startswith(f"weights {wanted.source}: ")
    assert "Remedy: " in said
    assert "\n" not in said
    return said
