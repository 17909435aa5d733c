"""How the small answers to held-back requests compare with the fallback's."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import numpy as np

from router.meter.savings import paired_gap
from router.meter.spans import FOREVER_US, OWN, covered

_PAIRS: Final = """
SELECT p.same, p.small_ppm / 1e6, p.fallback_ppm / 1e6, r.pi_ppm / 1e6, r.conversation, n.name
FROM pairs p CROSS JOIN requests r USING (request_id) LEFT JOIN names n ON n.id = r.fallback
WHERE r.ts_us >= ? AND r.ts_us < ? AND r.pi_ppm < 1000000
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
    said: dict[str, Any] = {
        "pairs": len(rows),
        "same_answer": sum(row[0] for row in rows) / len(rows) if rows else None,
        "gap": None,
        "fallbacks": sorted({row[5] for row in rows if row[5] is not None}),
    }
    graded = [row for row in rows if row[1] is not None and row[2] is not None]
    talks = {talk: at for at, talk in enumerate(dict.fromkeys(row[4] for row in graded))}
    if len(talks) < 2:
        return said
    small, fallback, rate = (np.array([row[at] for row in graded], float) for at in (1, 2, 3))
    mean, low, high = paired_gap(small, fallback, rate, np.array([talks[row[4]] for row in graded], np.intp))
    return said | {"gap": {"mean": mean, "low": low, "high": high, "graded": len(graded)}}
