"""How the small answers to held-back requests compare with the fallback's."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import numpy as np

from router.meter.record import Role
from router.meter.rows import SHADOW_N
from router.meter.savings import paired_gap
from router.meter.spans import FOREVER_US, OWN, covered

_PAIRS: Final = """
SELECT p.same, p.small_ppm / 1e6, p.fallback_ppm / 1e6, r.pi_ppm / 1e6, r.conversation, n.name
FROM pairs p CROSS JOIN requests r USING (request_id) LEFT JOIN names n ON n.id = r.fallback
WHERE r.ts_us >= ? AND r.ts_us < ? AND r.pi_ppm < 1000000
"""


_GRADING: Final = """
SELECT n.name, count(*) FROM pairs p CROSS JOIN requests r USING (request_id) CROSS JOIN attempts a USING (request_id)
LEFT JOIN names n ON n.id = a.error_code
WHERE r.ts_us >= ? AND r.ts_us < ? AND r.pi_ppm < 1000000 AND a.n > ? AND a.role = ?
"""


def quality(
    connection: sqlite3.Connection, since_us: int | None, until_us: int | None, own: str | None = None
) -> dict[str, Any]:
    """How the two answers to one held-back request compare: word for word and, where a grader is set, in its eyes.

    `own` is the id of a key, where only its requests are meant. Pairs with all `fallbacks` are compared together.
    """
    since_us, until_us = covered(connection, since_us, until_us)
    period = (since_us or 0, FOREVER_US if until_us is None else until_us)
    narrowed, which = ("", ()) if own is None else (OWN, (own,))
    rows = connection.execute(_PAIRS + narrowed, (*period, *which)).fetchall()
    grades = [each is not None for row in rows for each in row[1:3]]
    said: dict[str, Any] = {
        "pairs": len(rows),
        "same_answer": sum(row[0] for row in rows) / len(rows) if rows else None,
        "gap": None,
        "grading": _grading(connection, period, narrowed, which) | {"grades": sum(grades)},
        "fallbacks": sorted({row[5] for row in rows if row[5] is not None}),
    }
    graded = [row for row in rows if row[1] is not None and row[2] is not None]
    talks = {talk: at for at, talk in enumerate(dict.fromkeys(row[4] for row in graded))}
    if len(talks) < 2:
        return said
    small, fallback, rate = (np.array([row[at] for row in graded], float) for at in (1, 2, 3))
    mean, low, high = paired_gap(small, fallback, rate, np.array([talks[row[4]] for row in graded], np.intp))
    return said | {"gap": {"mean": mean, "low": low, "high": high, "graded": len(graded)}}


def _grading(
    connection: sqlite3.Connection, period: tuple[int, int], narrowed: str, which: tuple[str, ...]
) -> dict[str, Any]:
    """How often a grader was asked, and how many of these calls failed, by the ledger's name of what went wrong."""
    query = f"{_GRADING}{narrowed} GROUP BY n.name"
    calls = dict(connection.execute(query, (*period, SHADOW_N, Role.GRADER, *which)).fetchall())
    return {"calls": sum(calls.values()), "failed": {name: n for name, n in calls.items() if name is not None}}
