"""Sums of the ledger by hour and by day: made in the background from what will not change any more, always the same.

Hours are added up from raw rows, days from their hours. The adding up is done by a reader, so the writer's thread only
exchanges some hundred rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.meter.hours_schema import (
    ATTEMPT_KEYS,
    ATTEMPT_SUMS,
    DAY,
    HOUR,
    HOUR_US,
    REJECTED_KEYS,
    REQUEST_KEYS,
    REQUEST_SUMS,
    Grain,
)
from router.meter.rejected import added_up
from router.meter.schema import STARTED_COLUMNS
from router.meter.spans import HOURLY, RAW, Source

SETTLED_US: Final = 120_000_000
"""How long after its end an hour is left alone: what was measured of its last requests comes in a moment later."""

HOURS_OF_A_DAY: Final = 24

MOST_AT_ONCE: Final = 48

_TS: Final = STARTED_COLUMNS.index("ts_us")
_OPEN: Final = "SELECT 1 FROM requests WHERE ts_us >= ? AND ts_us < ? AND status = 0 LIMIT 1"
_LAST_GONE: Final = """
SELECT hour FROM hours h WHERE hour >= ? AND pruned > 0
AND NOT EXISTS (SELECT 1 FROM hours n WHERE n.hour = h.hour + 1 AND n.pruned > 0) ORDER BY hour LIMIT 1
"""
"""The last hour in a row of hours whose rows are gone."""

_HAS_ROWS: Final = "SELECT ts_us / ? FROM requests WHERE request_id = ?"
_GONE: Final = "SELECT 1 FROM hours WHERE hour = ? AND pruned > 0"


@dataclass(slots=True)
class Rollup:
    """The sums of one hour or day, on their way into the ledger."""

    grain: Grain
    number: int
    requests: list[tuple[Any, ...]]
    attempts: list[tuple[Any, ...]]
    rejected: list[tuple[Any, ...]]
    hours: int = 0
    """Of a day: how many hours it was added up from."""

    @property
    def tables(self) -> Iterator[tuple[str, Sequence[str], Sequence[str], list[tuple[Any, ...]]]]:
        """Every table with its keys, its sums and their values."""
        yield self.grain.requests, REQUEST_KEYS, REQUEST_SUMS, self.requests
        yield self.grain.attempts, ATTEMPT_KEYS, ATTEMPT_SUMS, self.attempts
        yield self.grain.rejected, REJECTED_KEYS, (), self.rejected

    @property
    def count(self) -> int:
        """Requests in it."""
        return sum(row[len(REQUEST_KEYS)] for row in self.requests)


def due(connection: sqlite3.Connection, now_us: int) -> list[int]:
    """Hours that are over, not yet added up, and in which no request is still under way; the oldest first."""
    first = connection.execute("SELECT min(ts_us) FROM requests").fetchone()[0]
    if first is None:
        return []
    found = _missing(connection, first // HOUR_US, (now_us - SETTLED_US) // HOUR_US, MOST_AT_ONCE)
    return [hour for hour in found if not connection.execute(_OPEN, _bounds(hour)).fetchone()]


def due_days(connection: sqlite3.Connection, now_us: int) -> list[int]:
    """Days that are over and not yet added up, of which every hour is that had a request; the oldest first."""
    query = "SELECT DISTINCT hour / ? FROM hours WHERE hour < ? AND hour / ? NOT IN (SELECT day FROM days) ORDER BY 1"
    end = (now_us - SETTLED_US) // DAY.us * HOURS_OF_A_DAY
    found = [day for (day,) in connection.execute(query, (HOURS_OF_A_DAY, end, HOURS_OF_A_DAY)).fetchall()]
    return [day for day in found if not _missing(connection, *_hours(day), 1)][:MOST_AT_ONCE]


def progress(
    connection: sqlite3.Connection, since_us: int | None, until_us: int | None, now_us: int
) -> tuple[int, int]:
    """How many hours of a period are added up, and how many could be: those with requests that lie in it and are over.

    Behind for a while after an upgrade that changed what is added up, and after a long time without a server.
    """
    over = now_us - SETTLED_US if until_us is None else min(until_us, now_us - SETTLED_US)
    first, end = -(-(since_us or 0) // HOUR_US), over // HOUR_US
    (done,) = connection.execute("SELECT count(*) FROM hours WHERE hour >= ? AND hour < ?", (first, end)).fetchone()
    return done, done + len(_missing(connection, first, end, max(end - first, 0)))


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
    return Rollup(HOUR, hour, *_summed(connection, RAW, _bounds(hour)), _rejected(connection, HOUR, hour))


def add_up_day(connection: sqlite3.Connection, day: int) -> Rollup:
    """The sums of a day, from those of its hours."""
    (hours,) = connection.execute("SELECT count(*) FROM hours WHERE hour >= ? AND hour < ?", _hours(day)).fetchone()
    return Rollup(DAY, day, *_summed(connection, HOURLY, _hours(day)), _rejected(connection, DAY, day), hours)


def write(connection: sqlite3.Connection, rollup: Rollup) -> None:
    """Put sums in the place of older ones, inside the caller's transaction.

    Not an hour's whose raw rows are gone already: then the older ones are the only truth. Nor one's that a request came
    into meanwhile, nor a day's of which an hour was opened again. A day that holds a new hour is to be added up anew.
    """
    if _outdated(connection, rollup):
        return
    grain = rollup.grain
    rollup.rejected = _rejected(connection, grain, rollup.number)  # a score may have come since it was added up
    for table, keys, sums, rows in rollup.tables:
        columns = (grain.name, *keys, "n", *sums)
        connection.execute(f"DELETE FROM {table} WHERE {grain.name} = ?", (rollup.number,))  # noqa: S608 (constants)
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
        connection.executemany(statement, [(rollup.number, *row) for row in rows])
    connection.execute(
        f"INSERT INTO {grain.done} ({grain.name}, requests) VALUES (?, ?) "  # noqa: S608 (made of constants)
        "ON CONFLICT DO UPDATE SET requests = excluded.requests",
        (rollup.number, rollup.count),
    )
    if grain is HOUR:
        _forget(connection, DAY, rollup.number // HOURS_OF_A_DAY)


def reopen(connection: sqlite3.Connection, request_id: bytes) -> None:
    """A request changed after it had ended: its time is read from raw rows again until it is added up anew."""
    for (hour,) in connection.execute(_HAS_ROWS, (HOUR_US, request_id)).fetchall():
        if connection.execute(_GONE, (hour,)).fetchone() is None:
            _forget(connection, HOUR, hour)
        _forget(connection, DAY, hour // HOURS_OF_A_DAY)


def enter(connection: sqlite3.Connection, started: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows of requests as they can be entered, inside the caller's transaction; almost always just as they are.

    An hour or a day that was added up already is opened again: the clock was ahead for a while. An hour whose rows are
    gone cannot be; there the clock is wrong by months, and the next hour that still has its rows takes the request.
    """
    moments = {row[_TS] // HOUR_US: None for row in started}
    for hour in moments:
        found = connection.execute("SELECT pruned FROM hours WHERE hour = ?", (hour,)).fetchone()
        if found is not None and found[0]:
            begin = (connection.execute(_LAST_GONE, (hour,)).fetchone()[0] + 1) * HOUR_US
            moved = [(*row[:_TS], begin, *row[_TS + 1 :]) if row[_TS] // HOUR_US == hour else row for row in started]
            return enter(connection, moved)
        if found is not None:
            _forget(connection, HOUR, hour)
        _forget(connection, DAY, hour // HOURS_OF_A_DAY)
    return started


def _forget(connection: sqlite3.Connection, grain: Grain, number: int) -> None:
    """Take an hour or day out with its sums, so that sums without one are nobody's work but a stranger's."""
    if connection.execute(f"DELETE FROM {grain.done} WHERE {grain.name} = ?", (number,)).rowcount:  # noqa: S608
        for table in (grain.requests, grain.attempts, grain.rejected):
            connection.execute(f"DELETE FROM {table} WHERE {grain.name} = ?", (number,))  # noqa: S608 (constants)


def _outdated(connection: sqlite3.Connection, rollup: Rollup) -> bool:
    if rollup.grain is DAY:
        query = "SELECT count(*) FROM hours WHERE hour >= ? AND hour < ?"
        return bool(connection.execute(query, _hours(rollup.number)).fetchone()[0] != rollup.hours)
    pruned = connection.execute("SELECT pruned FROM hours WHERE hour = ?", (rollup.number,)).fetchone()
    if pruned is not None and pruned[0]:
        return True
    query = "SELECT count(*) FROM requests WHERE ts_us >= ? AND ts_us < ?"
    return bool(connection.execute(query, _bounds(rollup.number)).fetchone()[0] != rollup.count)


def _summed(
    connection: sqlite3.Connection, source: Source, bounds: tuple[int, int]
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Sums over requests and over attempts, by all their keys."""
    terms = [f"r.{name}" for name in REQUEST_KEYS]
    requests = _query(source.requests, source, terms, source.total(*REQUEST_SUMS))
    terms = [source.unpriced if name == "unpriced" else f"{_owner(source, name)}.{name}" for name in ATTEMPT_KEYS]
    attempts = _query(source.attempts, source, terms, source.total(*ATTEMPT_SUMS, of=source.own))
    return connection.execute(requests, bounds).fetchall(), connection.execute(attempts, bounds).fetchall()


def _rejected(connection: sqlite3.Connection, grain: Grain, number: int) -> list[tuple[Any, ...]]:
    return added_up(connection, grain, *(_bounds(number) if grain is HOUR else _hours(number)))


def _owner(source: Source, name: str) -> str:
    """Whose column it is: the request's, or the attempt's own."""
    return "r" if name in REQUEST_KEYS and name != "status" else source.own


def _query(table: str, source: Source, terms: list[str], sums: str) -> str:
    places = ", ".join(map(str, range(1, len(terms) + 1)))
    return f"SELECT {', '.join(terms)}, {source.count}, {sums} FROM {table} WHERE {source.bounds} GROUP BY {places}"  # noqa: S608


def _bounds(hour: int) -> tuple[int, int]:
    return hour * HOUR_US, (hour + 1) * HOUR_US


def _hours(day: int) -> tuple[int, int]:
    return day * HOURS_OF_A_DAY, (day + 1) * HOURS_OF_A_DAY
