"""What the ledger shows of the last window, for the share of conversations that is held back in the next."""

from __future__ import annotations

import math
import sqlite3
from typing import Final

import numpy as np

from router.meter.clustered import effective
from router.meter.holdback import WINDOW_DAYS, Plan, Seen, rate
from router.meter.hours_schema import DAY_US, HOUR_US
from router.meter.paired import Paired, read
from router.meter.record import Arm, Status
from router.meter.savings import Standing

_COULD_BE: Final = ", ".join(str(int(arm)) for arm in (Arm.NORMAL, Arm.OFF, Arm.BUSY))

_COUNTED: Final = f"""
SELECT count(*) FROM requests WHERE ts_us >= ? AND ts_us < ? AND conversation IS NOT NULL AND status = {int(Status.OK)}
AND (arm = {int(Arm.HOLDBACK)} OR (arm IN ({_COULD_BE}) AND answered_by <> fallback)) GROUP BY conversation
"""  # noqa: S608 (made of constants)
"""Of those that were held back, or were answered by a small expert and might have been, by conversation."""

_ROWS_FROM: Final = "SELECT max(hour) + 1 FROM hours WHERE pruned > 0 AND hour < ?"
"""Asked of hours before the last day, of which all rows are kept."""


def planned_share(connection: sqlite3.Connection, fallback: str, now_us: int) -> float:
    """The share to hold back while `fallback` serves, after what a ledger shows of the window before `now_us`."""
    since_us = now_us - WINDOW_DAYS * DAY_US
    paired = read(connection, since_us, now_us)
    return rate(Plan(), seen(paired, fallback, conversations(connection, since_us, now_us)))


def conversations(connection: sqlite3.Connection, since_us: int, until_us: int) -> float:
    """How many there were of requests that were or might have been held back, as `savings.effective` counts them.

    Where rows of the period are deleted already, as many are taken to have come in that time as in the rest.
    """
    (whole_hour,) = connection.execute(_ROWS_FROM, ((until_us - DAY_US) // HOUR_US,)).fetchone()
    from_us = max(since_us, (whole_hour or 0) * HOUR_US)
    rows = np.fromiter((many for (many,) in connection.execute(_COUNTED, (from_us, until_us))), float)
    return effective(rows) * (until_us - since_us) / (until_us - from_us)


def seen(paired: Paired, fallback: str, conversations: float) -> Seen:
    """What the next share is planned by; `fallback` is the one that serves now, whose pairs tell how exact it gets."""
    segment = paired.of(fallback)
    if segment is None or segment.standing is Standing.UNVERIFIED:
        return Seen(conversations)
    alone, known = segment.traffic.alone, segment.traffic.held.fallback.any(axis=0)
    if not known.any():
        return Seen(conversations)
    unit = int(np.argmax(known))
    error = math.sqrt(alone.variance[unit]) / float(alone.total[unit])
    return Seen(conversations, error * math.sqrt(segment.traffic.held.effective))
