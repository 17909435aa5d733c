"""The ledger's SQLite file, used by one thread at a time: open, write a batch durably, open again after a fault."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Final

from router import store
from router.meter import schema, upkeep
from router.meter.batch import Batch
from router.meter.errors import EntryRefused, MeterUnavailable, NoLedger
from router.meter.forgetting import empty_log, forget
from router.meter.migrate import STEPS
from router.meter.record import Feedback
from router.meter.rejected import below, scored_again
from router.meter.rollup import enter, reopen
from router.meter.rows import (
    Row,
    arm_row,
    attempt_rows,
    feedback_row,
    finished_row,
    pair_row,
    remark_row,
    shadow_rows,
    started_row,
    text_row,
    vector_row,
)
from router.meter.schema import Statements
from router.meter.seal import Seals, begin, begun_row, sealed
from router.meter.ulid import ulid_bytes
from router.store import Format, SameFile, Transaction, is_storage_fault

LEDGER = Format("ledger", schema.APPLICATION_ID, schema.VERSION, schema.TABLES, MeterUnavailable, STEPS, begin)

LONGEST_NAME = 200
"""Characters kept of an interned string; some come from clients and upstreams."""

MOST_NAMES = 4096
"""Interned strings remembered here; those forgotten are looked up again."""

_ARM: Final = schema.STARTED_COLUMNS.index("arm")


class Names(dict[str | None, int | None]):
    """String -> its number in the `names` table, written there at first sight. None and "" are NULL."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__({None: None, "": None})
        self._connection = connection

    def __missing__(self, name: str | None) -> int | None:
        if len(self) > MOST_NAMES:
            self.clear()
            self.update({None: None, "": None})
        # Lone surrogates, which JSON can carry, have no UTF-8.
        text = str(name).encode("utf-8", "replace").decode()[:LONGEST_NAME]
        with nullcontext() if self._connection.in_transaction else Transaction(self._connection):
            number = self._number(text)
        self[name] = number
        return number

    def _number(self, text: str) -> int:
        # Another process may have written the same name a moment ago.
        new = self._connection.execute("INSERT INTO names (name) VALUES (?) ON CONFLICT DO NOTHING", (text,)).rowcount
        number: int = self._connection.execute("SELECT id FROM names WHERE name = ?", (text,)).fetchone()[0]
        if new:
            seals = Seals()
            seals.word("names", (number, text))
            seals.write(self._connection)
        return number


class Store:
    """One ledger file. Every method raises sqlite3's errors, OSError or MeterUnavailable when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.boot = 0
        """This run, once it is registered."""
        self._file = SameFile(path, LEDGER)
        self._opened: tuple[sqlite3.Connection, Names] | None = None
        self._tariffs: set[str] = set()
        """Versions that are in the file for sure."""
        self._begun: dict[bytes, Row] = {}
        """Rows of requests under way, as they were entered."""
        self._unsure: set[str] = set()
        """Requests whose end was in a commit that failed: it may be on the disk all the same, and is written again."""

    def open(self) -> sqlite3.Connection:
        """The connection, opened when there is none; the tables are made in a new file."""
        return self._open()[0]

    def close(self) -> None:
        """Close the file; what is called next opens it again."""
        if self._opened is not None:
            connection, _ = self._opened
            self._opened = None
            connection.close()

    def write(self, batch: Batch) -> None:
        """Write all of it or, when this raises, nothing of it; what is written survives a power cut.

        An error that is no storage fault (EntryRefused, ValueError, sqlite3.IntegrityError, ...) is about an entry.
        """
        ended = {outcome.request_id for outcome in batch.outcomes}
        try:
            self._commit(batch, ended & self._unsure if self._unsure else ())
        except Exception as error:
            if is_storage_fault(error):
                self._unsure |= ended
            raise
        self._unsure -= ended
        if batch.purges and not any(purge.removed for purge in batch.purges):
            empty_log(self.open())

    def _commit(self, batch: Batch, again: Iterable[str]) -> None:
        """`again` are requests of which nobody knows whether their end is on the disk."""
        connection, names = self._open()
        traces = [(intent.request_id, intent.trace) for intent in batch.intents if intent.trace is not None]
        started = [started_row(intent, self.boot, names) for intent in batch.intents]
        vectors = [vector_row(request_id, trace, names) for request_id, trace in traces]
        texts = [text_row(request_id, trace.text) for request_id, trace in traces if trace.text is not None]
        finished = [finished_row(outcome, names) for outcome in batch.outcomes]
        arms: dict[bytes, int] = dict(filter(None, map(arm_row, batch.outcomes)))
        attempts = [list(attempt_rows(outcome, names)) for outcome in batch.outcomes]
        beside = [list(shadow_rows(shadow, names)) for shadow in batch.shadows]
        pairs = [pair_row(shadow) for shadow in batch.shadows]
        counted: list[Row] = [(ulid_bytes(request_id), tokens) for request_id, tokens in batch.checkpoints.items()]
        new = {i.terms.version: i.terms.body for i in batch.intents if i.terms.version not in self._tariffs}
        with sealed(connection) as seals:
            for version, body in new.items():
                _keep(connection, seals, (names[version], body))
            for request_id in again:
                seals.kept_end(connection, ulid_bytes(request_id), sign=-1)
            started = enter(connection, started)
            begun = {row[0]: row for row in started}
            _write(connection, schema.INSERT_STARTED, started)
            _write(connection, schema.INSERT_VECTORS, vectors)
            _write(connection, schema.INSERT_TEXTS, texts)
            for row, own in zip(finished, attempts, strict=True):
                seals.ended(_with_arm(self._begun_row(connection, begun, row[0]), arms.get(row[0])), row, own)
            updated = _write(connection, schema.UPDATE_CHECKPOINT, counted)
            updated += _write(connection, schema.UPDATE_FINISHED, finished)
            if updated != len(counted) + len(finished):
                raise EntryRefused("the ledger cannot finish or count a request that was never begun")
            _write(connection, schema.UPDATE_ARM, list(arms.items()))
            _write(connection, schema.INSERT_ATTEMPTS, list(chain.from_iterable(chain(attempts, beside))))
            for shadow in batch.shadows:
                reopen(connection, ulid_bytes(shadow.request_id))
            _write(connection, schema.INSERT_PAIRS, list(filter(None, pairs)))
            for own, pair in zip(beside, pairs, strict=True):
                seals.beside(own, pair)
            for feedback in batch.feedback:
                _hear(connection, seals, feedback)
            for purge in batch.purges:
                forget(connection, seals, purge)
            for work in batch.upkeep:
                upkeep.write(connection, seals, names, self.boot, work)
        self._tariffs.update(new)
        self._begun |= begun
        for row in finished:
            self._begun.pop(row[0], None)

    def _begun_row(self, connection: sqlite3.Connection, new: Mapping[bytes, Row], request_id: bytes) -> Row:
        """How a request was entered. Raises EntryRefused when it never was."""
        found = new.get(request_id) or self._begun.get(request_id) or begun_row(connection, request_id)
        if found is None:
            raise EntryRefused("the ledger cannot finish a request that was never begun")
        return found

    def is_begun(self, request_id: str) -> bool:
        """Whether this run has written that a request began, and not yet that it ended."""
        return ulid_bytes(request_id) in self._begun

    def probe(self) -> None:
        """Write something that changes nothing, to see whether the disk takes it."""
        connection, _ = self._open()
        with Transaction(connection):
            connection.execute("UPDATE boots SET pid = pid WHERE id = ?", (self.boot,))

    def _open(self) -> tuple[sqlite3.Connection, Names]:
        self._file.require()
        if self._opened is None:
            connection = store.connect(self.path, LEDGER)
            self._opened = connection, Names(connection)
            self._file.opened()
        return self._opened


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a ledger for reports; nothing can be written through it. Raises NoLedger when there is none.

    An older one is brought to today's tables first.
    """
    if not path.exists():
        remedy = "serve first, or set SHOAL_DATA_DIR to the folder that holds one"
        raise NoLedger(f"there is no ledger at {path}: it is made when Shoal first serves. Remedy: {remedy}")
    if path.is_dir():
        remedy = "move it away, or set SHOAL_DATA_DIR to the folder that holds a ledger"
        raise NoLedger(f"{path} is a folder, where the ledger should be. Remedy: {remedy}")
    return store.connect_read_only(path, LEDGER)


def _keep(connection: sqlite3.Connection, seals: Seals, tariffs: Row) -> None:
    """What a version of the tariffs says, once; nothing, where it says nothing."""
    body = tariffs[1]
    if body and connection.execute(schema.KEEP_TARIFFS, tariffs).rowcount:
        seals.word("tariffs", tariffs)


def _with_arm(begun: Row, arm: int | None) -> Row:
    """`STARTED_COLUMNS` as they are kept in the end."""
    return begun if arm is None else (*begun[:_ARM], arm, *begun[_ARM + 1 :])


def _hear(connection: sqlite3.Connection, seals: Seals, feedback: Feedback) -> None:
    """In the place of what was said before."""
    row = feedback_row(feedback)
    was = scored_again(connection, seals, row[0])
    for earlier in connection.execute(schema.FEEDBACK, row[:1]).fetchall():
        seals.said(earlier, sign=-1)
        was = below(earlier)
    connection.execute(schema.REPLACE_FEEDBACK, row)
    seals.said(row)
    if was != below(row):
        reopen(connection, row[0])
    if (remark := remark_row(feedback)) is not None:
        connection.execute(schema.REMARK, remark)


def _write(connection: sqlite3.Connection, statements: Statements, rows: list[Row]) -> int:
    """Write rows with few executions; returns how many rows were changed."""
    changed = done = 0
    while left := len(rows) - done:
        size = schema.largest_size(left)
        values = tuple(chain.from_iterable(rows[done : done + size]))
        changed += connection.execute(statements[size], values).rowcount
        done += size
    return changed
