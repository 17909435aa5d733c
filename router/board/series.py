"""What was spent in each step of a period, beside what the fallback alone would have taken."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from router.board.period import Period
from router.meter.compared import GUESS, Compared, Sum, charge, compare, own_work
from router.meter.kept import KeptTariffs, kept_tariffs, no_price
from router.meter.record import EnergyMethod, Status
from router.meter.spans import COMPARED, Range, Source


@dataclass(slots=True)
class Step:
    """The requests that began in one step."""

    requests: int = 0
    escalated: int = 0
    unmetered: int = 0
    """Of the requests, those that were under way when the server died: what they took is in no sum."""
    unheard: int = 0
    """Of the attempts, those whose client left before the first word: what was written by then is in no sum."""
    attempts: int = 0
    unpriced: int = 0
    """Of the attempts, those that have no price."""
    answered: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By expert; requests that nobody answered are in none."""
    spent: Sum = field(default_factory=Sum)
    compared: Sum = field(default_factory=Sum)
    """Of it, on requests that are compared with the fallback."""
    fallback: Sum = field(default_factory=Sum)
    by_source: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Microjoules, by where the figure comes from."""


@dataclass(slots=True)
class Steps:
    """Every step of a period in order, empty ones too, and what each expert's answers took in all of it."""

    steps: Mapping[int, Step]
    names: Mapping[int, str]
    tariffs: Mapping[int, KeptTariffs]
    fallback: str
    """Stands where a row does not say which one it was charged beside."""
    own: defaultdict[str, Compared] = field(default_factory=lambda: defaultdict(Compared))
    """By expert that answered: its requests that are compared with a fallback which is another."""
    fallbacks: set[str] = field(default_factory=set)
    """Those that rows were charged beside."""
    asked: set[str] = field(default_factory=set)
    """Experts that were at work, whoever asked them and for what."""

    def add_requests(self, row: tuple[Any, ...]) -> None:
        """Some requests of one step."""
        number, answered_by, escalated, interrupted, compared, version, by, count, energy_uj, co2_ug, *alone = row
        step, tariffs = self.steps[number], self.tariffs.get(version or 0)
        who, beside = self._parties(answered_by, tariffs)
        router = own_work(tariffs, energy_uj, co2_ug)
        step.requests += count
        step.escalated += count if escalated else 0
        step.unmetered += count if interrupted else 0
        step.spent += router
        step.by_source[EnergyMethod(by).label] += energy_uj
        if who is not None:
            step.answered[who] += count
        if compared:
            step.compared += router
            step.fallback += Sum(*alone, unpriced=no_price(tariffs, alone))
        if who is not None and compared and who != beside:
            compare(self.own[who], count, router, alone, tariffs)

    def add_attempts(self, row: tuple[Any, ...]) -> None:
        """Some attempts at them."""
        number, answered_by, method, unpriced, compared, version, unheard, expert, count, *sums = row
        step, tariffs = self.steps[number], self.tariffs.get(version or 0)
        who, beside = self._parties(answered_by, tariffs)
        self.asked.add(self.names[expert])
        spent = Sum(*sums, unpriced=bool(unpriced))
        step.spent += spent
        step.attempts += count
        step.unheard += count if unheard else 0
        step.unpriced += count if unpriced else 0
        step.by_source[EnergyMethod(method).label] += spent.energy_uj
        if compared:
            step.compared += spent
        if who is not None and compared and who != beside:
            charge(self.own[who], self.names[expert], spent, tariffs)

    def _parties(self, answered_by: int | None, tariffs: KeptTariffs | None) -> tuple[str | None, str]:
        """Who answered, and the fallback that this was charged beside."""
        beside = self.fallback if tariffs is None else tariffs.fallback.expert
        self.fallbacks.add(beside)
        return None if answered_by is None else self.names[answered_by], beside


def steps_of(
    connection: sqlite3.Connection, period: Period, ranges: Sequence[Range], names: Mapping[int, str], fallback: str
) -> Steps:
    """What was spent in each step. `ranges` are the period's own, none coarser than a step."""
    found = Steps({number: Step() for number in period.steps}, names, kept_tariffs(connection), fallback)
    for source, bounds in ranges:
        at = source.cell(period.step_us)
        for row in connection.execute(_requests(source, at), bounds):
            found.add_requests(row)
        for row in connection.execute(_attempts(source, at), bounds):
            found.add_attempts(row)
    return found


def series(steps: Sequence[Step], period: Period) -> dict[str, Any]:
    """The steps as columns of equal length, in the units of the outside: seconds, USD, J, g."""
    experts = sorted({expert for step in steps for expert in step.answered})
    sources = sorted({source for step in steps for source, energy_uj in step.by_source.items() if energy_uj})
    return {
        "step_s": period.step_us // 1_000_000,
        "t_s": [number * period.step_us // 1_000_000 for number in period.steps],
        "requests": [step.requests for step in steps],
        "escalated": [step.escalated for step in steps],
        "unmetered": [step.unmetered for step in steps],
        "unheard": [step.unheard for step in steps],
        "attempts": [step.attempts for step in steps],
        "unpriced": [step.unpriced for step in steps],
        "spent": _columns([step.spent for step in steps]),
        "compared": _columns([step.compared for step in steps]),
        "fallback": _columns([step.fallback for step in steps]),
        "fallback_method": GUESS,
        "by_expert": {expert: [step.answered[expert] for step in steps] for expert in experts},
        "energy_j_by_source": {source: [step.by_source[source] / 1e6 for step in steps] for source in sources},
    }


def _requests(source: Source, at: str) -> str:
    sums = source.total(
        "router_energy_uj", "router_co2_ug", "counterfactual_cost_nusd", "counterfactual_energy_uj",
        "counterfactual_co2_ug",
    )  # fmt: skip
    keys = f"{at}, r.answered_by, r.escalated IS NOT NULL, r.status = {int(Status.INTERRUPTED)}, {COMPARED}"
    return (
        f"SELECT {keys}, r.coefficient_version, r.router_method, {source.count}, {sums} FROM {source.requests} "  # noqa: S608 (constants)
        f"WHERE {source.bounds} GROUP BY 1, 2, 3, 4, 5, 6, 7"
    )


def _attempts(source: Source, at: str) -> str:
    own = source.own
    keys = f"{at}, r.answered_by, {own}.energy_method, {source.unpriced}, {COMPARED}, r.coefficient_version"
    sums = source.total("cost_nusd", "energy_uj", "co2_ug", of=own)
    return (
        f"SELECT {keys}, {own}.status = {int(Status.UNHEARD)}, {own}.expert, {source.count}, {sums} "  # noqa: S608 (constants)
        f"FROM {source.attempts} WHERE {source.bounds} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8"
    )


def _columns(sums: list[Sum]) -> dict[str, list[float | None]]:
    """Money is None in a step where some of it is unknown; `known_usd` is that of which there are prices."""
    rows = [each.whole_json() | {"known_usd": each.known_usd} for each in sums]
    return {name: [row[name] for row in rows] for name in rows[0]}
