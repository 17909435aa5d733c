"""A period's requests and attempts by what they have in common, added up: read once, for all that is told of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from operator import add
from typing import Any, Final, NamedTuple

from router.meter.hours_schema import ATTEMPT_SUMS, DAY, REQUEST_SUMS
from router.meter.spans import Range, Source, narrowed

Row = tuple[Any, ...]

GROUPS: Final = {None: "NULL", "expert": "r.answered_by", "domain": "r.label", "policy": "r.policy", "key": "r.key"}
"""What requests can be told apart by, as parts of a query, but for the day."""

_ROUTED: Final = "r.policy IS NOT NULL"

_OF_REQUESTS: Final = (
    "r.status", "r.escalated", "r.answered_by", "r.coefficient_version", _ROUTED, "r.arm", "r.router_method", "r.label",
)  # fmt: skip
_OF_ATTEMPTS: Final = (
    "r.coefficient_version", _ROUTED, "r.arm", "r.answered_by", "r.label", "{own}.expert", "{own}.role", "{own}.status",
    "{own}.energy_method", "{unpriced}",
)  # fmt: skip


class RequestsAlike(NamedTuple):
    """Requests alike: what they have in common, as numbers in `names` where it has a name; how many, and their sums."""

    group: int | None
    status: int
    escalated: int | None
    answered_by: int | None
    version: int | None
    """Of the tariffs."""
    routed: int
    arm: int
    router_method: int
    label: int | None
    many: int
    router_cpu_us: int
    router_energy_uj: int
    router_co2_ug: int
    alone_nusd: int
    """What the fallback alone would have taken."""
    alone_uj: int
    alone_ug: int

    @property
    def alone(self) -> tuple[int, int, int]:
        """Money, energy and carbon that the fallback alone would have taken."""
        return self.alone_nusd, self.alone_uj, self.alone_ug


class AttemptsAlike(NamedTuple):
    """Attempts alike, the same: first what their requests have in common, then what they have."""

    group: int | None
    version: int | None
    routed: int
    arm: int
    answered_by: int | None
    label: int | None
    expert: int
    role: int
    status: int
    energy_method: int
    unpriced: int
    """Whether they have no price."""
    many: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cpu_us: int
    total_us: int
    cost_nusd: int
    energy_uj: int
    co2_ug: int

    @property
    def amounts(self) -> tuple[int, int, int]:
        """Money, energy and carbon that they took."""
        return self.cost_nusd, self.energy_uj, self.co2_ug


@dataclass(frozen=True, slots=True)
class Alike:
    """What one range holds, in the order of what it is told apart by."""

    requests: Sequence[RequestsAlike]
    attempts: Sequence[AttemptsAlike]

    @property
    def together(self) -> Alike:
        """The same without groups."""
        requests, attempts = _together(self.requests, len(_OF_REQUESTS)), _together(self.attempts, len(_OF_ATTEMPTS))
        return Alike([*map(RequestsAlike._make, requests)], [*map(AttemptsAlike._make, attempts)])


def alike(connection: sqlite3.Connection, each: Range, of: str | None, own: str | None = None) -> Alike:
    """Read a range, in groups by their numbers in `names`, or of the day since 1970; `own` is the id of a key alone."""
    source, bounds = narrowed(*each, own)
    keys = [each.format(own=source.own, unpriced=source.unpriced) for each in _OF_ATTEMPTS]
    requests = _query(source, of, source.requests, _OF_REQUESTS, source.total(*REQUEST_SUMS))
    attempts = _query(source, of, source.attempts, keys, source.total(*ATTEMPT_SUMS, of=source.own))
    return Alike(
        [*map(RequestsAlike._make, connection.execute(requests, bounds))],
        [*map(AttemptsAlike._make, connection.execute(attempts, bounds))],
    )


def _query(source: Source, of: str | None, table: str, keys: Sequence[str], sums: str) -> str:
    terms = [group_of(of, source), *keys]
    places = ", ".join(str(place) for place in range(1, len(terms) + 1))
    return (
        f"SELECT {', '.join(terms)}, {source.count}, {sums} FROM {table} "  # noqa: S608 (made of constants)
        f"WHERE {source.bounds} GROUP BY {places}"
    )


def group_of(of: str | None, source: Source) -> str:
    """As a part of a query."""
    return source.cell(DAY.us) if of == "day" else GROUPS[of]


def _together(rows: Sequence[Row], keys: int) -> list[Row]:
    """In the order that the query without groups has."""
    found: dict[Row, Row] = {}
    for row in rows:
        key, sums = row[1 : keys + 1], row[keys + 1 :]
        found[key] = tuple(map(add, found[key], sums)) if key in found else sums
    return [(None, *key, *found[key]) for key in sorted(found, key=_nulls_first)]


def _nulls_first(key: Row) -> list[tuple[bool, int]]:
    return [(value is not None, value or 0) for value in key]
