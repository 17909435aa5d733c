"""Which part of the ledger a picture shows, and into how many steps it is cut."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import Final, Self

MINUTE_US: Final = 60_000_000

STEPS_US: Final = tuple(MINUTE_US * minutes for minutes in (1, 5, 15, 60, 180, 720, 1440, 4320, 10080, 43200))
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
        """What is asked for; open ends are the ledger's first entry and now."""
        if until_us is None:
            until_us = time.time_ns() // 1000
        if since_us is None:
            (first,) = connection.execute("SELECT min(ts_us) FROM requests").fetchone()
            since_us = until_us - STEPS_US[3] if first is None else min(first, until_us)
        since_us = max(min(since_us, until_us), until_us - LONGEST_US)
        step_us = next((step for step in STEPS_US if (until_us - since_us) / step <= MOST_STEPS), STEPS_US[-1])
        return cls(since_us, until_us, step_us)

    @property
    def bounds(self) -> tuple[int, int]:
        """What takes the places of `r.ts_us >= ? AND r.ts_us < ?`."""
        return self.since_us, self.until_us

    @property
    def steps(self) -> range:
        """The numbers of its steps, counted from 1970; the first and the last may be cut by its ends."""
        return range(self.since_us // self.step_us, max(self.until_us - 1, self.since_us) // self.step_us + 1)

    @property
    def hours(self) -> float:
        """How long it is."""
        return (self.until_us - self.since_us) / (60 * MINUTE_US)
