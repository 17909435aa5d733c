"""What the ledger says of a period, and what the fallback alone would have taken, as an estimate.

The total is the sum of its parts: every attempt of every expert, also the discarded ones, and the router's own work.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from router.meter.record import EnergyMethod, Status
from router.meter.totals import Group, GroupBy, Report, Sum

if TYPE_CHECKING:
    from rich.console import RenderableType

DAY_US = 86_400_000_000

NOBODY = "(none)"
"""Stands where a request has no such thing: no key, no domain, nobody who answered."""

_GROUPS = {
    None: "NULL",
    "expert": "r.answered_by",
    "domain": "r.label",
    "policy": "r.policy",
    "key": "r.key",
    "day": f"r.ts_us / {DAY_US}",
}

_REQUESTS = """
SELECT {group}, r.status, r.escalated, r.answered_by, count(*),
       sum(r.router_energy_uj), sum(r.router_co2_ug), sum(r.router_cpu_us),
       sum(r.counterfactual_cost_nusd), sum(r.counterfactual_energy_uj), sum(r.counterfactual_co2_ug)
FROM requests r {period} GROUP BY 1, 2, 3, 4
"""

_ATTEMPTS = """
SELECT {group}, a.expert, a.energy_method, a.price_version IS NULL AND a.status <> {interrupted},
       count(*), sum(a.input_tokens), sum(a.output_tokens), sum(a.cost_nusd), sum(a.energy_uj), sum(a.co2_ug)
FROM requests r JOIN attempts a USING (request_id) {period} GROUP BY 1, 2, 3, 4
"""


def report(
    connection: sqlite3.Connection, since_us: int | None, until_us: int | None, group_by: GroupBy | None = None
) -> Report:
    """Add up the requests that began in a period (microseconds since 1970, end not included, None for open).

    `by_expert` tells who answered how often and what each took; `groups`, when asked for, divides the requests, each
    with all its attempts and the router's work for it.
    """
    found = Report(since_us, until_us, group_by)
    bounds = {"r.ts_us >= ?": since_us, "r.ts_us < ?": until_us}
    limits = {condition: moment for condition, moment in bounds.items() if moment is not None}
    parts = {
        "group": _GROUPS[group_by],
        "period": f"WHERE {' AND '.join(limits)}" if limits else "",
        "interrupted": int(Status.INTERRUPTED),
    }
    moments = tuple(limits.values())
    with _snapshot(connection):
        names = _Names(connection.execute("SELECT id, name FROM names"))
        for row in connection.execute(_REQUESTS.format(**parts), moments):
            _add_requests(found, names, row)
        for row in connection.execute(_ATTEMPTS.format(**parts), moments):
            _add_attempts(found, names, row)
    return found


def render(found: Report) -> RenderableType:
    """The report as tables for a terminal."""
    from router.meter.table import tables  # a server that never prints one needs no rich

    return tables(found)


class _Names(dict[int | None, str]):
    def __missing__(self, number: int | None) -> str:
        return NOBODY


def _add_requests(found: Report, names: Mapping[int | None, str], row: tuple[Any, ...]) -> None:
    group, status, escalated, answered_by, count, energy_uj, co2_ug, cpu_us, *counterfactual = row
    router = Sum(0, energy_uj, co2_ug)
    found.router += router
    found.router_cpu_us += cpu_us
    found.by_status[Status(status)] += count
    found.by_method[EnergyMethod.MODELLED] += energy_uj
    found.escalated["no" if escalated is None else names[escalated]] += count
    if answered_by is None:
        found.unanswered += count
    else:
        found.by_expert[names[answered_by]].requests += count
    for part in _parts(found, names, group):
        part.requests += count
        part.sums += router
        part.counterfactual += Sum(*counterfactual)


def _add_attempts(found: Report, names: Mapping[int | None, str], row: tuple[Any, ...]) -> None:
    group, expert, method, unpriced, count, input_tokens, output_tokens, *sums = row
    spent = Sum(*sums)
    found.by_method[EnergyMethod(method)] += spent.energy_uj
    for part in (found.by_expert[names[expert]], *_parts(found, names, group)):
        part.attempts += count
        part.input_tokens += input_tokens
        part.output_tokens += output_tokens
        part.sums += spent
        part.unpriced |= bool(unpriced)


def _parts(found: Report, names: Mapping[int | None, str], group: int | None) -> list[Group]:
    """What a row counts towards: the total and, when asked for, its group."""
    if found.group_by is None:
        return [found.total]
    if found.group_by == "day" and group is not None:
        return [found.total, found.groups[datetime.fromtimestamp(group * DAY_US / 1e6, UTC).date().isoformat()]]
    return [found.total, found.groups[names[group]]]


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Both queries see the same ledger while requests come in."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")
