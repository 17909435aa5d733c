"""Where a period is read from: hourly sums wherever a whole hour has them, raw rows for the rest."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Final

from router.meter.rollup import HOUR_US

FOREVER_US: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Source:
    """One of the two, as parts of a query."""

    requests: str
    attempts: str
    """A join of `r` and `a`; both are the same row where sums are read."""
    count: str
    day: str
    hour: str
    unpriced: str
    bounds: str
    own: str
    """Alias of what belongs to an attempt."""

    def total(self, *columns: str, of: str = "r") -> str:
        """Sums of columns, of which no rows give 0."""
        return ", ".join(f"coalesce(sum({of}.{column}), 0)" for column in columns)


RAW: Final = Source(
    requests="requests r",
    attempts="requests r JOIN attempts a USING (request_id)",
    count="count(*)",
    day="r.ts_us / 86400000000",
    hour=f"r.ts_us / {HOUR_US}",
    unpriced="(a.price_version IS NULL AND a.status <> 5)",
    bounds="r.ts_us >= ? AND r.ts_us < ?",
    own="a",
)
HOURLY: Final = Source(
    requests="hour_requests r",
    attempts="hour_attempts r",
    count="sum(r.n)",
    day="r.hour / 24",
    hour="r.hour",
    unpriced="r.unpriced",
    bounds="r.hour >= ? AND r.hour < ?",
    own="r",
)


@dataclass(slots=True)
class Spans:
    """Ranges of a period; ends are not included."""

    hours: list[tuple[int, int]] = field(default_factory=list)
    moments_us: list[tuple[int, int]] = field(default_factory=list)
    whole_hours: bool = False
    """A whole hour was taken where only part of it was asked for: its rows are gone."""

    def each(self) -> list[tuple[Source, tuple[int, int]]]:
        """Every range with where it is read from."""
        return [*((HOURLY, bounds) for bounds in self.hours), *((RAW, bounds) for bounds in self.moments_us)]


def spans(connection: sqlite3.Connection, since_us: int | None, until_us: int | None) -> Spans:
    """Divide a period (microseconds since 1970, None for open)."""
    since, until = since_us or 0, FOREVER_US if until_us is None else until_us
    found = Spans()
    at = since
    query = "SELECT hour, pruned FROM hours WHERE hour >= ? AND hour < ? ORDER BY hour"
    for hour, pruned in connection.execute(query, (since // HOUR_US, -(-until // HOUR_US))).fetchall():
        begin, end = hour * HOUR_US, (hour + 1) * HOUR_US
        whole = begin >= since and end <= until
        if not whole and not pruned:
            continue
        found.whole_hours |= not whole
        if begin > at:
            found.moments_us.append((at, begin))
        if found.hours and found.hours[-1][1] == hour:
            found.hours[-1] = (found.hours[-1][0], hour + 1)
        else:
            found.hours.append((hour, hour + 1))
        at = end
    if at < until:
        found.moments_us.append((at, until))
    return found
