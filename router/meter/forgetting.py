"""Forgetting what was kept for the judge to learn from, once its time is up: no byte stays on the disk."""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

from router.meter.record import Purge
from router.meter.rejected import score_forgotten
from router.meter.schema import FEEDBACK_COLUMNS
from router.meter.seal import Seals
from router.meter.ulid import ulid_floor

AT_ONCE: Final = 500
"""Rows of a table deleted in one commit at most: a few milliseconds' work."""

_COLUMNS: Final = {"vectors": "1", "feedback": ", ".join(FEEDBACK_COLUMNS), "texts": "1"}
_DELETE: Final = {
    table: f"DELETE FROM {table} WHERE request_id IN "  # noqa: S608 (made of constants)
    f"(SELECT request_id FROM {table} WHERE request_id < ? ORDER BY request_id LIMIT ?) RETURNING {columns}"
    for table, columns in _COLUMNS.items()
}

_log = logging.getLogger("shoal.meter")


def forget(connection: sqlite3.Connection, seals: Seals, purge: Purge) -> None:
    """One step, inside the caller's transaction; says in `purge` how many rows that were."""
    moments = {"vectors": purge.vectors_us, "feedback": purge.feedback_us, "texts": purge.texts_us}
    gone = {
        table: connection.execute(_DELETE[table], (ulid_floor(moment_us), AT_ONCE)).fetchall()
        for table, moment_us in moments.items()
    }
    for row in gone["feedback"]:
        seals.said(row, sign=-1)
        score_forgotten(connection, seals, row)
    purge.removed = sum(map(len, gone.values()))


def empty_log(connection: sqlite3.Connection) -> None:
    """Write the log back into the file and cut it: the connection's `secure_delete` has zeroed what was deleted there.

    A reader that still needs the log is not waited for; the next purge tries again.
    """
    patience_ms = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        _log.warning("the ledger's log could not be emptied: %s", error)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {patience_ms}")
