"""Where a period is read from: sums of days and of hours wherever a whole one has them, raw rows for the rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from router.meter.hours_schema import DAY, HOUR, Grain
from router.meter.record import Arm, Status

FOREVER_US: Final = 1 << 62

COMPARED: Final = (
    f"(r.policy IS NOT NULL AND r.arm NOT IN ({int(Arm.UNABLE)}, {int(Arm.FAILED)}) "
    f"AND r.status <> {int(Status.INTERRUPTED)})"
)
"""Of a request: whether the fallback is compared with; see compared.py."""

Bounds = tuple[int, int]
"""Begin and end; the end is not included."""


@dataclass(frozen=True, slots=True)
class Source:
    """One of the three, as parts of a query."""

    requests: str
    attempts: str
    """A join of `r` and `a`; both are the same row where sums are read."""
    count: str
    us: str
    """When the row's time begins, in microseconds."""
    unpriced: str
    bounds: str
    own: str
    """Alias of what belongs to an attempt."""
    rejected: str = ""
    """The table of rejected answers; there is none of rows, see rejected.py."""

    def total(self, *columns: str, of: str = "r") -> str:
        """Sums of columns, of which no rows give 0."""
        return ", ".join(f"coalesce(sum({of}.{column}), 0)" for column in columns)

    def cell(self, length_us: int) -> str:
        """The number of the row's cell, of so many microseconds, since 1970; no shorter than what is added up."""
        return f"{self.us} / {length_us}"


Range = tuple[Source, Bounds]

OWN: Final = " AND r.key = (SELECT id FROM names WHERE name = ?)"
"""Narrows a query to one key's requests."""


RAW: Final = Source(
    requests="requests r",
    attempts="requests r JOIN attempts a USING (request_id)",
    count="count(*)",
    us="r.ts_us",
    unpriced=f"(a.price_version IS NULL AND a.status <> {int(Status.INTERRUPTED)})",
    bounds="r.ts_us >= ? AND r.ts_us < ?",
    own="a",
)


def _summed(grain: Grain) -> Source:
    return Source(
        requests=f"{grain.requests} r",
        attempts=f"{grain.attempts} r",
        count="sum(r.n)",
        us=f"r.{grain.name} * {grain.us}",
        unpriced="r.unpriced",
        bounds=f"r.{grain.name} >= ? AND r.{grain.name} < ?",
        own="r",
        rejected=grain.rejected,
    )


HOURLY: Final = _summed(HOUR)
DAILY: Final = _summed(DAY)


# A cross join is read in this order: few hours are without their rows, and many have sums.
_GONE: Final = f"""
SELECT coalesce(sum(r.n), 0) - (
    SELECT count(*) FROM hours h JOIN requests r ON r.ts_us >= h.hour * {HOUR.us} AND r.ts_us < (h.hour + 1) * {HOUR.us}
    WHERE h.pruned > 0 AND h.hour >= :first AND h.hour < :end {{own}}
) FROM hours h CROSS JOIN hour_requests r USING (hour) WHERE h.pruned > 0 AND h.hour >= :first AND h.hour < :end {{own}}
"""  # noqa: S608 (made of constants)
_OWN: Final = "AND r.key = (SELECT id FROM names WHERE name = :own)"


class Spans(list[Range]):
    """Ranges of a period, in the order of time."""

    def add(self, source: Source, begin: int, end: int) -> None:
        """Put a range at the end; one that goes on where the last ended makes that one longer."""
        if begin >= end:
            return
        if self and self[-1][0] is source and self[-1][1][1] == begin:
            begin = self.pop()[1][0]
        self.append((source, (begin, end)))


Divide = Callable[[sqlite3.Connection, int | None, int | None], Spans]
"""Divides a period as `spans` does."""


def covered(
    connection: sqlite3.Connection, since_us: int | None, until_us: int | None
) -> tuple[int | None, int | None]:
    """A period as it can be told of (microseconds since 1970, end not included, None for open).

    Where an end lies within an hour whose rows are gone, all of that hour is in it: only its sums are left.
    """
    if since_us is not None and _gone(connection, since_us):
        since_us = since_us // HOUR.us * HOUR.us
    if until_us is not None and _gone(connection, until_us):
        until_us = -(-until_us // HOUR.us) * HOUR.us
    return since_us, until_us


def _gone(connection: sqlite3.Connection, moment_us: int) -> bool:
    query = "SELECT 1 FROM hours WHERE hour = ? AND pruned > 0"
    return connection.execute(query, (moment_us // HOUR.us,)).fetchone() is not None


def narrowed(source: Source, bounds: Bounds, own: str | None) -> tuple[Source, tuple[int | str, ...]]:
    """A range and what takes the places in its bounds; of the requests of one key where `own` is its id."""
    return (source, bounds) if own is None else (replace(source, bounds=source.bounds + OWN), (*bounds, own))


def spans(connection: sqlite3.Connection, since_us: int | None, until_us: int | None, days: bool = True) -> Spans:
    """Divide a period, as far as it is `covered`. Without `days` no row is longer than an hour."""
    since, until = _ends(connection, since_us, until_us)
    found, at = Spans(), since
    for day in _whole_days(connection, since, until) if days else ():
        _by_hours(connection, found, at, day * DAY.us)
        found.add(DAILY, day, day + 1)
        at = (day + 1) * DAY.us
    _by_hours(connection, found, at, until)
    return found


def rows_first(connection: sqlite3.Connection, since_us: int | None, until_us: int | None) -> Spans:
    """The same from rows wherever they are kept, so that what is read from sums can be compared with it."""
    found = Spans()
    at, until = _ends(connection, since_us, until_us)
    query = "SELECT hour FROM hours WHERE pruned > 0 AND hour >= ? AND hour < ? ORDER BY hour"
    for (hour,) in connection.execute(query, (at // HOUR.us, until // HOUR.us)).fetchall():
        found.add(RAW, at, hour * HOUR.us)
        found.add(HOURLY, hour, hour + 1)
        at = (hour + 1) * HOUR.us
    found.add(RAW, at, until)
    return found


def only_in_sums(
    connection: sqlite3.Connection, since_us: int | None, until_us: int | None, own: str | None = None
) -> int:
    """Requests of a period that no row tells of any more: of whole hours whose rows are gone, but for those held back.

    The rows that are left of such hours are no fair sample of them. `own` is the id of a key, where only its requests
    are meant.
    """
    until = FOREVER_US if until_us is None else until_us
    asked = {"first": (since_us or 0) // HOUR.us, "end": -(-until // HOUR.us), "own": own}
    found: int = connection.execute(_GONE.format(own="" if own is None else _OWN), asked).fetchone()[0]
    return found


def _ends(connection: sqlite3.Connection, since_us: int | None, until_us: int | None) -> Bounds:
    since_us, until_us = covered(connection, since_us, until_us)
    return since_us or 0, FOREVER_US if until_us is None else until_us


def _whole_days(connection: sqlite3.Connection, since: int, until: int) -> Sequence[int]:
    query = "SELECT day FROM days WHERE day >= ? AND day < ? ORDER BY day"
    return [day for (day,) in connection.execute(query, (-(-since // DAY.us), until // DAY.us))]


def _by_hours(connection: sqlite3.Connection, found: Spans, since: int, until: int) -> None:
    """Divide what no day covers."""
    at = since
    query = "SELECT hour FROM hours WHERE hour >= ? AND hour < ? ORDER BY hour"
    for (hour,) in connection.execute(query, (-(-since // HOUR.us), until // HOUR.us)).fetchall():
        found.add(RAW, at, hour * HOUR.us)
        found.add(HOURLY, hour, hour + 1)
        at = (hour + 1) * HOUR.us
    found.add(RAW, at, until)
