"""The ledger's SQLite file, used by one thread at a time: open, write a batch durably, open again after a fault."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

from router.meter import schema
from router.meter.errors import EntryRefused, MeterUnavailable
from router.meter.record import Intent, Outcome
from router.meter.rows import Row, attempt_rows, finished_row, started_row
from router.meter.schema import Statements
from router.meter.ulid import ulid_bytes

OLDEST_SQLITE = (3, 37, 0)
"""The first with STRICT tables."""

BUSY_S = 5.0
"""How long a write waits for another process's."""

PAGE_BYTES = 2048
"""Of a new file. A commit checks, writes and flushes whole pages, though it adds a few rows to each of four trees."""

LONGEST_NAME = 200
"""Characters kept of an interned string; some come from clients and upstreams."""

MOST_NAMES = 4096
"""Interned strings remembered here; those forgotten are looked up again."""


class Names(dict[str | None, int | None]):
    """String -> its number in the `names` table, written there at first sight. None and "" are NULL."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__({None: None, "": None})
        self._connection = connection

    def __missing__(self, name: str | None) -> int | None:
        if len(self) > MOST_NAMES:
            self.clear()
            self.update({None: None, "": None})
        # Lone surrogates, which JSON can carry, have no UTF-8.
        text = str(name).encode("utf-8", "replace").decode()[:LONGEST_NAME]
        # Another process may have written the same name a moment ago.
        self._connection.execute("INSERT INTO names (name) VALUES (?) ON CONFLICT DO NOTHING", (text,))
        number: int = self._connection.execute("SELECT id FROM names WHERE name = ?", (text,)).fetchone()[0]
        self[name] = number
        return number


class Store:
    """One ledger file. Every method raises sqlite3's errors, OSError or MeterUnavailable when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.boot = 0
        """This run, once it is registered."""
        self._identity: tuple[int, int] | None = None
        self._opened: tuple[sqlite3.Connection, Names] | None = None

    def open(self) -> sqlite3.Connection:
        """The connection, opened when there is none; the tables are made in a new file."""
        return self._open()[0]

    def close(self) -> None:
        """Close the file; what is called next opens it again."""
        if self._opened is not None:
            connection, _ = self._opened
            self._opened = None
            connection.close()

    def write(self, intents: list[Intent], outcomes: list[Outcome], checkpoints: Mapping[str, int]) -> None:
        """Write all of it or, when this raises, nothing of it; what is written survives a power cut.

        An error that is no storage fault (EntryRefused, ValueError, sqlite3.IntegrityError, ...) is about an entry.
        """
        connection, names = self._open()
        started = [started_row(intent, self.boot, names) for intent in intents]
        finished = [finished_row(outcome, names) for outcome in outcomes]
        attempts = [row for outcome in outcomes for row in attempt_rows(outcome, names)]
        counted: list[Row] = [(ulid_bytes(request_id), tokens) for request_id, tokens in checkpoints.items()]
        with Transaction(connection):
            _write(connection, schema.INSERT_STARTED, started)
            updated = _write(connection, schema.UPDATE_CHECKPOINT, counted)
            updated += _write(connection, schema.UPDATE_FINISHED, finished)
            if updated != len(counted) + len(finished):
                raise EntryRefused("the ledger cannot finish or count a request that was never begun")
            _write(connection, schema.INSERT_ATTEMPTS, attempts)

    def probe(self) -> None:
        """Write something that changes nothing, to see whether the disk takes it."""
        connection, _ = self._open()
        with Transaction(connection):
            connection.execute("UPDATE boots SET pid = pid WHERE id = ?", (self.boot,))

    def _open(self) -> tuple[sqlite3.Connection, Names]:
        self._require_same_file()
        if self._opened is None:
            connection = connect(self.path)
            self._opened = connection, Names(connection)
            stat = self.path.stat()
            self._identity = (stat.st_dev, stat.st_ino)
        return self._opened

    def _require_same_file(self) -> None:
        """A file that was deleted or replaced can still be written to, and all of it would be lost."""
        if self._identity is None:
            return
        try:
            stat = os.stat(self.path)  # noqa: PTH116 (every commit pays for it, and Path.stat takes longer)
        except FileNotFoundError:
            raise self._moved("was deleted or moved") from None
        if (stat.st_dev, stat.st_ino) != self._identity:
            raise self._moved("was replaced by another")

    def _moved(self, fate: str) -> MeterUnavailable:
        return MeterUnavailable(
            f"ledger {self.path}: the file {fate} while in use. "
            "Remedy: put it back, or restart Shoal to go on with what is there"
        )


class Transaction:
    """`with Transaction(connection):` commits durably at the end, or rolls back and lets the error through."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        # IMMEDIATE: waiting for another process's write happens here, where nothing has been read yet.
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            if error is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def connect(path: Path) -> sqlite3.Connection:
    """Open the ledger file for writing; made when missing. Refuses a file that is no ledger of ours."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise MeterUnavailable(f"SQLite {sqlite3.sqlite_version} is too old for the ledger: 3.37 or newer is needed")
    _make_private(path)
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # on macOS a plain fsync leaves data in the drive's cache
        connection.execute("PRAGMA journal_size_limit = 67108864")
        with Transaction(connection):
            if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
                _make_tables(connection)
        require_version(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a ledger for reports; nothing can be written through it. Raises MeterUnavailable when there is none."""
    if not path.exists():
        raise MeterUnavailable(f"there is no ledger at {path}: it is made when Shoal first serves; see SHOAL_DATA_DIR")
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
    try:
        require_version(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def require_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raise MeterUnavailable unless the open file is a ledger with the tables this Shoal knows."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != schema.APPLICATION_ID:
        raise MeterUnavailable(
            f"{path} is a SQLite database but no Shoal ledger: move it away, or set SHOAL_DATA_DIR to another folder"
        )
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != schema.VERSION:
        raise MeterUnavailable(
            f"ledger {path} has schema version {version}, this Shoal knows version {schema.VERSION}: "
            "use the Shoal that wrote it, or set SHOAL_DATA_DIR to another folder to begin a new one"
        )


def _make_private(path: Path) -> None:
    """Make a missing file readable by its owner only: who asked how often is nobody else's business.

    SQLite gives its side files the same mode. A file that is there is never opened here, nor may it be anywhere else in
    this process: closing it would take away the locks SQLite holds on it (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _use_wal(connection: sqlite3.Connection) -> None:
    patience_ends_s = time.monotonic() + BUSY_S
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            # Processes that make the same file at once are told "locked" without any wait.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > patience_ends_s:
                raise
            time.sleep(0.005)
    if mode != "wal":
        raise MeterUnavailable(
            f"the ledger's disk cannot hold a write-ahead log (SQLite chose {mode!r}): "
            "set SHOAL_DATA_DIR to a folder on a local disk"
        )


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in schema.TABLES.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {schema.VERSION}")


def _write(connection: sqlite3.Connection, statements: Statements, rows: list[Row]) -> int:
    """Write rows with few executions; returns how many rows were changed."""
    changed = done = 0
    while left := len(rows) - done:
        size = schema.largest_size(left)
        values = tuple(chain.from_iterable(rows[done : done + size]))
        changed += connection.execute(statements[size], values).rowcount
        done += size
    return changed
