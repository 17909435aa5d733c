"""Workers that die, cannot be replaced or do not start: what is told of them, and what becomes of the others."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from shoal.serve import listen
from tests.service.server import PATIENCE_S, ROOT, Server, write_registry
from tests.service.test_workers import workers

POEM = {"model": "poet", "messages": [{"role": "user", "content": "a poem"}]}
TOLD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: |Shoal starts 2 processes on ")
"""How a line of the log begins: when, how grave and of what; but for the one that says where it serves."""


@pytest.fixture
def server(start: Callable[..., Server], tmp_path: Path) -> Iterator[Server]:
    server = start(write_registry(tmp_path), options=("--workers", "2"))
    server.wait(lambda: server.log().count("expert big: ready") == 2)
    yield server
    server.stop()


def test_workers_write_the_log_that_one_process_writes(server: Server) -> None:
    assert "INFO experts.pooling.member: expert big: ready" in server.log()
    assert [line for line in server.log().splitlines() if not TOLD.match(line)] == []


def test_a_worker_that_cannot_be_replaced_takes_no_other_down(server: Server) -> None:
    before = {worker.pid for worker in workers(server)}
    valid = server.registry.read_text()
    server.registry.write_text(valid.replace("fallback: big", "fallback: nobody"))
    server.wait(lambda: server.log().count("no expert has the id") >= 2)
    lost, left = sorted(before)
    psutil.Process(lost).send_signal(signal.SIGKILL)
    server.wait(lambda: "could not start" in server.log())
    assert server.post("/v1/chat/completions", POEM)[0] == 200
    assert f"worker {lost} was ended by SIGKILL" in server.log()

    server.registry.write_text(valid)
    server.wait(lambda: len(workers(server)) == 2 and server.log().count("expert big: ready") == 3)
    assert left in {worker.pid for worker in workers(server)}
    assert lost not in {worker.pid for worker in workers(server)}
    assert "Traceback" not in server.log()


def test_a_start_that_no_worker_gets_through_ends_with_1_and_says_why_once_a_worker(tmp_path: Path) -> None:
    registry, data = write_registry(tmp_path), tmp_path / "data"
    first = Server(tmp_path, registry).start()
    first.stop()
    with closing(sqlite3.connect(data / "ledger.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")
    command = [sys.executable, "-m", "shoal", "serve", "--registry", str(registry), "--port", "0", "--workers", "2"]
    env = {"PATH": "/usr/bin:/bin", "SHOAL_DATA_DIR": str(data)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 1
    assert "CRITICAL shoal: cannot start: ledger " in done.stderr
    assert "Traceback" not in done.stderr


def test_workers_stop_as_by_sigterm_when_the_process_above_them_is_killed(server: Server) -> None:
    assert server.process is not None
    left = workers(server)
    server.process.kill()
    server.process.wait()
    _, alive = psutil.wait_procs(left, timeout=PATIENCE_S)
    for worker in alive:
        worker.kill()
    assert alive == []
    assert server.log().count("the process above the workers is gone: this one stops") == 2
    listen("127.0.0.1", server.port).close()
