"""Carbon: grams per kilowatt-hour of a grid zone, and integer micrograms of an amount of energy.

`grid.csv` holds yearly averages over the life cycle of the production mix, imports left out. What a request was
computed with is kept in its ledger entry, so that a later table can recompute the past.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from experts.errors import ShoalError

GRID_TABLE = Path(__file__).with_name("grid.csv")


class UnknownZone(ShoalError):
    """The grid table has no such zone; the message lists those it has."""


@dataclass(frozen=True, slots=True)
class Grid:
    """One zone's average carbon intensity."""

    zone: str
    year: int
    ci_mg_per_kwh: int
    """Milligrams of CO2 equivalent per kilowatt-hour."""
    source: str
    licence: str

    @property
    def version(self) -> str:
        """Names this figure in a ledger entry."""
        return f"{self.zone} {self.year}"


def grid(zone: str) -> Grid:
    """The row of a zone (ISO 3166 alpha-3, or WOR for the world). Raises UnknownZone."""
    table = _table()
    if zone not in table:
        raise UnknownZone(f"grid_zone {zone!r} is not in the grid table; choose one of {', '.join(sorted(table))}")
    return table[zone]


def co2_ug(energy_uj: int, ci_mg_per_kwh: int) -> int:
    """Micrograms of CO2 equivalent, rounded to the nearest, halves up. A kilowatt-hour is 3.6e12 microjoules."""
    return (energy_uj * ci_mg_per_kwh + 1_800_000_000) // 3_600_000_000


@cache
def _table() -> dict[str, Grid]:
    with GRID_TABLE.open(newline="", encoding="utf-8") as lines:
        return {
            row["zone"]: Grid(
                zone=row["zone"],
                year=int(row["year"]),
                ci_mg_per_kwh=round(float(row["g_per_kwh"]) * 1000),
                source=row["source"],
                licence=row["licence"],
            )
            for row in csv.DictReader(lines)
        }
