"""Tables beside the raw rows: sums of hours and days, what each version of the tariffs said, what devices measured.

A raw row lives for months, sums for ever: one row for each combination of who answered, for whom, and how that was
charged. Times are hours or days (UTC) since 1970; strings are numbers of `names`, as everywhere in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class Grain:
    """How long the time is that one row of sums is of."""

    name: str
    """Of the column that numbers it."""
    us: int

    @property
    def done(self) -> str:
        """The table of those that are added up."""
        return f"{self.name}s"

    @property
    def requests(self) -> str:
        """The table of the sums over requests."""
        return f"{self.name}_requests"

    @property
    def attempts(self) -> str:
        """The table of the sums over attempts."""
        return f"{self.name}_attempts"

    @property
    def rejected(self) -> str:
        """The table of how many answers were rejected."""
        return f"{self.name}_rejected"

    def told(self, number: int) -> str:
        """One of them in words; by its number alone where no calendar has it."""
        try:
            begins = datetime.fromtimestamp(number * (self.us // 1_000_000), UTC)
        except (ValueError, OverflowError, OSError):
            return f"{self.name} number {number}"
        return f"{self.name} {begins:%Y-%m-%d %H:%M} UTC"


HOUR: Final = Grain("hour", HOUR_US)
DAY: Final = Grain("day", DAY_US)

CACHE_WRITES: Final = "cache_write_tokens"
"""A sum of attempts that came later: 0 in those from before."""

REQUEST_KEYS: Final = (
    "answered_by", "label", "policy", "key", "arm", "status", "escalated", "why", "coefficient_version", "grid_version",
    "router_method",
)  # fmt: skip
REQUEST_SUMS: Final = (
    "router_cpu_us", "router_energy_uj", "router_co2_ug", "counterfactual_cost_nusd", "counterfactual_energy_uj",
    "counterfactual_co2_ug",
)  # fmt: skip
ATTEMPT_KEYS: Final = (
    "answered_by", "label", "policy", "key", "arm", "coefficient_version", "grid_version", "expert", "role", "status",
    "energy_method", "unpriced",
)  # fmt: skip
ATTEMPT_SUMS: Final = (
    "input_tokens", "output_tokens", "cached_tokens", CACHE_WRITES, "reasoning_tokens", "cpu_us", "total_us",
    "cost_nusd", "energy_uj", "co2_ug",
)  # fmt: skip
REJECTED_KEYS: Final = ("key",)
DEVICE_SUMS: Final = (
    "counter_uj", "attempts_uj", "router_uj", "idle_uj", "other_uj", "charged_uj", "idle_co2_ug", "samples", "missed",
)  # fmt: skip
"""counter_uj is the sum of the four after it; charged_uj is what requests were charged of it, with what the
building takes: attempts_uj all, and of router_uj what it did for requests."""

SEAL_PARTS: Final = ("late", "requests", "rows", "beside", "said", "devices", "sums", "words")
"""See seal.py: late is 1 where rows are older than their seal, requests counts those that have ended, the others are
sums of hashes."""


def _sums(table: str, grain: Grain, keys: tuple[str, ...], sums: tuple[str, ...]) -> str:
    columns = [f"{name} INTEGER" for name in keys] + [f"{name} INTEGER NOT NULL" for name in ("n", *sums)]
    columns = [f"{each} DEFAULT 0" if each.startswith(CACHE_WRITES) else each for each in columns]
    return (
        f"CREATE TABLE {table} (\n    {grain.name} INTEGER NOT NULL,\n    {', '.join(columns)}\n) STRICT;\n"
        f"CREATE INDEX {table}_{grain.name} ON {table} ({grain.name})"
    )


SEALS: Final = f"""
CREATE TABLE seals (
    hour INTEGER PRIMARY KEY,
    {", ".join(f"{name} INTEGER NOT NULL" for name in SEAL_PARTS)}
) STRICT
"""

DAYS: Final = f"""
CREATE TABLE days (
    day INTEGER PRIMARY KEY,
    requests INTEGER NOT NULL
) STRICT;

{_sums(DAY.requests, DAY, REQUEST_KEYS, REQUEST_SUMS)};
{_sums(DAY.attempts, DAY, ATTEMPT_KEYS, ATTEMPT_SUMS)};
{_sums(DAY.rejected, DAY, REJECTED_KEYS, ())}
"""

SLICES: Final = """
CREATE TABLE device_slices (
    since_us INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    device INTEGER NOT NULL,
    method INTEGER NOT NULL,
    pue_ppm INTEGER NOT NULL,
    until_us INTEGER NOT NULL,
    counter_uj INTEGER NOT NULL,
    idle_uj INTEGER NOT NULL,
    other_uj INTEGER NOT NULL,
    idle_co2_ug INTEGER NOT NULL,
    missed INTEGER NOT NULL,
    PRIMARY KEY (since_us, boot, device, method, pue_ppm)
) STRICT, WITHOUT ROWID
"""
"""When of an hour its sums in `device_hours` came, by the minute; kept as long as raw rows are."""

TABLES: Final = f"""
CREATE TABLE tariffs (
    version INTEGER PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE hours (
    hour INTEGER PRIMARY KEY,
    requests INTEGER NOT NULL,
    pruned INTEGER NOT NULL DEFAULT 0
) STRICT;

{_sums(HOUR.requests, HOUR, REQUEST_KEYS, REQUEST_SUMS)};
{_sums(HOUR.attempts, HOUR, ATTEMPT_KEYS, ATTEMPT_SUMS)};
{_sums(HOUR.rejected, HOUR, REJECTED_KEYS, ())};
{DAYS};
{SEALS};

CREATE TABLE device_hours (
    hour INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    device INTEGER NOT NULL,
    method INTEGER NOT NULL,
    pue_ppm INTEGER NOT NULL,
    {", ".join(f"{name} INTEGER NOT NULL DEFAULT 0" for name in DEVICE_SUMS)},
    PRIMARY KEY (hour, boot, device, method, pue_ppm)
) STRICT, WITHOUT ROWID;

{SLICES}
"""
