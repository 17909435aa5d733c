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
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple, Self

from experts.errors import ShoalError
from router.meter.hours_schema import HOUR_US

GRID_TABLE = Path(__file__).with_name("grid.csv")


class UnknownZone(ShoalError):
    """The grid table has no such zone; the message lists those it has."""


class BadGridHours(ShoalError):
    """A file of hourly figures cannot be used; the message names file, line and remedy."""


class ZoneNotInFile(BadGridHours, UnknownZone):
    """A file of hourly figures has no row of the zone; the message lists some that it has."""


_TOLD: Final = 8
"""Zones of a file that are named where the one wanted is not among them."""


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
    years: Mapping[int, Grid] = field(default_factory=dict)
    """What the file says of whole years; it stands in for the shipped table's figure."""

    @classmethod
    def read(cls, path: Path, zone: str) -> Self:
        """The rows of `zone` in a CSV of zone, hour (ISO 8601, UTC), g_per_kwh and maybe marginal_g_per_kwh.

        Shorter times than hours are averaged over theirs. An hour that is only a year, as 2025, gives that year's
        average. Raises BadGridHours.
        """
        found, zones = _Rows(), dict[str, None]()
        lines = None
        try:
            raw = path.read_bytes()
            lines = csv.DictReader(raw.decode("utf-8-sig").splitlines())
            for row in lines:
                if row["zone"] == zone:
                    found.add(row["hour"], row["g_per_kwh"], row.get("marginal_g_per_kwh"))
                elif len(zones) < _TOLD:
                    zones.setdefault(row["zone"])
        except KeyError as error:
            columns = ", ".join(map(repr, (lines and lines.fieldnames) or ()))
            remedy = "Remedy: begin the file with zone,hour,g_per_kwh, with commas between"
            raise BadGridHours(f"{path}: no column {error}, only {columns}. {remedy}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise BadGridHours(f"{path}: cannot be read: {error}. Remedy: give a CSV file in UTF-8") from None
        except (ValueError, TypeError, csv.Error) as error:
            remedy = (
                "write hours like 2026-11-01T08:00, in UTC or with their offset, and grams as a number of 0 or more"
            )
            raise BadGridHours(f"{path}:{lines.line_num if lines else 1}: {error}. Remedy: {remedy}") from None
        if not found.average and not found.years:
            has = f"it has {', '.join(map(repr, zones))}" if zones else "it has no rows"
            raise ZoneNotInFile(f"{path}: no row of zone {zone!r}; {has}. Remedy: grid_zone must be one of its zones")
        if 0 < found.largest_mg < 1000:
            remedy = "the column is in grams; multiply by 1000"
            raise BadGridHours(f"{path}: all of zone {zone!r} is below 1, as kilograms would be. Remedy: {remedy}")
        return cls(f"{zone} hourly {hashlib.sha256(raw).hexdigest()[:8]}", *found.told(path, zone, raw))

    @property
    def last_year(self) -> Grid | None:
        """The last it tells of, for the years it does not."""
        return self.years[max(self.years)] if self.years else None


class _Rows:
    """One zone's rows of a file, in milligrams per kilowatt-hour."""

    def __init__(self) -> None:
        self.average: dict[int, int] = {}
        self.marginal: dict[int, int] = {}
        """Both by seconds since 1970."""
        self.years: dict[int, int] = {}

    def add(self, hour: str | None, grams: str | None, marginal: str | None) -> None:
        """A row. Raises ValueError."""
        if hour is None or grams is None:
            raise ValueError("the row is too short")
        if re.fullmatch(r"\d{4}", hour.strip()):
            _enter(self.years, int(hour), grams, hour)
            return
        at = _seconds(hour)
        _enter(self.average, at, grams, hour)
        if marginal:
            _enter(self.marginal, at, marginal, hour)

    @property
    def largest_mg(self) -> int:
        """Of its averages."""
        return max(*self.average.values(), *self.years.values(), 0, 0)

    def told(self, path: Path, zone: str, raw: bytes) -> tuple[dict[int, int], dict[int, int], dict[int, Grid]]:
        """By the hour since 1970: averages and marginal figures; and by the year."""
        name = hashlib.sha256(raw).hexdigest()[:8]
        years = {each: Grid(zone, each, mg, str(path), "the user's own", name) for each, mg in self.years.items()}
        return _hourly(self.average), _hourly(self.marginal), years


def _enter(figures: dict[int, int], at: int, grams: str, told: str) -> None:
    found = _milligrams(grams)
    if figures.setdefault(at, found) != found:
        raise ValueError(f"{told} has two figures; of a local time without its offset one comes twice in autumn")


def _hourly(figures: Mapping[int, int]) -> dict[int, int]:
    hours: defaultdict[int, list[int]] = defaultdict(list)
    for at, found in figures.items():
        hours[at // 3600].append(found)
    return {hour: round(sum(each) / len(each)) for hour, each in hours.items()}


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
        return cls(own.last_year if own and own.last_year else grid(zone), own)

    def at(self, ts_us: int) -> Intensity:
        """The hour's figure, else its year's, else the last year's."""
        if self.hours is None:
            return self._yearly
        if (found := self.hours.average.get(ts_us // HOUR_US)) is not None:
            return Intensity(self.hours.version, found)
        year = self.hours.years.get(datetime.fromtimestamp(ts_us // 1_000_000, UTC).year)
        return self._yearly if year is None else Intensity(year.version, year.ci_mg_per_kwh)


def _seconds(text: str) -> int:
    """Since 1970. Raises ValueError."""
    moment = datetime.fromisoformat(text.strip())
    if ":" not in text and "T" not in text:
        raise ValueError(f"{text!r} is a day, no hour")
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


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
