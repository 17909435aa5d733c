"""Runs of the server. Each holds a lock on a file of its own while it lives, however it dies.

Several processes write one ledger; a request that was begun by a run whose lock is free can never be finished, and is
closed as INTERRUPTED by whoever opens the ledger next.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from router.meter.record import Arm, Status
from router.meter.seal import Seals, sealed
from router.meter.steady import utc_us
from router.meter.ulid import new_ulid

_ENTER = "INSERT INTO boots (name, pid, started_us) VALUES (?, ?, ?) RETURNING *"


class Boot:
    """This run: registered in the ledger, its lock held."""

    def __init__(self, ledger: Path) -> None:
        """Take the lock. The run is not in the ledger before `register`, so nobody finds it there without its lock."""
        self.name = new_ulid()
        self.id = 0
        self.interrupted = 0
        """Requests that the dead had left open, closed by this run."""
        self._folder = lock_folder(ledger)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self._folder / self.name)

    def register(self, connection: sqlite3.Connection) -> int:
        """Enter this run, and close what the dead left open. Returns the run's number in the ledger."""
        with sealed(connection) as seals:
            living = connection.execute("SELECT id, name FROM boots WHERE ended_us IS NULL").fetchall()
            for boot_id, name in living:
                self._bury(connection, seals, boot_id, name)
            row = (self.name, os.getpid(), utc_us())
            (entered,) = connection.execute(_ENTER, row).fetchall()
            seals.word("boots", entered)
            self.id = int(entered[0])
        return self.id

    def end(self, connection: sqlite3.Connection) -> None:
        """Close this run: what it leaves open is interrupted."""
        with sealed(connection) as seals:
            _interrupt(connection, seals, self.id)
        (self._folder / self.name).unlink(missing_ok=True)

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _bury(self, connection: sqlite3.Connection, seals: Seals, boot_id: int, name: str) -> None:
        lock = _lock(self._folder / name)
        if lock is None:
            return
        try:
            self.interrupted += _interrupt(connection, seals, boot_id)
            (self._folder / name).unlink(missing_ok=True)
        finally:
            os.close(lock)


def lock_folder(ledger: Path) -> Path:
    """Where the locks of a ledger's runs lie."""
    return ledger.with_name(ledger.name + ".boots")


def newest_before(connection: sqlite3.Connection) -> int | None:
    """When the newest request was begun that is from before every run that lives now; None where there is none."""
    query = "SELECT max(ts_us) FROM requests WHERE ts_us < (SELECT min(started_us) FROM boots WHERE ended_us IS NULL)"
    found: int | None = connection.execute(query).fetchone()[0]
    return found


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock, or None when somebody else does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _interrupt(connection: sqlite3.Connection, seals: Seals, boot_id: int) -> int:
    """Close the open requests of a run. Tokens counted so far become an attempt, so that no sum misses them.

    Of those held back they are the fallback's, which was asked in the place of the expert that was chosen. Returns how
    many requests that were.
    """
    left = connection.execute("SELECT request_id FROM requests WHERE boot = ? AND status = 0", (boot_id,)).fetchall()
    connection.execute(
        """INSERT INTO attempts (request_id, n, expert, role, status, output_tokens)
           SELECT request_id, 0, iif(arm = ?, fallback, expert), role, ?, checkpoint_tokens FROM requests
           WHERE boot = ? AND status = 0 AND checkpoint_tokens > 0""",
        (int(Arm.HOLDBACK), int(Status.INTERRUPTED), boot_id),
    )
    connection.execute(
        "UPDATE requests SET status = ? WHERE boot = ? AND status = 0", (int(Status.INTERRUPTED), boot_id)
    )
    for (request_id,) in left:
        seals.kept_end(connection, request_id)
    (run,) = connection.execute("SELECT * FROM boots WHERE id = ?", (boot_id,)).fetchall()
    seals.word("boots", run, sign=-1)
    (ended,) = connection.execute(
        "UPDATE boots SET ended_us = ? WHERE id = ? RETURNING *", (utc_us(), boot_id)
    ).fetchall()
    seals.word("boots", ended)
    return len(left)
