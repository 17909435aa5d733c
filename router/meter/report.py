"""What the ledger says of a period, and what the fallback alone would have taken, as an estimate.

The total is the sum of its parts: every attempt of every expert, also the discarded ones, and the router's own work.
Whole days and hours are read from their sums, the rest from raw rows; all say the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from router.meter.alike import Alike, AttemptsAlike, RequestsAlike, alike
from router.meter.by_group import estimate
from router.meter.carbon import Grids
from router.meter.changes import changes, used
from router.meter.compared import Compared, Sum, charge, compare, left_out, own_work
from router.meter.counterfactual import HEARD
from router.meter.idle import idle
from router.meter.kept import KeptTariffs, electricity, kept_tariffs
from router.meter.priced import NO_GAPS, Gaps, gaps_of
from router.meter.record import BESIDE, Arm, EnergyMethod, Status
from router.meter.regrid import regrid
from router.meter.rejected import rejected
from router.meter.rollup import progress
from router.meter.spans import FOREVER_US, covered, only_in_sums, spans
from router.meter.steady import utc_us
from router.meter.totals import NOBODY, Group, GroupBy, Kind, Report, called

if TYPE_CHECKING:
    from rich.console import RenderableType

USUAL_LAG: Final = 2
"""Hours that are over and not added up yet, at any time: the last one, and one in which somebody is still answered."""

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
    ranges = _ranges(connection, since_us, until_us, group_by, own)
    sums, gaps = _Sums(connection, Report(since_us, until_us, group_by, own)), NO_GAPS
    found = sums.read(ranges)
    found.asked = asked if asked != (since_us, until_us) else None
    if found.total.compared.saved.unpriced:
        gaps = gaps_of(connection, since_us, until_us)
        sums.read_priced(ranges, gaps)
    estimate(connection, found, ranges, gaps)
    found.adding_up = adding_up(connection, since_us, until_us)
    found.only_in_sums = only_in_sums(connection, since_us, until_us, own)
    if grids is not None:
        hours = spans(connection, since_us, until_us, days=False)
        found.regrid = regrid(connection, hours, grids, own, found.routed)
    return found


def adding_up(connection: sqlite3.Connection, since_us: int | None, until_us: int | None) -> tuple[int, int] | None:
    """Hours of a period that are added up, and those that could be; None where no more are missing than usual."""
    done, whole = progress(connection, since_us, until_us, utc_us())
    return (done, whole) if whole - done > USUAL_LAG else None


def totals(connection: sqlite3.Connection, since_us: int | None, until_us: int | None) -> Report:
    """A report without what is estimated, inside the caller's transaction."""
    return _Sums(connection, Report(since_us, until_us, None)).read(_ranges(connection, since_us, until_us))


def _ranges(
    connection: sqlite3.Connection, since_us: int | None, until_us: int | None, group_by: GroupBy | None = None,
    own: str | None = None,
) -> list[Alike]:  # fmt: skip
    """All that is told of a period is made of these."""
    return [alike(connection, each, group_by, own) for each in spans(connection, since_us, until_us)]


def render(found: Report, accounts: Mapping[str, str] | None = None) -> RenderableType:
    """The report as tables for a terminal. `accounts`: what keys are called, by their ids."""
    from router.meter.table import tables  # a server that never prints one needs no rich

    return tables(found, accounts or {})


class _Names(dict[int | None, str]):
    def __missing__(self, number: int | None) -> str:
        return NOBODY


class _Sums:
    """A report under way."""

    def __init__(self, connection: sqlite3.Connection, found: Report) -> None:
        self._connection = connection
        self._found = found
        self._names: Mapping[int | None, str] = _Names(connection.execute("SELECT id, name FROM names"))
        self._tariffs = kept_tariffs(connection)
        self._parts: dict[int | None, Sequence[Group]] = {}

    def read(self, ranges: Sequence[Alike]) -> Report:
        """Add up every range."""
        found = self._found
        period = spans(self._connection, found.since_us, found.until_us)
        versions = used(self._connection, period, found.own)
        found.grids = {self._names[number] for _, number in versions.grids}
        for each in ranges:
            for row in each.requests:
                self._add_requests(row)
            for taken in each.attempts:
                self._add_attempts(taken)
        found.changed = changes(versions, self._tariffs, self._names, found.by_expert)
        last = self._connection.execute(_LAST_TARIFFS).fetchone()
        if last is not None and (tariffs := self._tariffs.get(last[0])) is not None:
            found.priced_now = frozenset(name for name, one in tariffs.experts.items() if one.price.version)
        found.accepted += found.by_status[Status.OK] - rejected(self._connection, period, found.own)
        if found.own is None:
            found.idle = idle(
                self._connection, found.since_us or 0, FOREVER_US if found.until_us is None else found.until_us
            )
        return found

    def read_priced(self, ranges: Sequence[Alike], gaps: Gaps) -> None:
        """What is compared of which all money is known, beside what is compared in all."""
        for group in (self._found.total, *self._found.groups.values()):
            group.compared.part = Compared()
        for each in ranges:
            for row in each.requests:
                tariffs = self._tariffs.get(row.version or 0)
                router = own_work(tariffs, row.router_energy_uj, row.router_co2_ug)
                for part in self._priced_of(row, gaps):
                    compare(part, row.many, router, row.alone, tariffs)
            for taken in each.attempts:
                tariffs, spent = self._tariffs.get(taken.version or 0), _spent(taken)
                for part in self._priced_of(taken, gaps):
                    charge(part, self._names[taken.expert], spent, tariffs)

    def _priced_of(self, row: RequestsAlike | AttemptsAlike, gaps: Gaps) -> list[Compared]:
        """What a row counts towards; nothing, where it is not compared, or some of its money may be unknown."""
        if left_out(bool(row.routed), row.arm, row.status) is not None or gaps.hold(row.version, row.label):
            return []
        return [part for each in self._parts_of(row.group) if (part := each.compared.part) is not None]

    def _add_requests(self, row: RequestsAlike) -> None:
        found, count, energy_uj = self._found, row.many, row.router_energy_uj
        tariffs, method = self._tariffs.get(row.version or 0), EnergyMethod(row.router_method)
        router = own_work(tariffs, energy_uj, row.router_co2_ug)
        why = left_out(bool(row.routed), row.arm, row.status)
        found.router += router
        found.router_unpriced += count if not electricity(tariffs).version else 0
        found.router_cpu_us += row.router_cpu_us
        found.by_status[Status(row.status)] += count
        found.by_method[method] += energy_uj
        found.router_by_method[method] += energy_uj
        found.escalated["no" if row.escalated is None else self._names[row.escalated]] += count
        if row.answered_by is None:
            found.unanswered += count
        else:
            found.by_expert[self._names[row.answered_by]].requests += count
        for part in self._parts_of(row.group):
            part.requests += count
            part.unmetered += count if row.status == Status.INTERRUPTED else 0
            part.sums += router
            part.by_method[method] += energy_uj
            if why is None:
                compare(part.compared, count, router, row.alone, tariffs)
            else:
                part.compared.left_out[why] += count
        if tariffs is not None:
            if tariffs.fallback.assumed_b is not None:
                found.assumed_b[tariffs.fallback.expert] = tariffs.fallback.assumed_b
            vectors = self._vectors(row, tariffs)
            self._embody(row.router_cpu_us, tariffs.embodied_ng_per_core_s, vectors)
            if vectors:
                found.vectors_co2_ug += row.router_co2_ug
                found.accepted -= count if row.answered_by is not None else 0

    def _add_attempts(self, row: AttemptsAlike) -> None:
        found, name, tariffs = self._found, self._names[row.expert], self._tariffs.get(row.version or 0)
        spent, kind = _spent(row), _kind(row)
        found.by_method[EnergyMethod(row.energy_method)] += spent.energy_uj
        found.by_kind[kind] += spent
        found.unpriced += row.many if row.unpriced else 0
        for part in (found.by_expert[name], *self._parts_of(row.group)):
            part.attempts += row.many
            part.unheard += row.many if row.status == Status.UNHEARD else 0
            part.by_method[EnergyMethod(row.energy_method)] += spent.energy_uj
            part.input_tokens += row.input_tokens
            part.output_tokens += row.output_tokens
            part.answered_tokens += row.output_tokens if kind == "answers" else 0
            part.cached_tokens += row.cached_tokens
            part.cache_write_tokens += row.cache_write_tokens
            part.reasoning_tokens += row.reasoning_tokens
            part.sums += spent
        if left_out(bool(row.routed), row.arm, row.status) is None:
            for group_or_all in self._parts_of(row.group):
                charge(group_or_all.compared, name, spent, tariffs)
                if tariffs is not None and name == tariffs.fallback.expert and kind == "answers":
                    rate, read = tariffs.fallback.energy, row.input_tokens - row.cached_tokens
                    by_rate_pj = read * rate.input_pj + row.output_tokens * rate.output_pj
                    group_or_all.compared.own_uj += spent.energy_uj
                    group_or_all.compared.own_by_rate_pj += by_rate_pj
        if tariffs is not None:
            vectors = self._vectors(row, tariffs)
            found.vectors_co2_ug += spent.co2_ug if vectors else 0
            self._embody(row.cpu_us, tariffs.embodied_ng_per_core_s, vectors)
            own = tariffs.of(name)
            self._embody(row.total_us, own.embodied_ng_per_s, vectors)
            here = tariffs.embodied_ng_per_core_s and (row.cpu_us or own.metered == "router")
            found.embodied_us += row.total_us if own.embodied_ng_per_s or here else 0
        found.worked_us += row.total_us

    def _embody(self, us: int, ng_per_s: int, vectors: bool) -> None:
        self._found.embodied_fg += us * ng_per_s
        self._found.vectors_fg += us * ng_per_s if vectors else 0

    def _vectors(self, row: RequestsAlike | AttemptsAlike, tariffs: KeptTariffs) -> bool:
        """Whether requests were for vectors: the encoder is no expert, and few fallbacks can make any."""
        if row.routed:
            return False
        by = row.answered_by
        return row.arm == Arm.UNABLE or (by is not None and self._names[by] not in tariffs.experts)

    def _parts_of(self, group: int | None) -> Sequence[Group]:
        """What a row counts towards: the total and, when asked for, its group."""
        if group not in self._parts:
            found = self._found
            own = () if found.group_by is None else (found.groups[called(found.group_by, group, self._names)],)
            self._parts[group] = (found.total, *own)
        return self._parts[group]


def _spent(row: AttemptsAlike) -> Sum:
    return Sum(*row.amounts, unpriced=bool(row.unpriced))


def _kind(row: AttemptsAlike) -> Kind:
    if row.role in BESIDE:
        return "shadow"
    heard = row.answered_by in (None, row.expert)
    return "answers" if Status(row.status) in HEARD and heard else "discarded"


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """All queries see the same ledger while requests come in."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")
