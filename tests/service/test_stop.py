"""A server that is told to stop at once says so to everybody it is still answering."""

from __future__ import annotations

import http.client
import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.service.distant import distant_upstream
from tests.service.server import Server, eventually, write_registry
from tests.service.test_disconnects import FAR
from tests.upstream import Exchange, story

MESSAGES = [{"role": "user", "content": "hello"}]
STREAMS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 9},
    "/v1/responses": {"input": "hello"},
}


async def begun(exchange: Exchange) -> None:
    """Half an answer, and then nothing."""
    if exchange.body.get("stream"):
        await exchange.stream(*story(model="endless")[:2], end=False)
    await exchange.gone()


class Asking(threading.Thread):
    """One request, read to its end on a thread of its own."""

    def __init__(self, server: Server, path: str, body: dict[str, Any]) -> None:
        super().__init__()
        self.server, self.path, self.body = server, path, body
        self.status, self.answer = 0, b""
        self.headed = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        connection.request("POST", self.path, json.dumps(self.body), {"content-type": "application/json"})
        answer = connection.getresponse()
        self.headed.set()
        self.status, self.answer = answer.status, answer.read()
        connection.close()


def test_streams_end_in_an_event_and_others_in_a_status(start: Callable[..., Server], tmp_path: Path) -> None:
    with distant_upstream() as upstream:
        upstream.behaviours["endless"] = begun
        path = write_registry(tmp_path)
        path.write_text(path.read_text() + FAR.format(url=upstream.url).replace("max_concurrency: 1", ""))
        server = start(path)
        streams = [Asking(server, where, {"model": "far", "stream": True, **body}) for where, body in STREAMS.items()]
        whole = Asking(server, "/v1/chat/completions", {"model": "far", "messages": MESSAGES})
        for asking in (*streams, whole):
            asking.start()
        eventually(lambda: len(upstream.seen) == 4 and all(asking.headed.is_set() for asking in streams))
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)
        eventually(lambda: refuses(server))  # the first has been heard
        server.process.send_signal(signal.SIGINT)
        server.process.wait(30)
        for asking in (*streams, whole):
            asking.join()
    error = json.loads(whole.answer)["error"]
    assert (whole.status, error["type"], error["code"]) == (503, "server_error", "overloaded")
    for asking in streams:
        assert asking.status == 200
        last = json.loads(asking.answer.strip().rsplit(b"data: ", 1)[1])["error"]
        assert (last["message"], last["code"]) == ("The server is stopping. Try again.", "overloaded")
    assert "Traceback" not in server.log()


def refuses(server: Server) -> bool:
    try:
        server.get("/healthz")
    except OSError:
        return True
    return False
