"""Several workers on one port: whichever takes a change, it is what whoever is asked next serves."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from router.promises.certificate import Certificate, write_certificate
from tests.service.server import Server, rows, write_registry
from tests.service.test_admin import ADMIN, INLINE, KEY, PLANTS, call
from tests.service.test_promises import POEMS, RECIPES

BODY = {"expert": INLINE, "examples": PLANTS}
LONG_AGO = "2020-01-01"
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


def told_by_both(crowd: ThreadPoolExecutor, server: Server) -> set[str]:
    """When certificates were made, as many are told who ask at once, until each of the two workers was asked."""
    found: list[dict[str, Any]] = []

    def asked() -> bool:
        found.extend(told for _, told in crowd.map(lambda _: call(server, "GET", "/admin/certificates"), range(48)))
        return {told["worker"] for told in found} == {0, 1}

    server.wait(asked)
    return {told["data"][0]["made"] for told in found}


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


@pytest.fixture
def promising(start: Callable[..., Server], tmp_path: Path) -> Iterator[Server]:
    """Two workers that promise by a certificate of long ago."""
    path = write_registry(tmp_path)
    rows(tmp_path / "poems.jsonl", [{"input": text} for text in POEMS])
    rows(tmp_path / "recipes.jsonl", [{"input": text} for text in RECIPES])
    path.write_text(path.read_text().replace("policies: {", "policies: {safe: {max_risk: 0.05}, "))
    server = start(path, options=("--workers", "2"), SHOAL_ADMIN_KEY=KEY)
    kept = server.folder / "data/certificates/safe.json"
    server.wait(kept.exists)
    server.stop()
    made = json.loads(kept.read_bytes())["certificate"]
    write_certificate(kept, Certificate(**{**made, "made": LONG_AGO}))
    server.start()
    server.wait(lambda: len(starts(server)) == 2)
    yield server
    server.stop()


def test_certificates_are_made_again_for_all_workers_and_who_speaks_is_told(
    promising: Server, crowd: ThreadPoolExecutor
) -> None:
    assert told_by_both(crowd, promising) == {LONG_AGO}
    status, again = call(promising, "POST", "/admin/certificates")
    assert (status, again["behind"]) == (200, []), again
    made = again["data"][0]["made"]
    assert made != LONG_AGO
    assert told_by_both(crowd, promising) == {made}

    told = promising.folder / "data/certificates/made"
    told.unlink()
    told.mkdir()
    status, refused = call(promising, "POST", "/admin/certificates")
    assert (status, refused["error"]["code"]) == (503, "registry_blocked")
    assert f"made again at this worker alone, for the others cannot be told: {told}" in refused["error"]["message"]
