"""Answers that clients scored below one half: kept in sums for ever, though their scores are forgotten.

While there is a score its request is counted by it. Where it is forgotten before the request's row, the id stays in
`rejected` until that row goes too; from then on the sums of its hour are all there is.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from router.meter.hours_schema import HOUR, Grain
from router.meter.record import Arm, Status
from router.meter.rows import Row
from router.meter.seal import Seals
from router.meter.spans import OWN, RAW, Bounds, Spans
from router.meter.ulid import ids_between

BELOW_PPM: Final = 500_000

_ANSWER: Final = f"r.status = {int(Status.OK)} AND (r.policy IS NOT NULL OR r.arm <> {int(Arm.UNABLE)})"

# A cross join is read in this order: there are few scores and many requests.
_FROM: Final = f"""
FROM (
    SELECT request_id FROM feedback WHERE score_ppm < {BELOW_PPM} AND request_id BETWEEN :first AND :last
    UNION ALL SELECT request_id FROM rejected WHERE request_id BETWEEN :first AND :last
) CROSS JOIN requests r USING (request_id) WHERE r.ts_us >= :since AND r.ts_us < :until AND {_ANSWER}
"""  # noqa: S608 (made of constants)
_IN_ROWS: Final = f"SELECT r.key, count(*) {_FROM} GROUP BY 1 ORDER BY 1"
_OWN_IN_ROWS: Final = f"SELECT r.key, count(*) {_FROM} {OWN.replace('?', ':own')}"
_KEEP: Final = f"""
INSERT INTO rejected SELECT request_id FROM requests r WHERE request_id = ? AND {_ANSWER}
AND NOT EXISTS (SELECT 1 FROM hours h WHERE h.hour = r.ts_us / {HOUR.us} AND h.pruned > 0)
"""  # noqa: S608 (made of constants)
_DROP_HOUR: Final = """
DELETE FROM rejected WHERE request_id BETWEEN :first AND :last
AND (SELECT r.ts_us FROM requests r WHERE r.request_id = rejected.request_id) BETWEEN :since AND :until - 1
RETURNING request_id
"""


def rejected(connection: sqlite3.Connection, period: Spans, own: str | None = None) -> int:
    """How many of a period; of the requests of one key where `own` is its id."""
    found = 0
    for source, bounds in period:
        if source is RAW:
            found += sum(n for _, n in _in_rows(connection, bounds, own))
        else:
            query = f"SELECT coalesce(sum(r.n), 0) FROM {source.rejected} r WHERE {source.bounds}"  # noqa: S608
            narrow, of = ("", ()) if own is None else (OWN, (own,))
            found += connection.execute(query + narrow, (*bounds, *of)).fetchone()[0]
    return found


def added_up(connection: sqlite3.Connection, grain: Grain, first: int, end: int) -> list[tuple[Any, ...]]:
    """By keys, of an hour from its rows (its ends in microseconds), or of a day from its hours."""
    if grain is HOUR:
        return _in_rows(connection, (first, end))
    query = f"SELECT key, sum(n) FROM {HOUR.rejected} WHERE hour >= ? AND hour < ? GROUP BY 1 ORDER BY 1"  # noqa: S608
    return connection.execute(query, (first, end)).fetchall()


def below(row: Row) -> bool:
    """Whether a row of feedback rejects its answer."""
    _, _, score_ppm = row
    return bool(score_ppm < BELOW_PPM)


def score_forgotten(connection: sqlite3.Connection, seals: Seals, row: Row) -> None:
    """A row of feedback was deleted: of a rejected answer whose row is still there the id stays."""
    if below(row) and connection.execute(_KEEP, row[:1]).rowcount:
        seals.rejected(row[0])


def scored_again(connection: sqlite3.Connection, seals: Seals, request_id: bytes) -> bool:
    """A score is there again, and counts; whether the answer was kept as a rejected one."""
    gone = connection.execute("DELETE FROM rejected WHERE request_id = ?", (request_id,)).rowcount > 0
    if gone:
        seals.rejected(request_id, sign=-1)
    return gone


def rows_gone(connection: sqlite3.Connection, seals: Seals, hour: int) -> None:
    """The rows of an hour go away, and its sums are all there is."""
    bounds = hour * HOUR.us, (hour + 1) * HOUR.us
    for (request_id,) in connection.execute(_DROP_HOUR, _told(bounds)).fetchall():
        seals.rejected(request_id, sign=-1)


def _in_rows(connection: sqlite3.Connection, bounds: Bounds, own: str | None = None) -> list[tuple[Any, ...]]:
    told = _told(bounds) | ({} if own is None else {"own": own})
    return connection.execute(_IN_ROWS if own is None else _OWN_IN_ROWS, told).fetchall()


def _told(bounds: Bounds) -> dict[str, Any]:
    since_us, until_us = bounds
    first, last = ids_between(since_us, until_us)
    return {"first": first, "last": last, "since": since_us, "until": until_us}
