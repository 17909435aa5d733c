"""How long answers took: nearest-rank percentiles, so that every figure is a wait that happened.

No sum tells of waits. Of hours whose rows are gone only those held back are left, which are no fair sample, so a period
is told of from the end of the last such hour on.
"""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from router.board.period import Period
from router.meter.hours_schema import HOUR_US
from router.meter.record import Status

MOST_ROWS: Final = 20_000
"""Of the newest requests looked at: enough for a p99 of an expert with a hundredth of the traffic."""

PERCENTILES: Final = (50, 95, 99)

ALL: Final = "all"

_ANSWERED = f"""
SELECT answered_by, total_us, CASE WHEN stream THEN first_byte_us END FROM requests
WHERE ts_us >= ? AND ts_us < ? AND status = {int(Status.OK)} AND total_us IS NOT NULL
ORDER BY ts_us DESC LIMIT {MOST_ROWS}
"""  # noqa: S608 (made of constants)

_GONE: Final = "SELECT max(hour) FROM hours WHERE pruned > 0 AND hour >= ? AND hour < ?"

Waits = defaultdict[str, tuple[list[int], list[int]]]
"""By expert: microseconds from arrival to the end, and of streams from asking it to its first word.

As in /metrics: of an answer in one piece there is no first word, and where it is the end it says nothing of streams."""


def latency(connection: sqlite3.Connection, period: Period, names: dict[int, str]) -> dict[str, Any]:
    """Of the period's newest answered requests, for all and by expert: total and, of streams, first word, in seconds.

    `rows_since_s` is from when on it is told, where rows of the period are gone; else None.
    """
    gone = connection.execute(_GONE, (period.since_us // HOUR_US, -(-period.until_us // HOUR_US))).fetchone()[0]
    since_us = period.since_us if gone is None else max(period.since_us, (gone + 1) * HOUR_US)
    waits: Waits = defaultdict(lambda: ([], []))
    for answered_by, total_us, first_byte_us in connection.execute(_ANSWERED, (since_us, period.until_us)):
        for who in (ALL, names.get(answered_by)):
            if who is not None:
                waits[who][0].append(total_us)
                if first_byte_us is not None:
                    waits[who][1].append(first_byte_us)
    rows = {
        who: {"requests": len(totals), "total_s": percentiles(totals), "first_byte_s": percentiles(firsts)}
        for who, (totals, firsts) in sorted(waits.items(), key=lambda item: (item[0] != ALL, item[0]))
    }
    return {"newest": MOST_ROWS, "rows_since_s": None if gone is None else since_us / 1e6, "rows": rows}


def percentiles(waits_us: Sequence[int]) -> dict[str, float | None]:
    """Seconds at each of `PERCENTILES`, by nearest rank; None of no waits."""
    ordered = sorted(waits_us)
    return {
        f"p{percent}": ordered[math.ceil(percent * len(ordered) / 100) - 1] / 1e6 if ordered else None
        for percent in PERCENTILES
    }
