"""What the ledger says of a period, and what the fallback alone would have taken, as an estimate.

The total is the sum of its parts: every attempt of every expert, also the discarded ones, and the router's own work.
Whole days and hours are read from their sums, the rest from raw rows; all say the same.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from router.meter.by_group import estimate
from router.meter.carbon import Grids
from router.meter.changes import changes, used
from router.meter.compared import Sum, charge, compare, left_out, own_work
from router.meter.counterfactual import HEARD
from router.meter.hours_schema import DAY, REQUEST_SUMS
from router.meter.idle import idle
from router.meter.kept import KeptTariffs, electricity, kept_tariffs
from router.meter.priced import NO_GAPS, Gaps, gaps_of
from router.meter.record import BESIDE, Arm, EnergyMethod, Status
from router.meter.regrid import regrid
from router.meter.rollup import progress
from router.meter.spans import OWN, Source, Spans, covered, narrowed, only_in_sums, spans
from router.meter.totals import NOBODY, Group, GroupBy, Kind, Report, called
from router.meter.ulid import ids_between

if TYPE_CHECKING:
    from rich.console import RenderableType

DAY_US: Final = DAY.us

USUAL_LAG: Final = 2
"""Hours that are over and not added up yet, at any time: the last one, and one in which somebody is still answered."""

_GROUPS = {None: "NULL", "expert": "r.answered_by", "domain": "r.label", "policy": "r.policy", "key": "r.key"}

_COMPARED = "r.policy IS NOT NULL, r.arm"
"""What `left_out` asks."""

_ATTEMPT_SUMS = (
    "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cpu_us", "total_us", "cost_nusd",
    "energy_uj", "co2_ug",
)  # fmt: skip

# A cross join is read in this order: there are few scores and many requests.
_REJECTED = f"""
SELECT count(*) FROM feedback f CROSS JOIN requests r USING (request_id)
WHERE f.score_ppm < 500000 AND f.request_id BETWEEN ? AND ?
  AND r.ts_us >= ? AND r.ts_us < ? AND r.status = {int(Status.OK)}
  AND (r.policy IS NOT NULL OR r.arm <> {int(Arm.UNABLE)})
"""  # noqa: S608 (made of constants)


_LAST_TARIFFS: Final = (
    "SELECT coefficient_version FROM requests WHERE request_id > x'00' ORDER BY request_id DESC LIMIT 1"
)


def report(
    connection: sqlite3.Connection, since_us: int | None, until_us: int | None, group_by: GroupBy | None = None,
    grids: Grids | None = None, *, own: str | None = None,
) -> Report:  # fmt: skip
    """Add up the requests that began in a period (microseconds since 1970, end not included, None for open).

    `by_expert` tells who answered how often and what each took; `groups`, when asked for, divides the requests, each
    with all its attempts and the router's work for it. `grids` gives carbon once more, by another table. `own` is the
    id of a key: its requests alone are told of, without what only all of them together can say.
    """
    with snapshot(connection):
        return report_within(connection, since_us, until_us, group_by, grids, own=own)


def report_within(
    connection: sqlite3.Connection, since_us: int | None, until_us: int | None, group_by: GroupBy | None = None,
    grids: Grids | None = None, *, own: str | None = None,
) -> Report:  # fmt: skip
    """The same inside the caller's transaction."""
    asked = since_us, until_us
    since_us, until_us = covered(connection, *asked)
    found = totals(connection, since_us, until_us, group_by, own)
    found.asked = asked if asked != (since_us, until_us) else None
    if found.total.compared.saved.unpriced:
        gaps = gaps_of(connection, since_us, until_us)
        _add_priced(found, totals(connection, since_us, until_us, group_by, own, gaps))
    estimate(connection, found)
    found.adding_up = adding_up(connection, since_us, until_us)
    found.only_in_sums = only_in_sums(connection, since_us, until_us, own)
    if grids is not None:
        hours = spans(connection, since_us, until_us, days=False)
        found.regrid = regrid(connection, hours, grids, own, found.routed)
    return found


def adding_up(connection: sqlite3.Connection, since_us: int | None, until_us: int | None) -> tuple[int, int] | None:
    """Hours of a period that are added up, and those that could be; None where no more are missing than usual."""
    done, whole = progress(connection, since_us, until_us, time.time_ns() // 1000)
    return (done, whole) if whole - done > USUAL_LAG else None


def totals(
    connection: sqlite3.Connection, since_us: int | None, until_us: int | None, group_by: GroupBy | None = None,
    own: str | None = None, gaps: Gaps = NO_GAPS,
) -> Report:  # fmt: skip
    """A report without what is estimated, inside the caller's transaction; what `gaps` hold is not compared in it."""
    found = Report(since_us, until_us, group_by, own)
    return _Sums(connection, found, gaps).read(spans(connection, since_us, until_us))


def _add_priced(found: Report, part: Report) -> None:
    """What is compared of which all money is known, beside what is compared in all."""
    for name, group in [(None, found.total), *found.groups.items()]:
        group.compared.part = (part.total if name is None else part.groups[name]).compared


def render(found: Report, accounts: Mapping[str, str] | None = None) -> RenderableType:
    """The report as tables for a terminal. `accounts`: what keys are called, by their ids."""
    from router.meter.table import tables  # a server that never prints one needs no rich

    return tables(found, accounts or {})


class _Names(dict[int | None, str]):
    def __missing__(self, number: int | None) -> str:
        return NOBODY


class _Sums:
    """A report under way."""

    def __init__(self, connection: sqlite3.Connection, found: Report, gaps: Gaps) -> None:
        self._connection = connection
        self._found = found
        self._gaps = gaps
        self._names: Mapping[int | None, str] = _Names(connection.execute("SELECT id, name FROM names"))
        self._tariffs = kept_tariffs(connection)

    def read(self, period: Spans) -> Report:
        """Add up every range."""
        found = self._found
        versions = used(self._connection, period, found.own)
        found.grids = {self._names[number] for number in versions.grids}
        for source, bounds in (narrowed(*each, found.own) for each in period):
            keys = self._group(source), "r.label" if self._gaps else "NULL"
            for row in self._connection.execute(_requests(source, *keys), bounds):
                self._add_requests(row[:9], row[9], row[10:])
            for row in self._connection.execute(_attempts(source, *keys), bounds):
                self._add_attempts(row[:11], row[11], row[12:])
        found.changed = changes(versions, self._tariffs, self._names, found.by_expert)
        last = self._connection.execute(_LAST_TARIFFS).fetchone()
        if last is not None and (tariffs := self._tariffs.get(last[0])) is not None:
            found.priced_now = frozenset(name for name, one in tariffs.experts.items() if one.price.version)
        moments = (found.since_us or 0, 1 << 62 if found.until_us is None else found.until_us)
        own = () if found.own is None else (found.own,)
        rejected = self._connection.execute(
            _REJECTED + OWN * len(own), (*ids_between(*moments), *moments, *own)
        ).fetchone()[0]
        found.accepted += found.by_status[Status.OK] - rejected
        if found.own is None:
            found.idle = idle(self._connection, *moments)
        return found

    def _group(self, source: Source) -> str:
        return source.cell(DAY_US) if self._found.group_by == "day" else _GROUPS[self._found.group_by]

    def _add_requests(self, keys: tuple[Any, ...], count: int, sums: tuple[int, ...]) -> None:
        label, group, status, escalated, answered_by, version, routed, arm, by = keys
        found, tariffs, method = self._found, self._tariffs.get(version or 0), EnergyMethod(by)
        cpu_us, energy_uj, co2_ug, *alone = sums
        router, why = own_work(tariffs, energy_uj, co2_ug), left_out(bool(routed), arm, status)
        found.router += router
        found.router_unpriced += count if not electricity(tariffs).version else 0
        found.router_cpu_us += cpu_us
        found.by_status[Status(status)] += count
        found.by_method[method] += energy_uj
        found.router_by_method[method] += energy_uj
        found.escalated["no" if escalated is None else self._names[escalated]] += count
        if answered_by is None:
            found.unanswered += count
        else:
            found.by_expert[self._names[answered_by]].requests += count
        for part in self._parts(group):
            part.requests += count
            part.unmetered += count if status == Status.INTERRUPTED else 0
            part.sums += router
            part.by_method[method] += energy_uj
            if why is None and self._gaps.hold(version, label):
                continue
            if why is None:
                compare(part.compared, count, router, alone, tariffs)
            else:
                part.compared.left_out[why] += count
        if tariffs is not None:
            if tariffs.fallback.assumed_b is not None:
                found.assumed_b[tariffs.fallback.expert] = tariffs.fallback.assumed_b
            vectors = self._vectors(routed, arm, answered_by, tariffs)
            self._embody(cpu_us, tariffs.embodied_ng_per_core_s, vectors)
            if vectors:
                found.vectors_co2_ug += co2_ug
                found.accepted -= count if answered_by is not None else 0

    def _add_attempts(self, keys: tuple[Any, ...], count: int, sums: tuple[int, ...]) -> None:
        label, group, answered_by, expert, role, status, method, unpriced, version, routed, arm = keys
        input_tokens, output_tokens, cached_tokens, reasoning_tokens, cpu_us, total_us, *charged = sums
        found, name, tariffs = self._found, self._names[expert], self._tariffs.get(version or 0)
        spent = Sum(*charged, unpriced=bool(unpriced))
        found.by_method[EnergyMethod(method)] += spent.energy_uj
        kind = _kind(role, status, answered_by in (None, expert))
        found.by_kind[kind] += spent
        found.unpriced += count if unpriced else 0
        for part in (found.by_expert[name], *self._parts(group)):
            part.attempts += count
            part.unheard += count if status == Status.UNHEARD else 0
            part.by_method[EnergyMethod(method)] += spent.energy_uj
            part.input_tokens += input_tokens
            part.output_tokens += output_tokens
            part.answered_tokens += output_tokens if kind == "answers" else 0
            part.cached_tokens += cached_tokens
            part.reasoning_tokens += reasoning_tokens
            part.sums += spent
        if left_out(bool(routed), arm, status) is None and not self._gaps.hold(version, label):
            for group_or_all in self._parts(group):
                charge(group_or_all.compared, name, spent, tariffs)
        if tariffs is not None:
            vectors = self._vectors(routed, arm, answered_by, tariffs)
            found.vectors_co2_ug += spent.co2_ug if vectors else 0
            self._embody(cpu_us, tariffs.embodied_ng_per_core_s, vectors)
            own = tariffs.of(name)
            self._embody(total_us, own.embodied_ng_per_s, vectors)
            here = tariffs.embodied_ng_per_core_s and (cpu_us or own.metered == "router")
            found.embodied_us += total_us if own.embodied_ng_per_s or here else 0
        found.worked_us += total_us

    def _embody(self, us: int, ng_per_s: int, vectors: bool) -> None:
        self._found.embodied_fg += us * ng_per_s
        self._found.vectors_fg += us * ng_per_s if vectors else 0

    def _vectors(self, routed: int, arm: int, answered_by: int | None, tariffs: KeptTariffs) -> bool:
        """Whether requests were for vectors: the encoder is no expert, and few fallbacks can make any."""
        if routed:
            return False
        return arm == Arm.UNABLE or (answered_by is not None and self._names[answered_by] not in tariffs.experts)

    def _parts(self, group: int | None) -> list[Group]:
        """What a row counts towards: the total and, when asked for, its group."""
        found = self._found
        if found.group_by is None:
            return [found.total]
        return [found.total, found.groups[called(found.group_by, group, self._names)]]


def _kind(role: int, status: int, heard: bool) -> Kind:
    if role in BESIDE:
        return "shadow"
    return "answers" if Status(status) in HEARD and heard else "discarded"


def _requests(source: Source, group: str, label: str) -> str:
    keys = f"{label}, {group}, r.status, r.escalated, r.answered_by, r.coefficient_version, {_COMPARED}"
    sums = source.total(*REQUEST_SUMS)
    return (
        f"SELECT {keys}, r.router_method, {source.count}, {sums} FROM {source.requests} "  # noqa: S608 (constants)
        f"WHERE {source.bounds} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9"
    )


def _attempts(source: Source, group: str, label: str) -> str:
    own = source.own
    keys = f"{label}, {group}, r.answered_by, {own}.expert, {own}.role, {own}.status, {own}.energy_method"
    sums = source.total(*_ATTEMPT_SUMS, of=own)
    return (
        f"SELECT {keys}, {source.unpriced}, r.coefficient_version, {_COMPARED}, {source.count}, {sums} "  # noqa: S608 (constants)
        f"FROM {source.attempts} WHERE {source.bounds} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"
    )


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """All queries see the same ledger while requests come in."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")
