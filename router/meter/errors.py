"""What can go wrong with the ledger.

ShoalError
├── MeterUnavailable    the ledger cannot be read or written now; nothing is served unmetered
└── EntryRefused        one entry is impossible (an id used twice, a finish without a begin, a number out of range)
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from experts.errors import ShoalError


class MeterUnavailable(ShoalError):
    """The ledger cannot be read or written now. The message names the file, the fault and the remedy."""


class EntryRefused(ShoalError):
    """An entry the ledger cannot hold; others are not affected."""


_WRITABLE = "make the file and its folder writable by this user, or set SHOAL_DATA_DIR to a folder that is"

_REMEDIES = (
    ("full", "free some space on its disk"),
    ("locked", "another process holds it: wait for that one, or end it"),
    ("readonly", _WRITABLE),
    ("unable to open", _WRITABLE),
    ("denied", _WRITABLE),
    ("Read-only", _WRITABLE),
    ("malformed", "stop Shoal, keep a copy of the file, and put a backup in its place or let Shoal begin a new one"),
    ("not a database", "this file is no ledger: move it away, or set SHOAL_DATA_DIR to another folder"),
    ("I/O", "look at the disk: the system refused to read or write it"),
)


def is_storage_fault(error: BaseException) -> bool:
    """True when `error` speaks of the disk or the database, False when it speaks of an entry."""
    # The bare DatabaseError is how sqlite3 reports a damaged file; its subclasses speak of statements and values.
    storage = (sqlite3.OperationalError, sqlite3.InternalError, OSError, MeterUnavailable)
    return isinstance(error, storage) or type(error) is sqlite3.DatabaseError


def unavailable(path: Path, error: BaseException) -> MeterUnavailable:
    """What to raise for a storage fault of the ledger at `path`."""
    if isinstance(error, MeterUnavailable):
        return error
    remedy = next((remedy for word, remedy in _REMEDIES if word in str(error)), "look at the file and its disk")
    return MeterUnavailable(f"ledger {path}: {error}. Remedy: {remedy}")
