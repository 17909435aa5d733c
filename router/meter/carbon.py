"""Carbon: grams per kilowatt-hour of a grid zone, and integer micrograms of an amount of energy.

`grid.csv` holds yearly averages over the life cycle of the production mix, imports left out; a file of the user's own
may say it hour by hour. The average accounts for what was used (GHG Protocol, Scope 2, location-based); a marginal
figure, where the file has one, only tells what a change did, beside the average. What a request was computed with is
kept in its ledger entry, so that a later table can recompute the past.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

from experts.errors import ShoalError

GRID_TABLE = Path(__file__).with_name("grid.csv")


class UnknownZone(ShoalError):
    """The grid table has no such zone; the message lists those it has."""


class BadGridHours(ShoalError):
    """A file of hourly figures cannot be used; the message names file, line and remedy."""


HOUR_US = 3_600_000_000


class Intensity(NamedTuple):
    """Carbon of a kilowatt-hour at some moment, and where the figure is from."""

    version: str
    mg_per_kwh: int


@dataclass(frozen=True, slots=True)
class Grid:
    """One zone's average carbon intensity."""

    zone: str
    year: int
    ci_mg_per_kwh: int
    """Milligrams of CO2 equivalent per kilowatt-hour."""
    source: str
    licence: str
    file: str = ""
    """The hash of the user's own file it is from."""

    @property
    def version(self) -> str:
        """Names this figure in a ledger entry."""
        return f"{self.zone} {self.year} {self.file}".rstrip()


def grid(zone: str) -> Grid:
    """The row of a zone (ISO 3166 alpha-3, or WOR for the world). Raises UnknownZone."""
    table = _table()
    if zone not in table:
        remedy = f"Remedy: choose one of {', '.join(sorted(table))}, or give its year in grid_hours, as {zone},2025,110"
        raise UnknownZone(f"grid_zone {zone!r} is not in the grid table. {remedy}")
    return table[zone]


def yearly_mg_per_kwh(version: str) -> int | None:
    """The figure a ledger entry's grid version names; None where it is of no zone and year of the table."""
    row = _table().get(version.partition(" ")[0])
    return row.ci_mg_per_kwh if row is not None and row.version == version else None


def co2_ug(energy_uj: int, ci_mg_per_kwh: int) -> int:
    """Micrograms of CO2 equivalent, rounded to the nearest, halves up. A kilowatt-hour is 3.6e12 microjoules."""
    return (energy_uj * ci_mg_per_kwh + 1_800_000_000) // 3_600_000_000


@dataclass(frozen=True, slots=True)
class GridHours:
    """One zone hour by hour, in milligrams per kilowatt-hour, keyed by hours since 1970."""

    version: str
    average: Mapping[int, int]
    marginal: Mapping[int, int]
    """Empty when the file has no such column."""
    year: Grid | None = None
    """What the file says of a whole year, the last it tells of; it stands in for the shipped table's figure."""

    @classmethod
    def read(cls, path: Path, zone: str) -> Self:
        """The rows of `zone` in a CSV of zone, hour (ISO 8601, UTC), g_per_kwh and maybe marginal_g_per_kwh.

        An hour that is only a year, as 2025, gives that year's average. Raises BadGridHours.
        """
        average: dict[int, int] = {}
        marginal: dict[int, int] = {}
        years: dict[int, int] = {}
        lines = None
        try:
            raw = path.read_bytes()
            lines = csv.DictReader(raw.decode("utf-8-sig").splitlines())
            for row in lines:
                if row["zone"] != zone:
                    continue
                if re.fullmatch(r"\d{4}", row["hour"].strip()):
                    years[int(row["hour"])] = _milligrams(row["g_per_kwh"])
                else:
                    hour = _hour(row["hour"])
                    average[hour] = _milligrams(row["g_per_kwh"])
                    if row.get("marginal_g_per_kwh"):
                        marginal[hour] = _milligrams(row["marginal_g_per_kwh"])
        except KeyError as error:
            raise BadGridHours(f"{path}: no column {error}. Remedy: columns are zone, hour, g_per_kwh") from None
        except (OSError, UnicodeDecodeError) as error:
            raise BadGridHours(f"{path}: cannot be read: {error}. Remedy: give a CSV file in UTF-8") from None
        except (ValueError, TypeError) as error:
            remedy = "write hours like 2026-11-01T08:00 and grams as a number of 0 or more"
            raise BadGridHours(f"{path}:{lines.line_num if lines else 1}: {error}. Remedy: {remedy}") from None
        if not average and not years:
            raise BadGridHours(f"{path}: no row of zone {zone!r}. Remedy: grid_zone must be one of its zones")
        name = hashlib.sha256(raw).hexdigest()[:8]
        year = Grid(zone, max(years), years[max(years)], str(path), "the user's own", name) if years else None
        return cls(f"{zone} hourly {name}", average, marginal, year)


@dataclass(frozen=True, slots=True)
class Grids:
    """A zone's yearly average, and its hours where they are known."""

    year: Grid
    hours: GridHours | None = None
    _yearly: Intensity = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_yearly", Intensity(self.year.version, self.year.ci_mg_per_kwh))

    @classmethod
    def of(cls, zone: str, hours: Path | None = None) -> Self:
        """Raises UnknownZone or BadGridHours."""
        own = GridHours.read(hours, zone) if hours else None
        return cls(own.year if own and own.year else grid(zone), own)

    def at(self, ts_us: int) -> Intensity:
        """The hour's figure, else the year's."""
        if self.hours is not None and (found := self.hours.average.get(ts_us // HOUR_US)) is not None:
            return Intensity(self.hours.version, found)
        return self._yearly


def _hour(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) // 3600


def _milligrams(text: str) -> int:
    grams = float(text)
    if not 0 <= grams < 10_000:
        raise ValueError(f"{text!r} is no amount of grams per kilowatt-hour")
    return round(grams * 1000)


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
