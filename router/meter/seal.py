"""Seals: for every hour sums of hashes over what was written of its requests, kept in the transaction that writes it.

What is written adds its hash, what is deleted or changed for a good reason takes its old one off, in any order and by
any process. So the seals are at all times what the rows give when they are hashed again, and a row that anybody else
changed, added or took out is found at once. A request is sealed with its attempts when it ends, as it was handed in.
The seals have no key: who changes rows can make them anew, and only a copy kept elsewhere shows that.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import orjson

from router.meter.hours_schema import CACHE_WRITES, HOUR, SEAL_PARTS
from router.meter.record import EnergyMethod, Status
from router.meter.rows import FIRST_BESIDE_N, Row
from router.meter.schema import ATTEMPT_COLUMNS, FEEDBACK_COLUMNS, FINISHED_COLUMNS, PAIR_COLUMNS, STARTED_COLUMNS
from router.stepping import Tell
from router.store import Transaction

EVERYTHING: Final = 1 << 31
"""The number of the seal that is the sum of all others, so that none can be taken out. It stands behind every hour, so
that a commit changes one page."""

NO_HOUR: Final = 0
"""Of names, tariffs, runs and seeds, which belong to no hour."""

MASK: Final = (1 << 62) - 1
"""Sums are of 62 bits: two of them added up still are one of SQLite's integers."""

TOLD_EVERY: Final = 4096
"""Requests after which it is told how many are sealed."""

_LATE, _REQUESTS, _ROWS, _BESIDE, _SAID, _DEVICES, _SUMS, _WORDS = range(len(SEAL_PARTS))

_COLUMNS: Final = ("hour", *SEAL_PARTS)
_ADD: Final = f"""
INSERT INTO seals ({", ".join(_COLUMNS)}) VALUES ({", ".join("?" * len(_COLUMNS))})
ON CONFLICT DO UPDATE SET {", ".join(f"{name} = ({name} + excluded.{name}) & {MASK}" for name in SEAL_PARTS)}
"""  # noqa: S608 (made of constants)

METHOD: Final = "router_method"
_LATER: Final = (METHOD, CACHE_WRITES)
"""Hashed last, and only where the router's work was measured or a cache was written, so that seals from before there
were these columns hold."""

_BEGUN_COLUMNS: Final = ", ".join("0" if name == "status" else name for name in STARTED_COLUMNS)
_BEGUN_ROW: Final = f"SELECT {_BEGUN_COLUMNS} FROM requests WHERE request_id = ?"  # noqa: S608 (made of constants)
_WIDTH: Final = len(STARTED_COLUMNS)
REQUEST: Final = f"{_BEGUN_COLUMNS}, {', '.join(FINISHED_COLUMNS)}, {METHOD}"
ATTEMPT: Final = ", ".join(ATTEMPT_COLUMNS)
_PAIRS: Final = f"SELECT {', '.join(PAIR_COLUMNS)} FROM pairs"  # noqa: S608
_FEEDBACK: Final = f"SELECT {', '.join(FEEDBACK_COLUMNS)} FROM feedback"  # noqa: S608
_MEASURED: Final = ("device_hours", "device_slices")
_WORDED: Final = ("names", "tariffs", "boots", "seeds")


class Seals:
    """What is to be added to the seals; `write` does it."""

    def __init__(self) -> None:
        self.hours: defaultdict[int, list[int]] = defaultdict(_nothing)
        """Hour -> a number for each of `SEAL_PARTS`, not yet cut to `MASK`."""

    def ended(self, begun: Row, row: Row, attempts: list[Row], sign: int = 1) -> None:
        """A request: `STARTED_COLUMNS` with the status 0, its id and `FINISHED_COLUMNS`, `ATTEMPT_COLUMNS` of each.

        After `FINISHED_COLUMNS` the method of the router's energy, where that was measured.

        With the sign -1 it is taken off, as in all that follow.
        """
        sums = self.hours[hour_of(row[0])]
        sums[_REQUESTS] += sign
        sums[_ROWS] += sign * _hashed((begun, row, _without_zeros(attempts)))

    def beside(self, attempts: list[Row], pair: Row | None, sign: int = 1) -> None:
        """What ran beside a request, and its `PAIR_COLUMNS`."""
        if attempts or pair:
            hashed = _hashed((_without_zeros(attempts), pair))
            self.hours[hour_of((pair or attempts[0])[0])][_BESIDE] += sign * hashed

    def said(self, row: Row, sign: int = 1) -> None:
        """`FEEDBACK_COLUMNS`."""
        self.hours[hour_of(row[0])][_SAID] += sign * _hashed(row)

    def rejected(self, request_id: bytes, sign: int = 1) -> None:
        """An answer whose score is forgotten, and was below one half."""
        self.hours[hour_of(request_id)][_SAID] += sign * _hashed(("rejected", request_id))

    def device(self, table: str, row: Row, sign: int = 1) -> None:
        """A row of `device_hours` or `device_slices`, whole; it begins with its hour, or with a moment of it."""
        hour = row[0] if table == "device_hours" else row[0] // HOUR.us
        self.hours[hour][_DEVICES] += sign * _hashed((table, *row))

    def word(self, table: str, row: Row, sign: int = 1) -> None:
        """A row of `names`, `tariffs`, `boots` or `seeds`, whole."""
        self.hours[NO_HOUR][_WORDS] += sign * _hashed((table, *row))

    def sums(self, connection: sqlite3.Connection, hour: int) -> None:
        """The sums of an hour whose rows go away: from now on they are all there is."""
        found = [connection.execute("SELECT requests FROM hours WHERE hour = ?", (hour,)).fetchone()]
        for table in (HOUR.requests, HOUR.attempts):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            names = ", ".join(sorted(columns, key=_LATER.__contains__))  # that last, wherever an upgrade has put it
            rows = connection.execute(f"SELECT {names} FROM {table} WHERE hour = ?", (hour,)).fetchall()  # noqa: S608
            found += sorted(map(_without_method, rows) if METHOD in columns else _without_zeros(rows), key=repr)
        query = f"SELECT hour, key, n FROM {HOUR.rejected} WHERE hour = ? ORDER BY key, n"  # noqa: S608 (made of constants)
        found += connection.execute(query, (hour,)).fetchall()  # none in an hour from before they were added up
        self.hours[hour][_SUMS] += _hashed(tuple(found))

    def request(self, row: Row, attempts: list[Row], pair: Row | None, sign: int = 1) -> None:
        """All of one, read with `REQUEST` and `ATTEMPT`, its attempts in their order; its end only if it has one."""
        heard = [each for each in attempts if each[1] < FIRST_BESIDE_N]
        if row[_WIDTH] != Status.STARTED:
            self.ended(row[:_WIDTH], _without_method((row[0], *row[_WIDTH:])), heard, sign)
        self.beside(attempts[len(heard) :], pair, sign)

    def kept(self, connection: sqlite3.Connection, request_id: bytes, sign: int = 1) -> None:
        """All of one request as the ledger has it: taken off before it is changed, added afterwards."""
        for row, attempts, pair in entries(connection, request_id):
            self.request(row, attempts, pair, sign)

    def kept_end(self, connection: sqlite3.Connection, request_id: bytes, sign: int = 1) -> None:
        """The same without what ran beside it."""
        for row, attempts, _ in entries(connection, request_id):
            self.request(row, [each for each in attempts if each[1] < FIRST_BESIDE_N], None, sign)

    def write(self, connection: sqlite3.Connection) -> None:
        """Add it, inside the caller's transaction."""
        if self.hours:
            every = [sum(column) for column in zip(*self.hours.values(), strict=True)]
            found = (*self.hours.items(), (EVERYTHING, every))
            connection.executemany(_ADD, [(hour, *[each & MASK for each in sums]) for hour, sums in found])


@contextmanager
def sealed(connection: sqlite3.Connection) -> Iterator[Seals]:
    """A transaction that writes its seals before it ends."""
    seals = Seals()
    with Transaction(connection):
        yield seals
        seals.write(connection)


def begin(connection: sqlite3.Connection, tell: Tell) -> None:
    """Seal what is there, inside the caller's transaction: nothing in a new ledger, in an older one its rows.

    `tell` hears how far it is. An older ledger that has seals keeps them.
    """
    if connection.execute("SELECT 1 FROM seals LIMIT 1").fetchone() is not None:
        return
    seals = seals_of(connection, tell)
    for sums in (seals.hours[NO_HOUR], *seals.hours.values()):
        sums[_LATE] = int(sums[_REQUESTS] > 0)
    seals.write(connection)


def seals_of(connection: sqlite3.Connection, tell: Tell = lambda _, __: None) -> Seals:
    """The seals of all rows as they are."""
    seals = Seals()
    (whole,) = connection.execute("SELECT count(*) FROM requests").fetchone()
    for done, (row, attempts, pair) in enumerate(entries(connection), start=1):
        seals.request(row, attempts, pair)
        if done % TOLD_EVERY == 0 or done == whole:
            tell(done, whole)
    for row in connection.execute(_FEEDBACK):
        seals.said(row)
    for (request_id,) in connection.execute("SELECT request_id FROM rejected"):
        seals.rejected(request_id)
    for table in _MEASURED:
        for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 (made of constants)
            seals.device(table, row)
    for (hour,) in connection.execute("SELECT hour FROM hours WHERE pruned > 0").fetchall():
        seals.sums(connection, hour)
    for table in _WORDED:
        for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 (made of constants)
            seals.word(table, row)
    return seals


def written(connection: sqlite3.Connection) -> dict[int, list[int]]:
    """As they were written: hour -> a number for each of `SEAL_PARTS`."""
    query = f"SELECT {', '.join(_COLUMNS)} FROM seals ORDER BY hour"  # noqa: S608 (made of constants)
    return {hour: sums for hour, *sums in connection.execute(query)}


def entries(
    connection: sqlite3.Connection, request_id: bytes | None = None
) -> Iterator[tuple[Row, list[Row], Row | None]]:
    """Every request, or one, with its attempts in their order and its pair.

    Rows that belong to no request are left out: an audit finds them without their hash.
    """
    of, own = ("", ()) if request_id is None else (" WHERE request_id = ?", (request_id,))
    pairs = {row[0]: row for row in connection.execute(_PAIRS + of, own)}
    attempts = connection.execute(f"SELECT {ATTEMPT} FROM attempts{of} ORDER BY request_id, n", own)  # noqa: S608
    groups: Iterator[tuple[Any, Iterator[Row]]] = groupby(attempts, key=itemgetter(0))
    ahead_id, ahead = next(groups, _NONE)
    for row in connection.execute(f"SELECT {REQUEST} FROM requests{of} ORDER BY request_id", own):  # noqa: S608
        while ahead_id is not None and ahead_id < row[0]:
            ahead_id, ahead = next(groups, _NONE)
        yield row, list(ahead) if ahead_id == row[0] else [], pairs.get(row[0])


def begun_row(connection: sqlite3.Connection, request_id: bytes) -> Row | None:
    """`STARTED_COLUMNS` of a request, its status 0; None where it was never begun."""
    found: Row | None = connection.execute(_BEGUN_ROW, (request_id,)).fetchone()
    return found


_NONE: Final[tuple[None, Iterator[Row]]] = (None, iter(()))


def hour_of(request_id: bytes) -> int:
    """The hour in which an id was made: 48 bits of it are milliseconds since 1970."""
    return int.from_bytes(request_id[:6], "big") // 3_600_000


def _without_method(row: Row) -> Row:
    """A row that ends with `METHOD`, as it is hashed."""
    return row[:-1] if row[-1] == EnergyMethod.MODELLED else row


def _without_zeros(rows: list[Row]) -> list[Row]:
    """Rows that end with `CACHE_WRITES`, as they are hashed."""
    return [row if row[-1] else row[:-1] for row in rows]


def _hashed(row: Row) -> int:
    """62 bits of SHA-256 over the values as JSON, bytes in hexadecimal."""
    return int.from_bytes(sha256(orjson.dumps(row, default=bytes.hex)).digest()[:8], "big") >> 2


def _nothing() -> list[int]:
    return [0] * len(SEAL_PARTS)
