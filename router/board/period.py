"""Which part of the ledger a picture shows, and into how many steps it is cut."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final, Self

from router.meter.hours_schema import DAY, HOUR_US
from router.meter.spans import RAW, Range, spans
from router.meter.steady import utc_us

MINUTE_US: Final = 60_000_000

STEPS_US: Final = tuple(MINUTE_US * minutes for minutes in (1, 5, 15, 60, 180, 1440, 4320, 10080, 43200))
"""Lengths a step may have, from a minute to thirty days."""

MOST_STEPS: Final = 96
"""More than a curve on a screen can show; at the longest step there may be more."""

LONGEST_US: Final = 400 * 366 * 24 * 60 * MINUTE_US


@dataclass(frozen=True, slots=True)
class Period:
    """From `since_us` up to and without `until_us`, in steps of `step_us`; microseconds since 1970."""

    since_us: int
    until_us: int
    step_us: int

    @classmethod
    def of(cls, connection: sqlite3.Connection, since_us: int | None, until_us: int | None) -> Self:
        """What is asked for; open ends are the ledger's first entry, and now or, if that is later, its last entry.

        After a clock ran ahead and was set right, entries are of moments that have not come yet: the report has them.
        """
        if until_us is None:
            until_us = max(utc_us(), _end_us(connection))
        if since_us is None:
            first = _first_us(connection)
            since_us = until_us - HOUR_US if first is None else min(first, until_us)
        since_us = max(min(since_us, until_us), until_us - LONGEST_US)
        least_us = HOUR_US if _pruned(connection, since_us, until_us) else STEPS_US[0]
        fitting = (step for step in STEPS_US if step >= least_us and (until_us - since_us) / step <= MOST_STEPS)
        step_us = next(fitting, STEPS_US[-1])
        return cls(since_us, until_us, step_us)

    @property
    def bounds(self) -> tuple[int, int]:
        """What takes the places of `r.ts_us >= ? AND r.ts_us < ?`."""
        return self.since_us, self.until_us

    def ranges(self, connection: sqlite3.Connection) -> list[Range]:
        """Where it is read from, so that every row lies in one step."""
        if self.step_us < HOUR_US:
            return [(RAW, self.bounds)]
        return list(spans(connection, *self.bounds, days=self.step_us % DAY.us == 0))

    @property
    def steps(self) -> range:
        """The numbers of its steps, counted from 1970; the first and the last may be cut by its ends."""
        return range(self.since_us // self.step_us, max(self.until_us - 1, self.since_us) // self.step_us + 1)

    @property
    def hours(self) -> float:
        """How long it is."""
        return (self.until_us - self.since_us) / (60 * MINUTE_US)


def _pruned(connection: sqlite3.Connection, since_us: int, until_us: int) -> bool:
    """Whether rows of the period are gone, so that only the sums of hours are left."""
    query = "SELECT count(*) FROM hours WHERE pruned AND hour >= ? AND hour < ?"
    (gone,) = connection.execute(query, (since_us // HOUR_US, -(-until_us // HOUR_US))).fetchone()
    return bool(gone)


def _first_us(connection: sqlite3.Connection) -> int | None:
    """When the ledger begins; None when it is empty. Of an hour whose rows are gone nothing but the hour is known."""
    query = "SELECT (SELECT min(ts_us) FROM requests), (SELECT min(hour) FROM hours WHERE pruned > 0)"
    row, hour = connection.execute(query).fetchone()
    known = [moment for moment in (row, None if hour is None else hour * HOUR_US) if moment is not None]
    return min(known, default=None)


def _end_us(connection: sqlite3.Connection) -> int:
    """Just after the ledger's last entry; 0 when it is empty. An hour whose rows are gone is one to its end."""
    query = "SELECT (SELECT max(ts_us) FROM requests), (SELECT max(hour) FROM hours WHERE pruned > 0)"
    row, hour = connection.execute(query).fetchone()
    return max(0 if row is None else row + 1, 0 if hour is None else (hour + 1) * HOUR_US)
