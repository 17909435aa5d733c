"""Carbon of the past by another table: energy by the hour, times what that table says of each hour."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from typing import Any

from router.meter.carbon import Grids, co2_ug
from router.meter.hours_schema import HOUR_US
from router.meter.spans import COMPARED, Spans, narrowed


def regrid(
    connection: sqlite3.Connection, period: Spans, grids: Grids, own: str | None = None
) -> dict[str, Any]:  # fmt: skip
    """Spent and counterfactual by `grids`, and by its marginal figures where every hour has one.

    Of the requests of one key where `own` is its id. The average accounts; the marginal figure only says what a change
    of load did, so it stands beside it.
    """
    spent, alone = _by_hour(connection, period, own)
    hours = sorted({*spent, *alone})
    known = grids.hours.average if grids.hours is not None else {}
    average = {hour: grids.at(hour * HOUR_US) for hour in hours}
    found: dict[str, Any] = {
        "hours": {
            "of_their_own": sum(hour in known for hour in hours),
            "of_their_year": sum(hour not in known for hour in hours),
        },
        "grids": sorted({each.version for each in average.values()}),
        "co2_g": sum(co2_ug(spent[hour], average[hour].mg_per_kwh) for hour in hours) / 1e6,
        "counterfactual_co2_g": sum(co2_ug(alone[hour], average[hour].mg_per_kwh) for hour in hours) / 1e6,
        "marginal": None,
    }
    marginal = grids.hours.marginal if grids.hours is not None else {}
    if hours and all(hour in marginal for hour in hours):
        found["marginal"] = {
            "co2_g": sum(co2_ug(spent[hour], marginal[hour]) for hour in hours) / 1e6,
            "counterfactual_co2_g": sum(co2_ug(alone[hour], marginal[hour]) for hour in hours) / 1e6,
        }
    return found


def _by_hour(
    connection: sqlite3.Connection, period: Spans, own_key: str | None
) -> tuple[dict[int, int], dict[int, int]]:
    """Microjoules spent, and those of the fallback alone, by hour since 1970."""
    spent: defaultdict[int, int] = defaultdict(int)
    alone: defaultdict[int, int] = defaultdict(int)
    for source, bounds in (narrowed(*each, own_key) for each in period):
        own = source.total("router_energy_uj", "counterfactual_energy_uj")
        requests = (
            f"SELECT {source.cell(HOUR_US)}, {COMPARED}, {own} FROM {source.requests} "  # noqa: S608 (made of constants)
            f"WHERE {source.bounds} GROUP BY 1, 2"
        )
        for hour, compared, router_uj, counterfactual_uj in connection.execute(requests, bounds):
            spent[hour] += router_uj
            alone[hour] += counterfactual_uj if compared else 0
        taken = source.total("energy_uj", of=source.own)
        attempts = f"SELECT {source.cell(HOUR_US)}, {taken} FROM {source.attempts} WHERE {source.bounds} GROUP BY 1"  # noqa: S608
        for hour, energy_uj in connection.execute(attempts, bounds):
            spent[hour] += energy_uj
    return spent, alone
