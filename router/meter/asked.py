"""What the ledger knows of one request, for whoever speaks of it again."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from router.meter.ledger import Ledger
from router.meter.ulid import ulid_bytes

_QUERY = """
SELECT coalesce(k.name, ''), a.name, EXISTS (SELECT 1 FROM vectors v WHERE v.request_id = r.request_id)
FROM requests r LEFT JOIN names k ON k.id = r.key LEFT JOIN names a ON a.id = r.answered_by
WHERE r.request_id = ?
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was entered in the ledger."""

    key_id: str
    """Of the key it was made with; empty when it was made without one."""
    answered_by: str | None
    """None while it runs, and when nobody answered."""
    has_vector: bool
    """Whether the judge can learn from it."""


def asked(ledger: Ledger, request_id: str) -> Asked | None:
    """The request with this id, None when there is none. Reads from the disk. Raises MeterUnavailable."""
    try:
        key = ulid_bytes(request_id)
    except ValueError:
        return None
    with ledger.reading() as connection:
        row = _row(connection, key)
    return None if row is None else Asked(row[0], row[1], bool(row[2]))


def _row(connection: sqlite3.Connection, key: bytes) -> tuple[str, str | None, int] | None:
    found: tuple[str, str | None, int] | None = connection.execute(_QUERY, (key,)).fetchone()
    return found
