"""Hourly sums of the ledger: made in the background from rows that will not change any more, again and again the same.

The adding up is done by a reader, so the writer's thread only exchanges some hundred rows.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from router.meter.hours_schema import ATTEMPT_KEYS, ATTEMPT_SUMS, REQUEST_KEYS, REQUEST_SUMS
from router.meter.record import Status

HOUR_US: Final = 3_600_000_000

SETTLED_US: Final = 120_000_000
"""How long after its end an hour is left alone: what was measured of its last requests comes in a moment later."""

UNPRICED: Final = f"(a.price_version IS NULL AND a.status <> {int(Status.INTERRUPTED)})"
"""An attempt whose cost of 0 says nothing; of one that was interrupted nothing is known at all."""

_SUM_REQUESTS: Final = f"""
SELECT {", ".join(f"r.{name}" for name in REQUEST_KEYS)}, count(*),
       {", ".join(f"sum(r.{name})" for name in REQUEST_SUMS)}
FROM requests r WHERE r.ts_us >= ? AND r.ts_us < ?
GROUP BY {", ".join(map(str, range(1, len(REQUEST_KEYS) + 1)))}
"""  # noqa: S608 (made of constants)

_OWN: Final = frozenset({"answered_by", "label", "policy", "key", "arm", "coefficient_version", "grid_version"})
_ATTEMPT_TERMS: Final = [
    UNPRICED if name == "unpriced" else f"r.{name}" if name in _OWN else f"a.{name}" for name in ATTEMPT_KEYS
]
_SUM_ATTEMPTS: Final = f"""
SELECT {", ".join(_ATTEMPT_TERMS)}, count(*), {", ".join(f"sum(a.{name})" for name in ATTEMPT_SUMS)}
FROM requests r JOIN attempts a USING (request_id) WHERE r.ts_us >= ? AND r.ts_us < ?
GROUP BY {", ".join(map(str, range(1, len(ATTEMPT_KEYS) + 1)))}
"""  # noqa: S608 (made of constants)

_OPEN: Final = "SELECT 1 FROM requests WHERE ts_us >= ? AND ts_us < ? AND status = 0 LIMIT 1"


_REOPEN: Final = "DELETE FROM hours WHERE pruned = 0 AND hour = (SELECT ts_us / ? FROM requests WHERE request_id = ?)"


@dataclass(slots=True)
class Rollup:
    """One hour's sums, on their way into the ledger."""

    hour: int
    requests: list[tuple[Any, ...]]
    attempts: list[tuple[Any, ...]]

    @property
    def count(self) -> int:
        """Requests in it."""
        return sum(row[len(REQUEST_KEYS)] for row in self.requests)


def due(connection: sqlite3.Connection, now_us: int, most: int = 48) -> list[int]:
    """Hours that are over, not yet added up, and in which no request is still under way; the oldest first."""
    first = connection.execute("SELECT min(ts_us) FROM requests").fetchone()[0]
    if first is None:
        return []
    found = _missing(connection, first // HOUR_US, (now_us - SETTLED_US) // HOUR_US, most)
    return [hour for hour in found if not connection.execute(_OPEN, _bounds(hour)).fetchone()]


def _missing(connection: sqlite3.Connection, first: int, end: int, most: int) -> list[int]:
    """Hours with requests and without sums. Skips from one to the next by the index on time."""
    done = {hour for (hour,) in connection.execute("SELECT hour FROM hours WHERE hour >= ? AND hour < ?", (first, end))}
    found: list[int] = []
    at = first
    while at < end and len(found) < most:
        if at in done:
            at += 1
            continue
        row = connection.execute("SELECT min(ts_us) FROM requests WHERE ts_us >= ?", (at * HOUR_US,)).fetchone()
        if row[0] is None:
            break
        hour = row[0] // HOUR_US
        if hour < end and hour not in done:
            found.append(hour)
        at = hour + 1
    return found


def add_up(connection: sqlite3.Connection, hour: int) -> Rollup:
    """The sums of an hour, from its raw rows."""
    bounds = _bounds(hour)
    return Rollup(
        hour, connection.execute(_SUM_REQUESTS, bounds).fetchall(), connection.execute(_SUM_ATTEMPTS, bounds).fetchall()
    )


def write(connection: sqlite3.Connection, rollup: Rollup) -> None:
    """Put an hour's sums in the place of older ones, inside the caller's transaction.

    Not where its raw rows are gone already: then the older ones are the only truth.
    """
    pruned = connection.execute("SELECT pruned FROM hours WHERE hour = ?", (rollup.hour,)).fetchone()
    if pruned is not None and pruned[0]:
        return
    for table, rows in (("hour_requests", rollup.requests), ("hour_attempts", rollup.attempts)):
        connection.execute(f"DELETE FROM {table} WHERE hour = ?", (rollup.hour,))  # noqa: S608 (made of constants)
        if rows:
            marks = ",".join("?" * (len(rows[0]) + 1))
            statement = f"INSERT INTO {table} VALUES ({marks})"  # noqa: S608 (made of constants)
            connection.executemany(statement, [(rollup.hour, *row) for row in rows])
    connection.execute(
        "INSERT INTO hours (hour, requests) VALUES (?, ?) ON CONFLICT DO UPDATE SET requests = excluded.requests",
        (rollup.hour, rollup.count),
    )


def reopen(connection: sqlite3.Connection, request_id: bytes) -> None:
    """A request changed after it had ended: its hour is read from raw rows again until it is added up anew."""
    connection.execute(_REOPEN, (HOUR_US, request_id))


def _bounds(hour: int) -> tuple[int, int]:
    return hour * HOUR_US, (hour + 1) * HOUR_US
