"""The part of a period's requests of which all money is known, on both sides.

One call without a price must not hide what was saved on all others, nor count as free. Left out, on both sides, are all
requests of its domain under the prices of that time, and all of a time in which the fallback had no price. Both are
settled before anybody is drawn, so what is left is compared and estimated as fairly as the whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.meter.kept import kept_tariffs, no_price
from router.meter.spans import COMPARED, Divide, narrowed, spans

Cell = tuple[int | None, int | None]
"""A version of the tariffs and a domain, by their numbers in `names`."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """What has no price."""

    cells: frozenset[Cell] = frozenset()
    versions: frozenset[int | None] = frozenset()
    """Tariffs under which the fallback had none."""
    calls: int = 0
    """Of compared requests; a call is an attempt."""
    tokens: int = 0
    """Those that these calls read and wrote."""

    def __bool__(self) -> bool:
        return bool(self.cells or self.versions)

    def hold(self, version: int | None, label: int | None) -> bool:
        """Whether requests are left out."""
        return version in self.versions or (version, label) in self.cells

    def to_json(self) -> dict[str, int]:
        """As in `shoal meter report --json`."""
        return {"calls_without_price": self.calls, "tokens_without_price": self.tokens}


NO_GAPS: Final = Gaps()


def gaps_of(
    connection: sqlite3.Connection, since_us: int | None, until_us: int | None, divide: Divide = spans,
    own: str | None = None,
) -> Gaps:  # fmt: skip
    """Those of a period (microseconds since 1970, end not included, None for open), of all keys or of one by its id."""
    cells: set[Cell] = set()
    kept = kept_tariffs(connection)
    versions: set[int | None] = {version for version, tariffs in kept.items() if not tariffs.fallback.price.version}
    calls = tokens = 0
    for source, bounds in (narrowed(*each, own) for each in divide(connection, since_us, until_us)):
        query = (
            f"SELECT r.coefficient_version, r.label, {source.count}, "  # noqa: S608 (made of constants)
            f"{source.total('input_tokens', 'output_tokens', of=source.own)} FROM {source.attempts} "
            f"WHERE {source.bounds} AND {COMPARED} AND {source.unpriced} GROUP BY 1, 2"
        )
        for version, label, count, asked, answered in connection.execute(query, bounds):
            cells.add((version, label))
            calls, tokens = calls + count, tokens + asked + answered
        alone = source.total("counterfactual_cost_nusd", "counterfactual_energy_uj")
        query = (
            f"SELECT r.coefficient_version, {alone} FROM {source.requests} "  # noqa: S608 (made of constants)
            f"WHERE {source.bounds} AND {COMPARED} GROUP BY 1"
        )
        for version, *sums in connection.execute(query, bounds):
            if version not in kept and no_price(None, sums):
                versions.add(version)
    return Gaps(frozenset(cells), frozenset(versions), calls, tokens)


def priced_part(told: Mapping[str, Any], requests: int) -> dict[str, Any]:
    """The money of a comparison that leaves gaps out, beside how many of all compared `requests` it is of."""
    some = told["requests"] > 0
    ends = {name: told[name]["cost"] if told.get(name) else None for name in ("share", "low", "high")}
    sides = {f"{side}_usd": told[side]["cost_usd"] if some else None for side in ("spent", "counterfactual")}
    money = {name: told[name] if some else None for name in ("cost_usd", "allocated_usd", "allocated_share")}
    of_all = told["requests"] / requests if requests else None
    return {"requests": told["requests"], "of": requests, "share_of_requests": of_all, **money, **sides, **ends}
