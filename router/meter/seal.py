"""Hashes over the rows of an hour, made when it is added up: what is changed in them later is found by an audit.

They hold what nothing else in the ledger tells of a request: when it came, in which conversation, how it was drawn,
what it asked for. They have no key: who changes rows can make them again, and only a copy of the ledger shows that.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from typing import Final

from router.meter.hours_schema import HOUR_US
from router.meter.record import Arm

COLUMNS: Final = (
    "request_id", "boot", "ts_us", "endpoint", "requested_model", "policy", "expert", "fallback", "role", "label",
    "probability_ppm", "threshold_ppm", "known_ppm", "registry_version", "key", "stream", "retry_count", "arm",
    "pi_ppm", "seed_version", "conversation",
)  # fmt: skip
"""Written once, when a request begins. With others the seals there are would be wrong: migrate.py has to empty them."""

_ROWS: Final = f"SELECT {', '.join(COLUMNS)} FROM requests WHERE ts_us >= ? AND ts_us < ? ORDER BY request_id"  # noqa: S608
_ARM: Final = COLUMNS.index("arm")


@dataclass(frozen=True, slots=True)
class Seal:
    """Of an hour's rows; 32 bytes each, None where the hour was added up before there were seals."""

    rows: bytes | None
    """SHA-256 of all, in the order of ids."""
    held: bytes | None
    """Of those that were held back alone, which stay when the others are deleted."""


def seal(connection: sqlite3.Connection, hour: int) -> Seal:
    """Made of the rows as they are."""
    rows, held = hashlib.sha256(), hashlib.sha256()
    for row in connection.execute(_ROWS, (hour * HOUR_US, (hour + 1) * HOUR_US)):
        told = repr(row).encode()
        rows.update(told)
        if row[_ARM] == Arm.HOLDBACK:
            held.update(told)
    return Seal(rows.digest(), held.digest())


def kept_seal(connection: sqlite3.Connection, hour: int) -> Seal:
    """As it was when the hour was added up."""
    return Seal(*connection.execute("SELECT rows_hash, held_hash FROM hours WHERE hour = ?", (hour,)).fetchone())
