"""What is written beside requests: hourly sums, what counters said, the end of old rows, which key draws them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from operator import itemgetter
from typing import Final

from router.meter import rollup, seeds
from router.meter.batch import Upkeep
from router.meter.devices import AMOUNTS, Measured
from router.meter.hours_schema import DEVICE_SUMS, HOUR_US
from router.meter.record import Prune
from router.meter.rejected import rows_gone
from router.meter.rows import Row
from router.meter.seal import ATTEMPT, REQUEST, Seals
from router.meter.ulid import ulid_bytes

AT_ONCE: Final = 250
"""Requests deleted in one commit at most: a few milliseconds' work."""

_OLDEST: Final = """
SELECT hour, pruned FROM hours WHERE hour < ? AND pruned < 2 ORDER BY hour LIMIT 1
"""
_ATTEMPTS: Final = f"DELETE FROM attempts WHERE request_id = ? RETURNING {ATTEMPT}"  # noqa: S608 (made of constants)
_REQUEST: Final = f"DELETE FROM requests WHERE request_id = ? RETURNING {REQUEST}"  # noqa: S608
_DOOMED: Final = "SELECT request_id FROM requests WHERE ts_us >= ? AND ts_us < ? AND arm <> 1 AND status <> 0 LIMIT ?"

_DEVICE: Final = f"""
INSERT INTO device_hours (hour, boot, device, method, pue_ppm, {", ".join(DEVICE_SUMS)})
VALUES ({", ".join("?" * (5 + len(DEVICE_SUMS)))})
ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in DEVICE_SUMS)}
"""  # noqa: S608 (made of constants)

_SLICE: Final = f"""
INSERT INTO device_slices (since_us, boot, device, method, pue_ppm, until_us, {", ".join(AMOUNTS)})
VALUES ({", ".join("?" * (6 + len(AMOUNTS)))})
ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in AMOUNTS)}
"""  # noqa: S608 (made of constants)
"""Two that begin at one moment: the clock was set back to it."""

_OLD_SLICES: Final = """
DELETE FROM device_slices WHERE since_us < min(?, coalesce(
    (SELECT since_us FROM device_slices ORDER BY since_us LIMIT 1 OFFSET ?), ?)) RETURNING *
"""
_HOUR_KEY: Final = "hour, boot, device, method, pue_ppm"
_SLICE_KEY: Final = "since_us, boot, device, method, pue_ppm"

_CORRECT: Final = "UPDATE attempts SET energy_uj = ?, co2_ug = ?, energy_method = ? WHERE request_id = ? AND n = ?"
_CORRECT_OWN: Final = (
    "UPDATE requests SET router_energy_uj = ?, router_co2_ug = ?, router_method = ? WHERE request_id = ?"
)
_CORRECT_ALONE: Final = (
    "UPDATE requests SET counterfactual_energy_uj = ?, counterfactual_co2_ug = ? WHERE request_id = ?"
)


def write(
    connection: sqlite3.Connection, seals: Seals, names: Mapping[str | None, int | None], boot: int, work: Upkeep
) -> None:
    """Do it, inside the caller's transaction."""
    if isinstance(work, rollup.Rollup):
        rollup.write(connection, work)
    elif isinstance(work, Prune):
        prune(connection, seals, work)
    elif isinstance(work, seeds.Seed):
        seeds.enter(connection, seals, work)
    else:
        _measured(connection, seals, names, boot, work)


def prune(connection: sqlite3.Connection, seals: Seals, step: Prune) -> None:
    """Delete rows of the oldest hour that still has some; says in `step` how many requests that were.

    An hour is marked first, so its sums are never made again from what is left. 1: begun, 2: done.
    """
    before_us = step.before_us // HOUR_US * HOUR_US
    for row in connection.execute(_OLD_SLICES, (before_us, AT_ONCE, before_us)).fetchall():
        seals.device("device_slices", row, sign=-1)
    while (oldest := connection.execute(_OLDEST, (step.before_us // HOUR_US,)).fetchone()) is not None:
        hour, begun = oldest
        if not begun:
            connection.execute("UPDATE hours SET pruned = 1 WHERE hour = ?", (hour,))
            seals.sums(connection, hour)
            rows_gone(connection, seals, hour)
        doomed = connection.execute(_DOOMED, (hour * HOUR_US, (hour + 1) * HOUR_US, AT_ONCE)).fetchall()
        if doomed:
            for own in doomed:
                attempts = sorted(connection.execute(_ATTEMPTS, own), key=itemgetter(1))
                (row,) = connection.execute(_REQUEST, own).fetchall()
                seals.request(row, attempts, None, sign=-1)
            step.removed = len(doomed)
            return
        connection.execute("UPDATE hours SET pruned = 2 WHERE hour = ?", (hour,))


def _measured(
    connection: sqlite3.Connection,
    seals: Seals,
    names: Mapping[str | None, int | None],
    boot: int,
    found: Measured,
) -> None:
    for fix in found.corrections:
        request_id = ulid_bytes(fix.request_id)
        rollup.reopen(connection, request_id)
        seals.kept(connection, request_id, sign=-1)
        known = (fix.energy_uj, fix.co2_ug, int(fix.method), request_id)
        if fix.n is None:
            connection.execute(_CORRECT_OWN, known)
        else:
            connection.execute(_CORRECT, (*known, fix.n))
        if fix.also_counterfactual:
            connection.execute(_CORRECT_ALONE, (fix.energy_uj, fix.co2_ug, request_id))
        seals.kept(connection, request_id)
    for share in found.devices:
        sums = [getattr(share, name) for name in DEVICE_SUMS]
        key = (share.hour, boot, names[share.device], int(share.method), share.pue_ppm)
        _seal_again(connection, seals, "device_hours", _HOUR_KEY, key, _DEVICE, sums)
    for each in found.slices:
        key = (each.since_us, boot, names[each.device], int(each.method), each.pue_ppm)
        _seal_again(connection, seals, "device_slices", _SLICE_KEY, key, _SLICE, [each.until_us, *each.amounts])


def _seal_again(
    connection: sqlite3.Connection, seals: Seals, table: str, keys: str, key: Row, statement: str, values: list[int]
) -> None:
    """Add amounts to a row, made where it is missing, and exchange its hash."""
    query = f"SELECT * FROM {table} WHERE ({keys}) = (?, ?, ?, ?, ?)"  # noqa: S608 (made of constants)
    for row in connection.execute(query, key).fetchall():
        seals.device(table, row, sign=-1)
    connection.execute(statement, (*key, *values))
    seals.device(table, connection.execute(query, key).fetchone())
