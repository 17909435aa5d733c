"""The disk fills, the file is locked, damaged, deleted or forbidden: nothing is served unmetered, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from router import store
from router.meter import writer as writer_module
from router.meter.errors import MeterUnavailable
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import Intent, Outcome, Status
from router.meter.schema import VERSION

MakeIntent = Callable[..., Intent]
MakeOutcome = Callable[..., Outcome]

NOBODY = 65534
"""The user id of an unprivileged user."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY_S", 0.05)
    monkeypatch.setattr(writer_module, "RETRY_S", 0.02)


async def recovered(ledger: Ledger) -> None:
    """Wait until the ledger has seen that it can write again; the test's own time limit ends it."""
    while ledger.fault is not None:
        await asyncio.sleep(0.01)


def statuses(path: Path) -> list[tuple[int, int]]:
    with closing(read_ledger(path)) as connection:
        return connection.execute("SELECT status, count(*) FROM requests GROUP BY 1").fetchall()


async def begin_until_refused(ledger: Ledger, intent: MakeIntent) -> tuple[list[Intent], MeterUnavailable]:
    begun = []
    while True:
        following = intent()
        try:
            await ledger.begin(following)
        except MeterUnavailable as fault:
            return begun, fault
        begun.append(following)


@contextmanager
def small_disk(folder: Path, size: str = "512k") -> Iterator[None]:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)  # noqa: S607
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)  # noqa: S607


def fill(disk: Path) -> Path:
    """Write until nothing more fits; the file that took it all."""
    path = disk / "fill"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return path


@contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """Every write beyond `size` bytes of a file fails, as on a disk that breaks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


async def test_a_full_disk_stops_new_requests_and_keeps_the_old(
    tmp_path: Path, intent: MakeIntent, outcome: MakeOutcome
) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk):
        path, ballast = disk / "ledger.db", disk / "ballast"
        ballast.write_bytes(bytes(200_000))
        ledger = Ledger.open(path)
        begun, fault = await begin_until_refused(ledger, intent)
        assert begun
        assert "full" in str(fault)
        assert "free some space" in str(fault)
        assert ledger.fault is not None
        with pytest.raises(MeterUnavailable):
            await ledger.finish(outcome(begun[0].request_id))
        ballast.unlink()
        await recovered(ledger)
        assert (Status.OK, 1) in statuses(path)
        await ledger.begin(intent())
        await asyncio.gather(*[ledger.finish(outcome(each.request_id)) for each in begun[1:]])
        await ledger.aclose()
        assert statuses(path) == [(Status.OK, len(begun)), (Status.INTERRUPTED, 1)]


async def test_a_disk_that_breaks_and_comes_back(path: Path, intent: MakeIntent, outcome: MakeOutcome) -> None:
    ledger = Ledger.open(path)
    first = intent()
    await ledger.begin(first)
    with no_file_over(1024):
        with pytest.raises(MeterUnavailable, match="look at the disk"):
            await ledger.begin(intent())
        with pytest.raises(MeterUnavailable):
            await ledger.finish(outcome(first.request_id))
    await recovered(ledger)
    assert statuses(path) == [(Status.OK, 1)]
    await ledger.aclose()


async def test_a_lock_held_by_another_process(path: Path, intent: MakeIntent, outcome: MakeOutcome) -> None:
    ledger = Ledger.open(path)
    first = intent()
    await ledger.begin(first)
    script = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(  # noqa: ASYNC220 (a lock of another process is what is tested)
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(MeterUnavailable, match="another process holds it"):
            await ledger.begin(intent())
        with pytest.raises(MeterUnavailable):
            await ledger.finish(outcome(first.request_id))
        with pytest.raises(MeterUnavailable, match="another process holds it"):
            Ledger.open(path)
        holder.communicate()
    await recovered(ledger)
    assert statuses(path) == [(Status.OK, 1)]
    await ledger.aclose()


async def test_a_file_that_is_deleted_while_in_use(path: Path, intent: MakeIntent) -> None:
    ledger = Ledger.open(path)
    await ledger.begin(intent())
    backup = path.with_name("backup.db")
    os.link(path, backup)
    path.unlink()
    with pytest.raises(MeterUnavailable, match="deleted or moved"):
        await ledger.begin(intent())
    assert not path.exists()
    path.write_bytes(b"")
    with pytest.raises(MeterUnavailable, match="replaced"):
        await ledger.begin(intent())
    backup.replace(path)
    await recovered(ledger)
    await ledger.begin(intent())
    await ledger.aclose()
    assert statuses(path) == [(Status.INTERRUPTED, 2)]


def test_a_file_that_is_no_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"These are my notes. " * 100)
    with pytest.raises(MeterUnavailable, match="move it away"):
        Ledger.open(path)
    assert path.read_bytes().startswith(b"These are my notes.")


def test_another_programs_database(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.commit()
    for open_it in (Ledger.open, read_ledger):
        with pytest.raises(MeterUnavailable, match="no Shoal ledger"):
            open_it(path)


async def test_a_damaged_file(path: Path, intent: MakeIntent) -> None:
    ledger = Ledger.open(path)
    for _ in range(3):
        await ledger.begin(intent())
    await ledger.aclose()
    page = store.PAGE_BYTES
    damaged = bytearray(path.read_bytes())
    damaged[page // 2 :] = b"\xff" * (len(damaged) - page // 2)
    path.write_bytes(damaged)
    with pytest.raises(MeterUnavailable, match="put a backup in its place"):
        Ledger.open(path)


async def test_another_schema_version(path: Path) -> None:
    await Ledger.open(path).aclose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    for open_it in (Ledger.open, read_ledger):
        with pytest.raises(
            MeterUnavailable, match=f"schema version {VERSION + 1}.*knows version {VERSION}.*SHOAL_DATA_DIR"
        ):
            open_it(path)


def test_no_ledger_to_report_on(path: Path) -> None:
    with pytest.raises(MeterUnavailable, match="no ledger at"):
        read_ledger(path)
    assert not path.parent.exists()


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write to anything; as somebody else the file's mode counts."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_a_file_that_may_only_be_read() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "ledger.db"
        await Ledger.open(path).aclose()
        folder.chmod(0o555)
        path.chmod(0o444)
        with unprivileged(), pytest.raises(MeterUnavailable, match="make the file and its folder writable"):
            Ledger.open(path)
        folder.chmod(0o755)


async def test_a_copy_on_a_disk_that_may_only_be_read_is_reported_on(
    tmp_path: Path, intent: MakeIntent, outcome: MakeOutcome
) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk):
        path = disk / "ledger.db"
        ledger, entered = Ledger.open(path), intent()
        await ledger.begin(entered)
        await ledger.finish(outcome(entered.request_id))
        await ledger.aclose()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)  # noqa: ASYNC221, S607
        assert statuses(path) == [(Status.OK, 1)]


async def test_a_folder_that_may_not_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(MeterUnavailable, match="SHOAL_DATA_DIR"):
            Ledger.open(folder / "deeper" / "ledger.db")
        folder.chmod(0o755)


async def test_others_cannot_read_it(path: Path) -> None:
    ledger = Ledger.open(path)
    modes = {each.name: each.stat().st_mode & 0o077 for each in path.parent.glob("ledger.db*") if each.is_file()}
    await ledger.aclose()
    assert modes == {"ledger.db": 0, "ledger.db-wal": 0, "ledger.db-shm": 0}
