"""Private SQLite files in the data folder: durable, told apart by application id and version, used by one thread.

`Format` says what a file holds. The ledger, the keys and stored answers are such files.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from experts.errors import ShoalError
from router.stepping import Tell, stepping

OLDEST_SQLITE = (3, 37, 0)
"""The first with STRICT tables."""

BUSY_S = 5.0
"""How long a write waits for another process's."""

STEP_UP_S = 300.0
"""How long an older file waits for another process that brings it to today's tables."""

PAGE_BYTES = 2048
"""Of a new file. A commit checks, writes and flushes whole pages, though it adds a few rows to each of some trees."""


class StoreUnavailable(ShoalError):
    """A file of ours cannot be read or written now. The message names the file, the fault and the remedy."""


@dataclass(frozen=True, slots=True)
class Format:
    """What a file of ours is: four letters that tell it from other databases, and the version of its tables."""

    what: str
    """In a word, for messages: ledger, keys."""
    application_id: int
    version: int
    tables: str
    """SQL that makes them, parts separated by semicolons."""
    unavailable: type[StoreUnavailable] = StoreUnavailable
    """What is raised when the file cannot be used."""
    steps: Mapping[int, str] = field(default_factory=dict)
    """Older version -> SQL that leads from it to the next, parts separated by semicolons."""
    begin: Callable[[sqlite3.Connection, Tell], None] = lambda _, __: None
    """What is to be done when the tables were just made, or brought to today's; in the same transaction."""


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


def connect(path: Path, form: Format) -> sqlite3.Connection:
    """Open a file for writing; made when missing, readable by its owner only; brought to today's tables when older.

    Refuses a file of another kind or a newer one.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise form.unavailable(
            f"SQLite {sqlite3.sqlite_version} is too old for the {form.what}: 3.37 or newer is needed"
        )
    _make_private(path)
    _bind_quickly()
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        _use_wal(connection, form)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # on macOS a plain fsync leaves data in the drive's cache
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten: it must be gone for good
        if _is_ours(connection, form) and _version(connection) in form.steps:
            _be_patient(connection, STEP_UP_S)
            with stepping(form.what, path, _version(connection), form.version) as tell, Transaction(connection):
                _step_up(connection, form, tell)
            _be_patient(connection, BUSY_S)
        with Transaction(connection):
            if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
                _make_tables(connection, form)
        require_version(connection, path, form)
    except BaseException:
        connection.close()
        raise
    return connection


def _bind_quickly() -> None:
    """Let None and bytes stand for themselves: else sqlite3 looks for another way, and drops the error (ADR 0052)."""
    sqlite3.register_adapter(type(None), lambda none: none)
    sqlite3.register_adapter(bytes, bytes)


def connect_read_only(path: Path, form: Format) -> sqlite3.Connection:
    """Open a file that exists for reading; an older one is brought to today's tables first.

    Raises sqlite3's errors, and what the format calls unavailable.
    """
    connection = _read_only(path)
    try:
        if _is_ours(connection, form) and _version(connection) in form.steps:
            connection.close()
            connect(path, form).close()
            connection = _read_only(path)
        require_version(connection, path, form)
    except BaseException:
        connection.close()
        raise
    return connection


def require_version(connection: sqlite3.Connection, path: Path, form: Format) -> None:
    """Raise what the format calls unavailable unless the open file has the tables this Shoal knows."""
    if not _is_ours(connection, form):
        raise form.unavailable(
            f"{path} is a SQLite database but no Shoal {form.what}: "
            "move it away, or set SHOAL_DATA_DIR to another folder"
        )
    if _version(connection) != form.version:
        raise form.unavailable(
            f"{form.what} {path} has schema version {_version(connection)}, this Shoal knows version {form.version}: "
            "use the Shoal that wrote it, or set SHOAL_DATA_DIR to another folder to begin a new one"
        )


_WRITABLE = "make the file and its folder writable by this user, or set SHOAL_DATA_DIR to a folder that is"

_REMEDIES = (
    ("full", "free some space on its disk"),
    ("locked", "another process holds it: wait for that one, or end it"),
    *((word, _WRITABLE) for word in ("readonly", "unable to open", "denied", "Read-only")),
    ("malformed", "stop Shoal, keep a copy of the file, and put a backup in its place or let Shoal begin a new one"),
    ("not a database", "this file is none of Shoal's: move it away, or set SHOAL_DATA_DIR to another folder"),
    ("integer overflow", "ask for a period without the request of such amounts: `shoal meter export` has it"),
    ("I/O", "look at the disk: the system refused to read or write it, which also happens where no space is left"),
)


class SameFile:
    """Whether a path still names the file that was opened by it.

    One that was deleted or replaced can still be written to, and all of it would be lost.
    """

    def __init__(self, path: Path, form: Format) -> None:
        self._path = path
        self._form = form
        self._identity: tuple[int, int] | None = None

    def opened(self) -> None:
        """Remember the file that is there."""
        stat = self._path.stat()
        self._identity = (stat.st_dev, stat.st_ino)

    def require(self) -> None:
        """Raise what the format calls unavailable unless that one is there; nothing before the first was opened."""
        if self._identity is None:
            return
        try:
            stat = os.stat(self._path)  # noqa: PTH116 (every commit pays for it, and Path.stat takes longer)
        except FileNotFoundError:
            raise self._moved("was deleted or moved") from None
        if (stat.st_dev, stat.st_ino) != self._identity:
            raise self._moved("was replaced by another")

    def _moved(self, fate: str) -> StoreUnavailable:
        return self._form.unavailable(
            f"{self._form.what} {self._path}: the file {fate} while in use. "
            "Remedy: put it back, or restart Shoal to go on with what is there"
        )


def is_storage_fault(error: BaseException) -> bool:
    """True when `error` speaks of the disk or the database, False when it speaks of an entry."""
    # The bare DatabaseError is how sqlite3 reports a damaged file; its subclasses speak of statements and values.
    storage = (sqlite3.OperationalError, sqlite3.InternalError, OSError, StoreUnavailable)
    return isinstance(error, storage) or type(error) is sqlite3.DatabaseError


def unavailable(path: Path, error: BaseException, form: Format) -> StoreUnavailable:
    """What to raise for a storage fault of the file at `path`."""
    if isinstance(error, form.unavailable):
        return error
    remedy = next((remedy for word, remedy in _REMEDIES if word in str(error)), "look at the file and its disk")
    return form.unavailable(f"{form.what} {path}: {error}. Remedy: {remedy}")


def _make_private(path: Path) -> None:
    """Make a missing file readable by its owner only: who asked how often is nobody else's business.

    SQLite gives its side files the same mode. A file that is there is never opened here, nor may it be anywhere else in
    this process: closing it would take away the locks SQLite holds on it (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _use_wal(connection: sqlite3.Connection, form: Format) -> None:
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
        raise form.unavailable(
            f"the {form.what}'s disk cannot hold a write-ahead log (SQLite chose {mode!r}): "
            "set SHOAL_DATA_DIR to a folder on a local disk"
        )


def _read_only(path: Path) -> sqlite3.Connection:
    # Where nobody may make a log and none is there, SQLite opens only what it is told that nobody changes.
    fixed = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if fixed else ''}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


def _be_patient(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")


def _is_ours(connection: sqlite3.Connection, form: Format) -> bool:
    found: int = connection.execute("PRAGMA application_id").fetchone()[0]
    return found == form.application_id


def _version(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def _make_tables(connection: sqlite3.Connection, form: Format) -> None:
    _run_all(connection, form.tables)
    form.begin(connection, lambda _, __: None)
    connection.execute(f"PRAGMA application_id = {form.application_id}")
    connection.execute(f"PRAGMA user_version = {form.version}")


def _step_up(connection: sqlite3.Connection, form: Format, tell: Tell) -> None:
    """Bring an older file to today's tables, step by step; inside the caller's transaction.

    Another process may have done it while this one waited.
    """
    older = version = _version(connection)
    while version in form.steps:
        _run_all(connection, form.steps[version])
        version += 1
        connection.execute(f"PRAGMA user_version = {version}")
    if version > older:
        form.begin(connection, tell)


def _run_all(connection: sqlite3.Connection, statements: str) -> None:
    """Run statements one by one: `executescript` would end the caller's transaction."""
    for statement in statements.split(";"):
        connection.execute(statement)
