"""Carbon of the past by another table: energy by the hour, times what that table says of each hour."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from router.meter.carbon import Grids, co2_ug
from router.meter.hours_schema import HOUR_US
from router.meter.spans import COMPARED, Spans, narrowed


@dataclass(slots=True)
class _Energy:
    """Microjoules by hour since 1970."""

    requests: int = 0
    """That are compared with the fallback."""
    spent: Counter[int] = field(default_factory=Counter)
    compared: Counter[int] = field(default_factory=Counter)
    """Of `spent`, on those requests."""
    alone: Counter[int] = field(default_factory=Counter)
    """What the fallback alone would have taken for them, by the same tokens."""

    def add(self, hour: int, energy_uj: int, compared: int) -> None:
        """Some of what was spent."""
        self.spent[hour] += energy_uj
        self.compared[hour] += energy_uj if compared else 0

    def grams(self, mg_per_kwh: Callable[[int], int]) -> dict[str, float]:
        """Carbon by what a kilowatt-hour of an hour weighs."""
        sides = {"co2_g": self.spent, "compared_co2_g": self.compared, "counterfactual_co2_g": self.alone}
        return {
            name: sum(co2_ug(energy_uj, mg_per_kwh(hour)) for hour, energy_uj in by_hour.items()) / 1e6
            for name, by_hour in sides.items()
        }


def regrid(
    connection: sqlite3.Connection, period: Spans, grids: Grids, own: str | None, routed: Mapping[str, Any]
) -> dict[str, Any]:
    """Spent and counterfactual by `grids`, and by its marginal figures where every hour has one.

    `co2_g` is all that was spent, `compared_co2_g` the part of it that `counterfactual_co2_g`, by the same tokens, is
    comparable with. Of the requests of one key where `own` is its id. The average accounts; the marginal figure only
    says what a change of load did, so it stands beside it. `routed` is what is measured of savings, empty of one key's.
    """
    energy = _by_hour(connection, period, own)
    hours = sorted({*energy.spent, *energy.alone})
    known = grids.hours.average if grids.hours is not None else {}
    marginal = grids.hours.marginal if grids.hours is not None else {}
    average = {hour: grids.at(hour * HOUR_US) for hour in hours}
    every_hour = hours and all(hour in marginal for hour in hours)
    return {
        "hours": {
            "of_their_own": sum(hour in known for hour in hours),
            "of_their_year": sum(hour not in known for hour in hours),
            "with_marginal": sum(hour in marginal for hour in hours),
        },
        "grids": sorted({each.version for each in average.values()}),
        "compared_requests": energy.requests,
        **energy.grams(lambda hour: average[hour].mg_per_kwh),
        "measured": _measured(routed, {each.mg_per_kwh for each in average.values()}),
        "marginal": energy.grams(lambda hour: marginal[hour]) if every_hour else None,
    }


def _measured(routed: Mapping[str, Any], weights: set[int]) -> dict[str, Any] | None:
    """The measured comparison by one weight of a kilowatt hour: its energy times that, so its share and interval too.

    None where nothing is measured, and where hours weigh differently: what the fallback alone would have taken is
    estimated of a whole period, and nobody knows in which of its hours it would have been.
    """
    if not routed or routed["share"] is None or len(weights) != 1:
        return None
    g_per_j = weights.copy().pop() / 1000 / 3_600_000
    told = {"requests": routed["requests"], "standing": routed["standing"]}
    sides = {f"{side}_co2_g": routed[side]["energy_j"] * g_per_j for side in ("spent", "counterfactual")}
    return told | sides | {name: routed[name]["energy"] for name in ("share", "low", "high")}


def _by_hour(connection: sqlite3.Connection, period: Spans, own_key: str | None) -> _Energy:
    found = _Energy()
    for source, bounds in (narrowed(*each, own_key) for each in period):
        keys = f"{source.cell(HOUR_US)}, {COMPARED}"
        own = source.total("router_energy_uj", "counterfactual_energy_uj")
        requests = (
            f"SELECT {keys}, {source.count}, {own} FROM {source.requests} "  # noqa: S608 (made of constants)
            f"WHERE {source.bounds} GROUP BY 1, 2"
        )
        for hour, compared, count, router_uj, counterfactual_uj in connection.execute(requests, bounds):
            found.add(hour, router_uj, compared)
            found.requests += count if compared else 0
            found.alone[hour] += counterfactual_uj if compared else 0
        taken = source.total("energy_uj", of=source.own)
        attempts = f"SELECT {keys}, {taken} FROM {source.attempts} WHERE {source.bounds} GROUP BY 1, 2"  # noqa: S608
        for hour, compared, energy_uj in connection.execute(attempts, bounds):
            found.add(hour, energy_uj, compared)
    return found
