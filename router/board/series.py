"""What was spent in each step of a period, beside what the fallback alone would have taken."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from router.board.period import Period
from router.meter.record import EnergyMethod
from router.meter.totals import Sum

_REQUESTS = """
SELECT r.ts_us / ?, r.answered_by, count(*), sum(r.escalated IS NOT NULL),
       sum(r.router_energy_uj), sum(r.router_co2_ug),
       sum(r.counterfactual_cost_nusd), sum(r.counterfactual_energy_uj), sum(r.counterfactual_co2_ug)
FROM requests r WHERE r.ts_us >= ? AND r.ts_us < ? GROUP BY 1, 2
"""

_ATTEMPTS = """
SELECT r.ts_us / ?, a.energy_method, sum(a.cost_nusd), sum(a.energy_uj), sum(a.co2_ug)
FROM requests r JOIN attempts a USING (request_id) WHERE r.ts_us >= ? AND r.ts_us < ? GROUP BY 1, 2
"""


@dataclass(slots=True)
class Step:
    """The requests that began in one step."""

    requests: int = 0
    escalated: int = 0
    answered: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By expert; requests that nobody answered are in none."""
    spent: Sum = field(default_factory=Sum)
    fallback: Sum = field(default_factory=Sum)
    by_source: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Microjoules, by where the figure comes from."""


def steps_of(connection: sqlite3.Connection, period: Period, names: dict[int, str]) -> list[Step]:
    """Every step of the period in order, empty ones too."""
    found = {number: Step() for number in period.steps}
    bound = (period.step_us, *period.bounds)
    for number, answered_by, count, escalated, energy_uj, co2_ug, *fallback in connection.execute(_REQUESTS, bound):
        step = found[number]
        step.requests += count
        step.escalated += escalated
        if answered_by is not None:
            step.answered[names[answered_by]] += count
        step.spent += Sum(0, energy_uj, co2_ug)
        step.fallback += Sum(*fallback)
        step.by_source[EnergyMethod.MODELLED.label] += energy_uj
    for number, method, cost_nusd, energy_uj, co2_ug in connection.execute(_ATTEMPTS, bound):
        step = found[number]
        step.spent += Sum(cost_nusd, energy_uj, co2_ug)
        step.by_source[EnergyMethod(method).label] += energy_uj
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
        "fallback": _columns([step.fallback for step in steps]),
        "by_expert": {expert: [step.answered[expert] for step in steps] for expert in experts},
        "energy_j_by_source": {source: [step.by_source[source] / 1e6 for step in steps] for source in sources},
    }


def _columns(sums: list[Sum]) -> dict[str, list[float]]:
    rows = [each.to_json() for each in sums]
    return {name: [row[name] for row in rows] for name in Sum().to_json()}
