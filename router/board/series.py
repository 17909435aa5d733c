"""What was spent in each step of a period, beside what the fallback alone would have taken."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from router.board.period import Period
from router.meter.compared import Sum
from router.meter.record import EnergyMethod
from router.meter.spans import COMPARED, Range, Source


@dataclass(slots=True)
class Step:
    """The requests that began in one step."""

    requests: int = 0
    escalated: int = 0
    answered: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By expert; requests that nobody answered are in none."""
    own: defaultdict[str, Sum] = field(default_factory=lambda: defaultdict(Sum))
    """By expert that answered: everything that those of its requests took that are compared."""
    own_requests: Counter[str] = field(default_factory=Counter)
    """By expert that answered: how many these are."""
    alone: defaultdict[str, Sum] = field(default_factory=lambda: defaultdict(Sum))
    """By expert that answered: what the fallback alone would have taken."""
    spent: Sum = field(default_factory=Sum)
    compared: Sum = field(default_factory=Sum)
    """Of it, on requests that are compared with the fallback."""
    fallback: Sum = field(default_factory=Sum)
    by_source: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Microjoules, by where the figure comes from."""


def steps_of(
    connection: sqlite3.Connection, period: Period, ranges: Sequence[Range], names: Mapping[int, str], unpriced: bool
) -> list[Step]:
    """Every step of the period in order, empty ones too. `ranges` are its own, none coarser than a step.

    `unpriced` says that the fallback had no price, at some time at least.
    """
    found = {number: Step() for number in period.steps}
    for source, bounds in ranges:
        at = source.cell(period.step_us)
        for row in connection.execute(_requests(source, at), bounds):
            _add_requests(found[row[0]], names, row[1:], unpriced)
        for row in connection.execute(_attempts(source, at), bounds):
            _add_attempts(found[row[0]], names, row[1:])
    return list(found.values())


def series(steps: list[Step], period: Period) -> dict[str, Any]:
    """The steps as columns of equal length, in the units of the outside: seconds, USD, J, g."""
    experts = sorted({expert for step in steps for expert in step.answered})
    sources = sorted({source for step in steps for source, energy_uj in step.by_source.items() if energy_uj})
    return {
        "step_s": period.step_us // 1_000_000,
        "t_s": [number * period.step_us // 1_000_000 for number in period.steps],
        "requests": [step.requests for step in steps],
        "escalated": [step.escalated for step in steps],
        "spent": _columns([step.spent for step in steps]),
        "compared": _columns([step.compared for step in steps]),
        "fallback": _columns([step.fallback for step in steps]),
        "by_expert": {expert: [step.answered[expert] for step in steps] for expert in experts},
        "energy_j_by_source": {source: [step.by_source[source] / 1e6 for step in steps] for source in sources},
    }


def _requests(source: Source, at: str) -> str:
    sums = source.total(
        "router_energy_uj", "router_co2_ug", "counterfactual_cost_nusd", "counterfactual_energy_uj",
        "counterfactual_co2_ug",
    )  # fmt: skip
    return (
        f"SELECT {at}, r.answered_by, r.escalated IS NOT NULL, {COMPARED}, {source.count}, {sums} "  # noqa: S608 (made of constants)
        f"FROM {source.requests} WHERE {source.bounds} GROUP BY 1, 2, 3, 4"
    )


def _attempts(source: Source, at: str) -> str:
    own = source.own
    sums = source.total("cost_nusd", "energy_uj", "co2_ug", of=own)
    return (
        f"SELECT {at}, r.answered_by, {own}.energy_method, {source.unpriced}, {COMPARED}, {sums} "  # noqa: S608 (made of constants)
        f"FROM {source.attempts} WHERE {source.bounds} GROUP BY 1, 2, 3, 4, 5"
    )


def _add_requests(step: Step, names: Mapping[int, str], row: tuple[Any, ...], unpriced: bool) -> None:
    answered_by, escalated, compared, count, energy_uj, co2_ug, *fallback = row
    router, alone = Sum(0, energy_uj, co2_ug), Sum(*fallback, unpriced=unpriced)
    step.requests += count
    step.escalated += count if escalated else 0
    step.spent += router
    if compared:
        step.compared += router
        step.fallback += alone
    step.by_source[EnergyMethod.MODELLED.label] += energy_uj
    if answered_by is not None:
        step.answered[names[answered_by]] += count
    if answered_by is not None and compared:
        step.own_requests[names[answered_by]] += count
        step.own[names[answered_by]] += router
        step.alone[names[answered_by]] += alone


def _add_attempts(step: Step, names: Mapping[int, str], row: tuple[Any, ...]) -> None:
    answered_by, method, unpriced, compared, *sums = row
    spent = Sum(*sums, unpriced=bool(unpriced))
    step.spent += spent
    step.by_source[EnergyMethod(method).label] += spent.energy_uj
    if compared:
        step.compared += spent
    if compared and answered_by is not None:
        step.own[names[answered_by]] += spent


def _columns(sums: list[Sum]) -> dict[str, list[float | None]]:
    rows = [each.to_json() for each in sums]
    return {name: [row[name] for row in rows] for name in Sum().to_json()}
