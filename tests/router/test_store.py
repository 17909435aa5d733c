"""Private SQLite files: who may read them, what they refuse, and how they come back after a fault."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from router.async_store import AsyncStore
from router.store import Format, StoreUnavailable, connect, connect_read_only
from tests.router.meter.test_ledger_faults import fill, small_disk

NOTES = Format("notes", 0x4E4F5445, 1, "CREATE TABLE notes (text TEXT NOT NULL) STRICT")


def write(text: str):
    return lambda connection: connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))


def texts(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT text FROM notes ORDER BY rowid")]


async def test_work_of_many_is_done_in_turn_and_kept(tmp_path: Path) -> None:
    store = AsyncStore(tmp_path / "new" / "notes.sqlite", NOTES)
    await asyncio.gather(*[store.run(write(str(number))) for number in range(50)])
    assert await store.run(texts) == [str(number) for number in range(50)]
    await store.aclose()
    for path in store.path.parent.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


async def test_what_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    store = AsyncStore(tmp_path / "notes.sqlite", NOTES)

    def half(connection: sqlite3.Connection) -> None:
        write("half")(connection)
        raise KeyError("the rest")

    with pytest.raises(KeyError):
        await store.run(half)
    assert await store.run(texts) == []
    await store.aclose()


async def test_a_file_that_comes_back_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    path.write_bytes(b"no database at all, but long enough to be taken for a broken one" * 20)
    store = AsyncStore(path, NOTES)
    with pytest.raises(StoreUnavailable, match="move it away"):
        await store.run(texts)
    path.unlink()
    await store.run(write("again"))
    assert await store.run(texts) == ["again"]
    await store.aclose()


async def test_a_file_that_is_taken_away_or_replaced_while_in_use_is_not_written_to(tmp_path: Path) -> None:
    path, away = tmp_path / "notes.sqlite", tmp_path / "away.sqlite"
    store = AsyncStore(path, NOTES)
    await store.run(write("before"))
    path.rename(away)
    with pytest.raises(StoreUnavailable, match="was deleted or moved while in use"):
        await store.run(write("into the file that is away"))
    assert not path.exists()
    path.write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="was replaced by another while in use"):
        await store.run(write("into another"))
    away.replace(path)
    await store.run(write("after"))
    assert await store.run(texts) == ["before", "after"]
    await store.aclose()


async def test_a_disk_with_no_room_for_the_index_of_a_log_is_told_to_be_full(tmp_path: Path) -> None:
    path = tmp_path / "disk" / "notes.sqlite"
    with small_disk(path.parent):
        connect(path, NOTES).close()
        ballast = fill(path.parent)
        with ballast.open("r+b") as file:
            file.truncate(ballast.stat().st_size - 8192)
        store = AsyncStore(path, NOTES)
        with pytest.raises(StoreUnavailable, match=r"I/O error.*no space is left"):
            await store.run(texts)
        ballast.unlink()
        assert await store.run(texts) == []
        await store.aclose()


async def test_a_fault_is_told_when_it_begins_and_when_it_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "router.async_store")
    path = tmp_path / "notes.sqlite"
    path.write_bytes(b"no database at all, but long enough to be taken for a broken one" * 20)
    store = AsyncStore(path, NOTES)
    for _ in range(5):
        with pytest.raises(StoreUnavailable) as fault:
            await store.run(texts)
        assert fault.value.told
    path.unlink()
    for _ in range(5):
        await store.run(texts)
    await store.aclose()
    assert caplog.messages == [str(fault.value), f"notes {path} can be used again"]


def test_nothing_and_bytes_are_written_as_they_are_without_a_search(tmp_path: Path) -> None:
    connection = connect(tmp_path / "notes.sqlite", NOTES)
    for value in (None, b"", b"\x00\xff"):
        adapt = sqlite3.adapters[type(value), sqlite3.PrepareProtocol]
        assert adapt(value) == value
        assert connection.execute("SELECT ?, typeof(?)", (value, value)).fetchone() == (
            value, "null" if value is None else "blob",
        )  # fmt: skip
    connection.close()


def test_files_of_another_kind_or_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    connect(path, NOTES).close()
    with pytest.raises(StoreUnavailable, match="no Shoal keys"):
        connect(path, Format("keys", 1, 1, NOTES.tables))
    with pytest.raises(StoreUnavailable, match="schema version 1, this Shoal knows version 2"):
        connect_read_only(path, Format("notes", NOTES.application_id, 2, NOTES.tables))
