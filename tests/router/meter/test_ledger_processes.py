"""Processes that share a ledger, and processes that are killed while they write it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path

from router.meter.findings import Audit
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import Status
from router.meter.sums import check_seals
from router.meter.ulid import ulid_text

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[3]

Writer = subprocess.Popen[str]


def start(path: Path, requests: int, hold: int = 0) -> Writer:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}
    command = [sys.executable, str(HERE / "writer.py"), str(path), str(requests), str(hold)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def wait_for(writer: Writer, word: str) -> None:
    assert writer.stdout is not None
    assert any(line.startswith(word) for line in writer.stdout), f"the writer ended before it was {word}"


def untouched(path: Path) -> bool:
    """Whether all rows are as they were written."""
    found = Audit()
    with closing(read_ledger(path)) as connection:
        check_seals(connection, found)
    return found.figures > 0 and not found.findings


def statuses(path: Path) -> dict[str, Status]:
    with closing(read_ledger(path)) as connection:
        found = connection.execute("SELECT request_id, status FROM requests").fetchall()
    return {ulid_text(request_id): Status(status) for request_id, status in found}


async def test_kill_9_loses_nothing_that_was_acknowledged(path: Path) -> None:
    instants = random.Random(20)  # noqa: S311 (any instants will do)
    told: dict[str, set[str]] = defaultdict(set)
    for _ in range(5):
        with start(path, 100_000) as writer:
            wait_for(writer, "ready")
            time.sleep(instants.uniform(0.0, 0.25))  # noqa: ASYNC251 (the loop has nothing else to do)
            writer.kill()
            assert writer.stdout is not None
            for line in writer.stdout:
                word, _, request_id = line.strip().partition(" ")
                if line.endswith("\n"):
                    told[word].add(request_id)
    assert told["finished"]
    await Ledger.open(path).aclose()

    kept = statuses(path)
    assert told["begun"] <= kept.keys()
    assert {kept[request_id] for request_id in told["finished"]} == {Status.OK}
    assert set(kept.values()) <= {Status.OK, Status.INTERRUPTED}
    with closing(read_ledger(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        ended = sum(status is Status.OK for status in kept.values())
        assert connection.execute("SELECT count(*) FROM attempts WHERE status = 1").fetchall() == [(ended,)]
        assert connection.execute("SELECT count(*) FROM boots WHERE ended_us IS NULL").fetchall() == [(0,)]
    assert untouched(path)
    assert list(path.parent.glob("*.boots/*")) == []


async def test_processes_share_a_ledger(path: Path) -> None:
    writers = [start(path, 400) for _ in range(3)]
    for writer in writers:
        assert writer.communicate()[0].count("finished") == 400
        assert writer.returncode == 0
    kept = statuses(path)
    assert len(kept) == 1200
    assert set(kept.values()) == {Status.OK}
    with closing(read_ledger(path)) as connection:
        assert connection.execute("SELECT count(DISTINCT boot) FROM requests").fetchall() == [(3,)]
        assert connection.execute("SELECT count(*), count(DISTINCT name) FROM names WHERE name = 'sql'").fetchall() == [
            (1, 1)
        ]
    assert untouched(path)


async def test_only_the_dead_are_interrupted(path: Path) -> None:
    with start(path, 8, hold=2) as writer:
        wait_for(writer, "done")
        await Ledger.open(path).aclose()
        alive = list(statuses(path).values())
        writer.kill()
        writer.wait()
        await Ledger.open(path).aclose()
        dead = list(statuses(path).values())
    assert untouched(path)
    assert sorted(alive) == [Status.STARTED] * 4 + [Status.OK] * 8
    assert sorted(dead) == [Status.OK] * 8 + [Status.INTERRUPTED] * 4
    with closing(read_ledger(path)) as connection:
        counted = connection.execute("SELECT output_tokens FROM attempts WHERE status = ?", (Status.INTERRUPTED,))
        assert counted.fetchall() == [(40,), (40,)]
