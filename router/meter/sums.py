"""The audit's part that adds up again: seals and hours from rows, days from hours, totals, savings, devices."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from router.meter.devices import AMOUNTS
from router.meter.findings import Audit
from router.meter.hours_schema import DAY, HOUR, SEAL_PARTS
from router.meter.kept import electricity, kept_tariffs
from router.meter.period import bounds
from router.meter.record import EnergyMethod
from router.meter.report import totals
from router.meter.rollup import Rollup, add_up, add_up_day
from router.meter.seal import EVERYTHING, MASK, NO_HOUR, seals_of, written
from router.meter.spans import COMPARED, FOREVER_US, only_in_sums, rows_first
from router.meter.verified import savings

_COUNTED: Final = {
    grain: f"SELECT {grain.name}, g.requests, coalesce(sum(r.n), 0) FROM {grain.done} g "  # noqa: S608 (constants)
    f"LEFT JOIN {grain.requests} r USING ({grain.name}) GROUP BY 1, 2"
    for grain in (HOUR, DAY)
}
_UNCOUNTED: Final = {
    grain: " UNION ".join(
        f"SELECT {grain.name} FROM {table} WHERE {grain.name} NOT IN (SELECT {grain.name} FROM {grain.done})"  # noqa: S608
        for table in (grain.requests, grain.attempts, grain.rejected)
    )
    for grain in (HOUR, DAY)
}
"""Sums of an hour or day that is not among those added up: opening one again takes its sums out too."""
_LEFT: Final = """
SELECT h.hour, (SELECT count(*) FROM requests r WHERE r.arm <> 1 AND r.ts_us >= h.hour * 3600000000
    AND r.ts_us < (h.hour + 1) * 3600000000) FROM hours h WHERE pruned = 2
"""

_TOTALS: Final = f"""
WITH own AS (SELECT * FROM requests r WHERE NOT EXISTS (
    SELECT 1 FROM hours h WHERE h.hour = r.ts_us / 3600000000 AND h.pruned > 0)),
gone AS (SELECT hour FROM hours WHERE pruned > 0)
SELECT (SELECT count(*) FROM own) + (SELECT coalesce(sum(n), 0) FROM hour_requests WHERE hour IN gone),
    (SELECT coalesce(sum(a.cost_nusd), 0) FROM own JOIN attempts a USING (request_id))
    + (SELECT coalesce(sum(cost_nusd), 0) FROM hour_attempts WHERE hour IN gone),
    (SELECT coalesce(sum(a.energy_uj), 0) FROM own JOIN attempts a USING (request_id))
    + (SELECT coalesce(sum(energy_uj), 0) FROM hour_attempts WHERE hour IN gone)
    + (SELECT coalesce(sum(router_energy_uj), 0) FROM own)
    + (SELECT coalesce(sum(router_energy_uj), 0) FROM hour_requests WHERE hour IN gone),
    (SELECT coalesce(sum(counterfactual_cost_nusd), 0) FROM own r WHERE {COMPARED})
    + (SELECT coalesce(sum(counterfactual_cost_nusd), 0) FROM hour_requests r WHERE hour IN gone AND {COMPARED}),
    (SELECT coalesce(sum(counterfactual_energy_uj), 0) FROM own r WHERE {COMPARED})
    + (SELECT coalesce(sum(counterfactual_energy_uj), 0) FROM hour_requests r WHERE hour IN gone AND {COMPARED})
"""  # noqa: S608 (made of constants)
"""Of everything, straight from the rows; of hours whose rows are gone from their sums."""


_ROUTER: Final = """
SELECT r.coefficient_version, sum(r.router_energy_uj) FROM requests r WHERE NOT EXISTS (
    SELECT 1 FROM hours h WHERE h.hour = r.ts_us / 3600000000 AND h.pruned > 0) GROUP BY 1
UNION ALL
SELECT coefficient_version, sum(router_energy_uj) FROM hour_requests
WHERE hour IN (SELECT hour FROM hours WHERE pruned > 0) GROUP BY 1
"""
"""The router's own work by the version of the tariffs that gives the price of its electricity, from the same rows."""

_SEALED: Final = {
    "requests": "requests that have ended",
    "rows": "seal of requests and attempts",
    "beside": "seal of what ran beside, and of pairs",
    "said": "seal of feedback",
    "devices": "seal of devices",
    "sums": "seal of the sums of rows that are gone",
    "words": "seal of names, tariffs, runs and draws' keys",
}


def check_seals(connection: sqlite3.Connection, found: Audit) -> None:
    """Rows must be those that were written: hashed again they give the seals, and these add up to the one of all."""
    kept, now = written(connection), seals_of(connection)
    every = kept.pop(EVERYTHING, None)
    found.compare("the ledger", "seal of everything", "there" if every else "missing", "there")
    added = [sum(column) & MASK for column in zip(*kept.values(), strict=True)]
    if every is not None:
        for part, then, told in zip(SEAL_PARTS, every, added or every, strict=True):
            found.compare("the seal of everything", part, _hex(then), _hex(told))
    found.sealed_late = sum(sums[SEAL_PARTS.index("late")] for hour, sums in kept.items() if hour != NO_HOUR)
    for hour in sorted(kept.keys() | now.hours.keys()):
        where = HOUR.told(hour) if hour != NO_HOUR else "the ledger"
        told = dict(zip(SEAL_PARTS, kept.get(hour) or [0] * len(SEAL_PARTS), strict=True))
        again = dict(zip(SEAL_PARTS, now.hours[hour], strict=True))
        for part, what in _SEALED.items():
            show = int if part == "requests" else _hex
            found.compare(where, what, show(told[part]), show(again[part] & MASK))


def _hex(sums: int) -> str:
    return f"{sums:016x}"


def check_hours(connection: sqlite3.Connection, found: Audit) -> None:
    """Hours whose rows are still there must be what those rows add up to, and days what their hours do."""
    for (hour,) in connection.execute("SELECT hour FROM hours WHERE pruned = 0 ORDER BY hour").fetchall():
        found.hours += 1
        _compare_sums(connection, found, add_up(connection, hour))
    for grain, query in _COUNTED.items():
        for number, kept, added in connection.execute(query):
            found.compare(grain.told(number), "requests", kept, added)
    for grain, query in _UNCOUNTED.items():
        for (number,) in connection.execute(query):
            found.compare(grain.told(number), f"{grain.name} of its sums", "missing", "there")
    for hour, pruned in connection.execute("SELECT hour, pruned FROM hours WHERE pruned NOT IN (0, 1, 2)"):
        found.compare(HOUR.told(hour), "pruned", pruned, "0, 1 or 2")
    for hour, rows in connection.execute(_LEFT):
        found.compare(HOUR.told(hour), "requests not held back, of which rows should be gone", rows, 0)
    found.only_sums = only_in_sums(connection, None, None)
    for (day,) in connection.execute("SELECT day FROM days ORDER BY day").fetchall():
        found.days += 1
        _compare_sums(connection, found, add_up_day(connection, day))


def _compare_sums(connection: sqlite3.Connection, found: Audit, fresh: Rollup) -> None:
    grain = fresh.grain
    for table, keys, sums, rows in fresh.tables:
        columns = ", ".join((*keys, "n", *sums))
        query = f"SELECT {columns} FROM {table} WHERE {grain.name} = ?"  # noqa: S608 (made of constants)
        kept = sorted(map(repr, connection.execute(query, (fresh.number,))))
        if kept != sorted(map(repr, rows)):
            found.compare(grain.told(fresh.number), table, f"{len(kept)} other sums", f"{len(rows)} sums")
        else:
            found.figures += len(rows) * len(sums)


def check_totals(connection: sqlite3.Connection, found: Audit) -> None:
    """A report of everything, read from sums of days and hours, is what its rows add up to; savings are made of it."""
    try:
        total = totals(connection, None, None).total
    except ValueError as error:  # a number of a status or a method that stands for nothing
        found.compare("the report of everything", "can be made", str(error), None)
        return
    spent, alone = total.sums, total.compared.alone
    told = (total.requests, spent.cost_nusd, spent.energy_uj, alone.cost_nusd, alone.energy_uj)
    names = ("requests", "cost_nusd", "energy_uj", "counterfactual_cost_nusd", "counterfactual_energy_uj")
    for name, kept, computed in zip(names, told, connection.execute(_TOTALS).fetchone(), strict=True):
        found.compare("the report of everything", name, kept, computed)
    tariffs = kept_tariffs(connection)
    own = [electricity(tariffs.get(version)).cost_yusd(uj) for version, uj in connection.execute(_ROUTER)]
    found.compare("the report of everything", "router_yusd", spent.router_yusd, sum(own))


_LAST: Final = f"""
SELECT max(us) FROM (SELECT max(ts_us) AS us FROM requests WHERE ts_us < ?
    UNION ALL SELECT max(hour) * {HOUR.us} FROM hours WHERE hour * {HOUR.us} < ?)
"""  # noqa: S608 (made of constants)
"""When the last request before a moment began, or its hour, where its row is gone."""


def check_savings(connection: sqlite3.Connection, found: Audit) -> None:
    """What reports say was saved, in all and by months, is what the rows estimate again, to the last bit.

    No estimate is kept: a report makes it from sums and from the rows of those held back, and here it is made from rows
    alone, as far as they are kept.
    """
    for period in (None, *_months(connection)):
        where, ends = f"the savings of {period or 'everything'}", bounds(None, None, period)
        try:
            told, again = savings(connection, *ends), savings(connection, *ends, rows_first)
        except (ValueError, LookupError, TypeError) as error:  # a number that stands for nothing
            found.compare(where, "can be estimated", repr(error), None)
            continue
        computed = dict(_figures(again))
        for figure, kept in _figures(told):
            found.compare(where, figure, kept, computed.get(figure))


def _months(connection: sqlite3.Connection) -> Iterator[str]:
    """Those in which requests began, the last first."""
    before_us: int | None = FOREVER_US
    while (last_us := connection.execute(_LAST, (before_us, before_us)).fetchone()[0]) is not None:
        month = datetime.fromtimestamp(last_us / 1e6, UTC).strftime("%Y-%m")
        yield month
        before_us, _ = bounds(None, None, month)


def _figures(told: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Every figure with its place."""
    for name, value in told.items():
        if isinstance(value, Mapping):
            yield from _figures(value, f"{at}{name}.")
        else:
            yield f"{at}{name}", value


_DEVICES: Final = """
SELECT d.hour, n.name, d.counter_uj, d.attempts_uj + d.router_uj + d.idle_uj + d.other_uj
FROM device_hours d JOIN names n ON n.id = d.device
"""
_CHARGED: Final = f"""
SELECT b.id, (SELECT coalesce(sum(d.charged_uj), 0) FROM device_hours d WHERE d.boot = b.id), (
    SELECT coalesce(sum(a.energy_uj), 0) FROM requests r JOIN attempts a USING (request_id)
    WHERE r.boot = b.id AND a.energy_method >= {int(EnergyMethod.MEASURED_SHARE)}
) + (
    SELECT coalesce(sum(r.router_energy_uj), 0) FROM requests r
    WHERE r.boot = b.id AND r.router_method >= {int(EnergyMethod.MEASURED_SHARE)}
)
FROM boots b
WHERE b.started_us >= (SELECT coalesce(max(hour), -1) + 1 FROM hours WHERE pruned > 0) * 3600000000
"""  # noqa: S608 (made of constants)


_SLICED: Final = f"""
SELECT s.since_us / {HOUR.us}, n.name, count(d.hour), max(s.until_us > (s.since_us / {HOUR.us} + 1) * {HOUR.us}),
    {", ".join(f"sum(s.{name}), max(d.{name})" for name in AMOUNTS)}
FROM device_slices s LEFT JOIN names n ON n.id = s.device
LEFT JOIN device_hours d ON d.hour = s.since_us / {HOUR.us} AND (d.boot, d.device, d.method, d.pue_ppm)
    = (s.boot, s.device, s.method, s.pue_ppm)
GROUP BY s.since_us / {HOUR.us}, s.boot, s.device, s.method, s.pue_ppm
"""  # noqa: S608 (made of constants)


def check_devices(connection: sqlite3.Connection, found: Audit) -> None:
    """Each device's parts are its counter, and what was charged is what requests were charged."""
    for hour, device, counter, parts in connection.execute(_DEVICES):
        found.compare(f"{HOUR.told(hour)}, {device}", "parts of the counter, in uJ", parts, counter)
    for hour, device, there, beyond, *amounts in connection.execute(_SLICED):
        found.compare(
            f"{HOUR.told(hour)}, {device}", "hour of its slices", "there" if there and not beyond else None, "there"
        )
        for name, sliced, whole in zip(AMOUNTS, amounts[::2], amounts[1::2], strict=True):
            # Of a run that died the last minute is in no slice.
            found.compare(f"{HOUR.told(hour)}, {device}", f"{name} of its slices", sliced, min(sliced, whole or 0))
    for boot, charged, rows in connection.execute(_CHARGED):
        found.compare(f"run {boot}", "measured energy of requests, in uJ", rows, charged)
