"""Several workers on one port: whichever takes a change, it is what whoever is asked next serves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.service.server import Server, rows, write_registry
from tests.service.test_admin import ADMIN, INLINE, KEY, PLANTS, call

BODY = {"expert": INLINE, "examples": PLANTS}
ROSES = {"model": "auto", "messages": [{"role": "user", "content": "when should I prune my roses"}]}


@pytest.fixture
def server(start: Callable[..., Server], tmp_path: Path) -> Iterator[Server]:
    rows(tmp_path / "gardener.jsonl", [{"match": ".*", "reply": "In late winter."}])
    server = start(write_registry(tmp_path), options=("--workers", "2"), SHOAL_ADMIN_KEY=KEY)
    server.wait(lambda: len(starts(server)) == 2)
    yield server
    server.stop()


def starts(server: Server) -> set[bytes]:
    """When each worker that serves was started, by its number."""
    told = server.get("/metrics", ADMIN)[1].splitlines()
    return {line for line in told if line.startswith(b"process_start_time_seconds{")}


def workers(server: Server) -> list[psutil.Process]:
    assert server.process is not None
    children = psutil.Process(server.process.pid).children()
    living = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in living if "spawn_main" in str(child.cmdline())]


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    """Clients that ask at the same moment, so that no worker gets all of them."""
    with ThreadPoolExecutor(16) as pool:
        yield pool


def asked_at_once(crowd: ThreadPoolExecutor, server: Server, path: str, body: dict[str, Any]) -> list[tuple[int, Any]]:
    """What many are answered, each on a connection of its own."""
    return list(crowd.map(lambda _: server.post(path, body)[:2], range(48)))


def test_a_change_is_live_at_every_worker_before_it_is_answered(server: Server, crowd: ThreadPoolExecutor) -> None:
    for _ in range(5):
        status, added = call(server, "POST", "/admin/experts", BODY)
        assert (status, added["behind"]) == (201, []), added
        answers = asked_at_once(crowd, server, "/v1/route", ROSES)
        assert {answer["decision"]["expert"] for _, answer in answers} == {"gardener"}

        status, removed = call(server, "DELETE", "/admin/experts/gardener")
        assert (status, removed["behind"]) == (200, []), removed
        answers = asked_at_once(crowd, server, "/v1/chat/completions", {**ROSES, "model": "gardener"})
        assert {status for status, _ in answers} == {404}

        text = call(server, "GET", "/admin/registry")[1]["text"]
        changed = text.replace("threshold: 0.7}", "threshold: 0.71}")
        for put, threshold in ((changed, 0.71), (text, 0.7)):
            assert call(server, "PUT", "/admin/registry", {"text": put})[1]["behind"] == []
            answers = asked_at_once(crowd, server, "/v1/route", ROSES)
            assert {answer["decision"]["threshold"] for _, answer in answers} == {threshold}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_died_or_hangs_is_replaced_and_nobody_serves_what_was_before(
    server: Server, crowd: ThreadPoolExecutor, how: signal.Signals
) -> None:
    """One that hangs is ended by the supervisor within seconds; the one in its place starts with the change."""
    before, (_, other) = starts(server), workers(server)
    other.send_signal(how)
    status, added = call(server, "POST", "/admin/experts", BODY)
    assert (status, added["behind"]) == (201, []), added
    answers = asked_at_once(crowd, server, "/v1/route", ROSES)
    server.wait(lambda: len(starts(server) - before) == 1)
    answers += asked_at_once(crowd, server, "/v1/route", ROSES)
    assert {answer["decision"]["expert"] for _, answer in answers} == {"gardener"}
