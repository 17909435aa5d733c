"""What changed of that by which requests are charged, within a period: which term, whose, and in which hour.

Told to the hour, so that sums and rows say the same. A day's sums are looked into by the hour only where they hold
another version than the day before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby, pairwise
from typing import Any, Final, Literal

from router.meter.cost import UnitPrice
from router.meter.hours_schema import DAY, HOUR
from router.meter.kept import KeptExpert, KeptTariffs
from router.meter.rollup import HOURS_OF_A_DAY
from router.meter.spans import DAILY, HOURLY, Range, Spans, narrowed

What = Literal["price", "capacity", "energy", "electricity", "power", "fallback", "grid"]

_NAMED: Final[Mapping[What, str]] = {
    "price": "price",
    "capacity": "capacity",
    "energy": "joules per token",
    "electricity": "price of electricity",
    "power": "watts per core",
    "fallback": "fallback",
    "grid": "grid",
}

NONE: Final = "none"
"""Stands for a price that is not given."""


@dataclass(frozen=True, slots=True)
class Change:
    """One term that is another from some moment of an hour on."""

    hour: int
    """Since 1970."""
    what: What
    expert: str | None
    """Whose it is; None where it is not one expert's."""
    before: str
    after: str

    @property
    def told(self) -> str:
        """In words."""
        whose = f"{_NAMED[self.what]} of {self.expert}" if self.expert else _NAMED[self.what]
        hour = datetime.fromtimestamp(self.hour * (HOUR.us // 1_000_000), UTC)
        return f"{whose} {self.after} (before: {self.before}) in the hour from {hour:%Y-%m-%d %H:%M} UTC on"

    def to_json(self) -> dict[str, Any]:
        """As in `changed` of `shoal meter report --json`."""
        hour = datetime.fromtimestamp(self.hour * (HOUR.us // 1_000_000), UTC).isoformat()
        terms = {"what": self.what, "expert": self.expert, "before": self.before, "after": self.after}
        return {"hour": hour, **terms, "told": self.told}


@dataclass(slots=True)
class Used:
    """Versions that requests were charged by, in the order of time; each by its number in `names`."""

    tariffs: list[tuple[int, int]]
    """Hour and version, wherever it is another than before."""
    grids: list[tuple[int, int | None]]
    """The same of grids; None where none is known."""


def used(connection: sqlite3.Connection, period: Spans, own: str | None = None) -> Used:
    """What the requests of a period name; of those of one key where `own` is its id."""
    found = Used([], [])
    for each in period:
        for cell, versions, grids in _cells(connection, each, own):
            if each[0] is not DAILY:
                _add(found, cell, versions, grids)
            elif not (_go_on(found.tariffs, versions) and _go_on(found.grids, grids)):
                hours = cell * HOURS_OF_A_DAY, (cell + 1) * HOURS_OF_A_DAY
                for hour in _cells(connection, (HOURLY, hours), own):
                    _add(found, *hour)
    return found


def changes(
    found: Used, tariffs: Mapping[int, KeptTariffs], names: Mapping[int | None, str], asked: Collection[str]
) -> list[Change]:
    """What of that changed, in the order of time, of the fallback and of experts that were `asked`.

    Versions that the ledger has not kept tell nothing. What changes to and fro, as a price by the hour of day does, is
    told where it first became which: it would fill pages.
    """
    known = [(hour, tariffs[version]) for hour, version in found.tariffs if version in tariffs]
    told = [change for (_, old), (hour, new) in pairwise(known) for change in _differences(hour, old, new, asked)]
    grids = [(hour, names[number]) for hour, number in found.grids if number is not None]
    told += [Change(hour, "grid", None, old, new) for (_, old), (hour, new) in pairwise(grids) if old != new]
    first = {(each.what, each.expert, each.before, each.after): each for each in reversed(told)}
    return sorted(first.values(), key=lambda change: (change.hour, told.index(change)))


Cell = tuple[int, set[int], set[int | None]]
"""Its number, the versions of tariffs in it, and those of grids."""


def _cells(connection: sqlite3.Connection, each: Range, own: str | None) -> Iterator[Cell]:
    source, bounds = narrowed(*each, own)
    cell = source.cell(DAY.us if each[0] is DAILY else HOUR.us)
    query = (
        f"SELECT DISTINCT {cell}, r.coefficient_version, r.grid_version FROM {source.requests} "  # noqa: S608 (constants)
        f"WHERE {source.bounds} ORDER BY 1"
    )
    for number, rows in groupby(connection.execute(query, bounds).fetchall(), key=lambda row: row[0]):
        kept = list(rows)
        yield number, {version for _, version, _ in kept if version is not None}, {grid for _, _, grid in kept}


def _go_on(found: list[tuple[int, Any]], numbers: set[Any]) -> bool:
    """Whether they are the one that stands last, and no other."""
    return numbers == {number for _, number in found[-1:]}


def _add(found: Used, hour: int, versions: set[int], grids: set[int | None]) -> None:
    _follow(found.tariffs, hour, versions)
    _follow(found.grids, hour, grids)


def _follow(found: list[tuple[int, Any]], hour: int, numbers: set[Any]) -> None:
    """Of several in one hour what was before comes first, then what the ledger knew earlier."""
    current = found[-1][1] if found else None
    for number in sorted(numbers, key=lambda each: (each != current, each or 0)):
        if not found or number != found[-1][1]:
            found.append((hour, number))


def _differences(hour: int, old: KeptTariffs, new: KeptTariffs, asked: Collection[str]) -> Iterator[Change]:
    whole: tuple[tuple[What, str, str], ...] = (
        ("fallback", old.fallback.expert, new.fallback.expert),
        ("electricity", old.electricity.version or NONE, new.electricity.version or NONE),
        ("power", _watts(old), _watts(new)),
    )
    yield from (Change(hour, what, None, before, after) for what, before, after in whole if before != after)
    for name in sorted(old.experts.keys() & new.experts.keys() & {new.fallback.expert, *asked}):
        mine, theirs = old.experts[name], new.experts[name]
        before, after = _terms(mine), _terms(theirs)
        if _amounts(mine.price) == _amounts(theirs.price):
            del after["price"]
        yield from (
            Change(hour, what, name, before[what], after[what]) for what in after if before[what] != after[what]
        )


def _amounts(price: UnitPrice) -> UnitPrice:
    """What a price charges, and whether it is known: where it is said to be from, and of which day, changes nothing."""
    return replace(price, version=price.version and "known")


def _watts(tariffs: KeptTariffs) -> str:
    return f"{tariffs.uw_per_core / 1e6:g} W at the wall"


def _terms(expert: KeptExpert) -> dict[What, str]:
    energy = expert.energy
    avoidable = "" if expert.capacity != "fixed" else f", {expert.avoidable_ppm / 1e6:.0%} of its cost avoidable"
    return {
        "price": expert.price.version or NONE,
        "capacity": f"{expert.capacity}{avoidable}",
        "energy": f"{energy.input_pj / 1e12:g} J read, {energy.output_pj / 1e12:g} J written",
    }
