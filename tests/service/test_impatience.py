"""Answered, and gone before the ledger has it: nothing that an answer is followed by is lost."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import psutil
import pytest

from router.meter.audit import audit
from router.meter.ledger import read_ledger
from router.meter.record import Arm, Role, Status
from router.meter.ulid import ulid_text
from tests.service.distant import distant_upstream
from tests.service.server import Server, eventually, write_registry
from tests.service.test_metrics import samples
from tests.upstream import Exchange, Upstream, answer_well

FAR = "kind: openai\n    url: {url}\n    model: far\n    description: Answers anything\n"
SURFACES = {"/v1/chat/completions": "messages", "/v1/messages": "messages", "/v1/responses": "input"}


@pytest.fixture(scope="module")
def far() -> Iterator[Upstream]:
    with distant_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(far: Upstream, start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server that holds back every other conversation, with its fallback elsewhere."""
    path = write_registry(tmp_path_factory.mktemp("registry"))
    here = "kind: scripted\n    description: Answers anything\n    script: big.jsonl\n"
    text = path.read_text().replace(here, FAR.format(url=far.url))
    path.write_text(f"{text}savings: {{holdback: 0.5}}\n")
    return start(path)


def held(server: Server, after: int) -> str:
    """What is held back, whenever it is asked."""
    for number in range(after, after + 50):
        text = f"write a poem about the sea, number {number}"
        told = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        if server.post("/v1/chat/completions", told)[1]["shoal"]["held_back"]:
            return text
    raise AssertionError("nobody was held back")


def ended_well(server: Server) -> float:
    """Requests whose outcome was handed to the ledger."""
    return sum(n for (name, *labels), n in samples(server).items() if name == "shoal_requests_total" and "ok" in labels)


def ask(server: Server, path: str, stream: bool, text: str, head: str = "") -> socket.socket:
    told = {"model": "auto", "stream": stream, SURFACES[path]: [{"role": "user", "content": text}]}
    body = json.dumps(told | ({"max_tokens": 100} if path == "/v1/messages" else {})).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{head}"
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def leave_in_the_last_wait(server: Server, far: Upstream, path: str, stream: bool, text: str, head: str = "") -> None:
    """Ask, and be gone while the outcome waits for the ledger."""
    with closing(sqlite3.connect(server.ledger, isolation_level=None, check_same_thread=False)) as disk:

        @far.behave("far")
        async def busy(exchange: Exchange) -> None:
            """The intent is on the disk by now; the outcome has to wait for whoever else writes."""
            del far.behaviours["far"]
            disk.execute("BEGIN IMMEDIATE")
            await answer_well(exchange)

        before = ended_well(server)
        connection = ask(server, path, stream, text, head)
        own = connection.getsockname()
        eventually(lambda: ended_well(server) == before + 1)
        connection.close()
        assert server.process is not None
        process = psutil.Process(server.process.pid)
        eventually(lambda: own not in [each.raddr for each in process.net_connections()])
        disk.execute("ROLLBACK")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", SURFACES)
def test_who_leaves_while_the_outcome_is_written_takes_no_pair_along(
    server: Server, far: Upstream, path: str, stream: bool
) -> None:
    leave_in_the_last_wait(server, far, path, stream, held(server, 100 * len(far.seen)))

    def beside() -> list[tuple[int, int, int, int]]:
        query = (
            "SELECT r.status, r.arm, coalesce(a.status, -1), count(p.request_id) FROM requests r "
            "LEFT JOIN attempts a ON a.request_id = r.request_id AND a.role = ? "
            "LEFT JOIN pairs p ON p.request_id = r.request_id GROUP BY r.request_id ORDER BY r.request_id DESC LIMIT 1"
        )
        return server.query(query, Role.SHADOW)

    eventually(lambda: beside() == [(Status.OK, Arm.HOLDBACK, Status.OK, 1)], lambda: str(beside()))
    with closing(read_ledger(server.ledger)) as connection:
        found = audit(connection)
    assert (found.wrong, found.without_shadow) == (0, 0)


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_whose_entry_says_ok_is_kept_for_who_comes_back(server: Server, far: Upstream, stream: bool) -> None:
    """A stream has named it at its beginning, so its client may well ask for it."""
    leave_in_the_last_wait(server, far, "/v1/responses", stream, held(server, 100 * len(far.seen)))

    def newest() -> tuple[str, int]:
        query = "SELECT request_id, status FROM requests ORDER BY request_id DESC LIMIT 1"
        ((request_id, status),) = server.query(query)
        return ulid_text(request_id), status

    eventually(lambda: newest()[1] == Status.OK)
    kept = f"/v1/responses/resp_{newest()[0]}"
    eventually(lambda: server.get(kept)[0] == 200, lambda: str(server.get(kept)))
    found = json.loads(server.get(kept)[1])
    assert (found["status"], bool(found["output"])) == ("completed", True)
    status, more, _ = server.post(
        "/v1/responses", {"model": "big", "input": "go on", "previous_response_id": found["id"]}
    )
    assert (status, more["previous_response_id"]) == (200, found["id"])


@pytest.mark.parametrize("stream", [False, True])
def test_who_asks_again_with_the_same_idempotency_key_is_not_worked_for_twice(
    server: Server, far: Upstream, stream: bool
) -> None:
    text = held(server, 100 * len(far.seen))
    key = f"idempotency-key: left-{stream}\r\n"
    leave_in_the_last_wait(server, far, "/v1/chat/completions", stream, text, key)
    before = ended_well(server)
    with ask(server, "/v1/chat/completions", stream, text, key) as again:
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += again.recv(65536)
    assert b"x-shoal-replayed: true" in answer.lower(), answer
    assert ended_well(server) == before
