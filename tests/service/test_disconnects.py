"""A client that leaves, at any moment: the work stops, the place is free, and the ledger has one entry for it."""

from __future__ import annotations

import json
import random
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from router.meter.record import Status
from tests.service.distant import distant_upstream
from tests.service.server import ROOT, Server, eventually, write_registry
from tests.upstream import Exchange, Upstream, chunk, event, story

POEM = [{"role": "user", "content": "write a poem about the sea and the wind"}]

FAR = """
  - id: far
    kind: openai
    description: Somewhere else, one request at a time
    url: {url}
    model: endless
    params_b: 0.01
    context: 4096
    max_concurrency: 1
"""


def leave(connection: socket.socket, how: str) -> None:
    """Close a connection as a client does that is done (fin), or one that is killed (rst)."""
    if how == "rst":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def ask(server: Server, model: str, stream: bool, text: str = "", **more: Any) -> socket.socket:
    """A request that was sent whole; nothing of its answer is read yet."""
    messages = [{"role": "user", "content": text}] if text else POEM
    body = json.dumps({"model": model, "messages": messages, "stream": stream, **more}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    connection.sendall(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
    return connection


def statuses(server: Server) -> dict[str, int]:
    """How many entries of the ledger ended how."""
    rows = server.query("SELECT status, count(*) FROM requests GROUP BY 1")
    return {Status(status).name: count for status, count in rows}


def attempts(server: Server) -> list[tuple[str | None, int, int]]:
    """Who counted the tokens that were read, how many, and how it ended, of every attempt in the order of time."""
    query = "SELECT n.name, a.input_tokens, a.status FROM attempts a LEFT JOIN names n ON n.id = a.token_source"
    return server.query(f"{query} ORDER BY request_id")


def at_work(server: Server, expert: str) -> tuple[int, int]:
    """Requests an expert is answering, and requests that wait for it."""
    found = json.loads(server.get("/readyz")[1])["experts"][expert]
    return found["in_flight"], found["waiting"]


@pytest.fixture(scope="module")
def far() -> Iterator[Upstream]:
    with distant_upstream() as upstream:

        @upstream.behave("endless")
        async def endless(exchange: Exchange) -> None:
            if not exchange.body.get("stream"):
                await exchange.gone()
                return
            await exchange.stream(*story()[:1], end=False)
            while not exchange.writer.is_closing():
                await exchange.part(event(chunk({"content": "and "})))
                await exchange.part(b": breathe\n\n")

        yield upstream


@pytest.fixture
def server(far: Upstream, start: Callable[..., Server], tmp_path: Path) -> Server:
    path = write_registry(tmp_path)
    path.write_text(path.read_text() + FAR.format(url=far.url))
    return start(path)


def test_before_the_body_is_whole_nothing_has_begun(server: Server) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    for part in (b"", b"content-length: 100\r\n\r\n", b'content-length: 100\r\n\r\n{"model": "poet"'):
        for how in ("fin", "rst"):
            connection = socket.create_connection(("127.0.0.1", server.port))
            connection.sendall(head + part)
            leave(connection, how)
    assert server.post("/v1/chat/completions", {"model": "poet", "messages": POEM})[0] == 200
    assert statuses(server) == {"OK": 1}


@pytest.mark.parametrize("stream", [False, True])
def test_in_the_middle_of_an_answer(server: Server, far: Upstream, stream: bool) -> None:
    for number, how in enumerate(("fin", "rst"), start=1):
        seen = len(far.seen)
        connection = ask(server, "far", stream)
        eventually(lambda seen=seen: len(far.seen) == seen + 1)
        if stream:
            assert connection.recv(100)
        leave(connection, how)
        eventually(lambda: at_work(server, "far") == (0, 0))  # its only place is free again
        eventually(lambda number=number: statuses(server) == {"CANCELLED": number})
    read = {(source, tokens > 0, status) for source, tokens, status in attempts(server)}
    ended = Status.CANCELLED if stream else Status.UNHEARD
    assert read == {("estimate", True, ended)}, "what it read is paid for, whoever hears the answer"
    found = server.report()
    assert (found["unheard"], found["by_expert"]["far"]["unheard"]) == (0 if stream else 2,) * 2


def test_in_the_queue(server: Server, far: Upstream) -> None:
    seen = len(far.seen)
    first = ask(server, "far", True)
    eventually(lambda: at_work(server, "far")[0] == 1)
    second = ask(server, "far", False)
    eventually(lambda: at_work(server, "far") == (1, 1))
    leave(second, "fin")
    eventually(lambda: at_work(server, "far") == (1, 0))
    leave(first, "fin")
    eventually(lambda: at_work(server, "far") == (0, 0))
    eventually(lambda: statuses(server) == {"CANCELLED": 2})
    assert len(far.seen) == seen + 1
    assert [tokens > 0 for _, tokens, _ in attempts(server)] == [True, False], "who only waited has taken nothing"


def test_at_random_points_of_a_stream(server: Server) -> None:
    cuts = random.Random(20261125)  # noqa: S311 - a fixed seed, no secret
    with ask(server, "poet", True, "SLOW", stream_options={"include_usage": True}) as whole:
        size = 0
        while (more := whole.recv(65536)) and not more.endswith(b"0\r\n\r\n"):
            size += len(more)
    rounds = 40
    for number in range(rounds):
        slow = number % 4 == 0
        connection = ask(server, "poet", True, "SLOW" if slow else "a poem")
        wanted = cuts.randrange(1, size if not slow else size // 3)
        while wanted > 0 and (more := connection.recv(wanted)) and not more.endswith(b"0\r\n\r\n"):
            wanted -= len(more)
        leave(connection, cuts.choice(["fin", "rst"]))
    eventually(lambda: at_work(server, "poet") == (0, 0))
    eventually(lambda: sum(statuses(server).values()) == rounds + 1 and "STARTED" not in statuses(server))
    assert set(statuses(server)) == {"OK", "CANCELLED"}


@pytest.fixture(scope="module")
def engine(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory, smollm_weights: Path) -> Server:
    """A server with the real llama.cpp child, which loads when it is first asked."""
    folder = tmp_path_factory.mktemp("engine")
    chat = next(e for e in yaml.safe_load((ROOT / "registry.yaml").read_text())["experts"] if e["id"] == "chat")
    chat = {key: value for key, value in chat.items() if key not in ("examples", "card")}
    path = write_registry(folder)
    text = yaml.safe_dump([chat], sort_keys=False)
    path.write_text(path.read_text() + "".join(f"  {line}\n" for line in text.splitlines()))
    return start(path)


def test_while_a_model_loads(engine: Server) -> None:
    connection = ask(engine, "chat", False, max_tokens=400, temperature=0)
    eventually(lambda: json.loads(engine.get("/readyz")[1])["experts"]["chat"]["state"] == "loading")
    leave(connection, "fin")
    eventually(lambda: statuses(engine) == {"CANCELLED": 1})
    eventually(lambda: json.loads(engine.get("/readyz")[1])["experts"]["chat"]["state"] == "ready")
    assert at_work(engine, "chat") == (0, 0)


@pytest.mark.parametrize("stream", [False, True])
def test_the_engine_stops_generating(engine: Server, stream: bool) -> None:
    before = sum(statuses(engine).values())
    connection = ask(engine, "chat", stream, "Tell me a very long story about the sea.", max_tokens=1800, temperature=0)
    child = psutil.Process(json.loads(engine.get("/readyz")[1])["experts"]["chat"]["pid"])
    if stream:
        assert connection.recv(10)
    eventually(lambda: at_work(engine, "chat") == (1, 0))
    leave(connection, "rst")
    eventually(lambda: at_work(engine, "chat") == (0, 0))

    def rests() -> bool:
        used = child.cpu_times().user
        psutil.cpu_percent(0.3)  # waits; an engine at work would use most of it
        return child.cpu_times().user == used

    eventually(rests)
    eventually(lambda: statuses(engine).get("CANCELLED", 0) == before + 1)
    assert sum(statuses(engine).values()) == before + 1
