"""Tables beside the raw rows: hourly sums, what each version of the tariffs said, and what devices measured.

A raw row lives for months, an hour's sums for ever: one row for each combination of who answered, for whom, and how
that was charged. Times are hours since 1970; strings are numbers of `names`, as everywhere in the ledger.
"""

from __future__ import annotations

from typing import Final

REQUEST_KEYS: Final = (
    "answered_by", "label", "policy", "key", "arm", "status", "escalated", "coefficient_version", "grid_version",
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
    "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cpu_us", "total_us", "cost_nusd",
    "energy_uj", "co2_ug",
)  # fmt: skip
DEVICE_SUMS: Final = (
    "counter_uj", "attempts_uj", "router_uj", "idle_uj", "other_uj", "charged_uj", "idle_co2_ug", "samples", "missed",
)  # fmt: skip
"""counter_uj is the sum of the four after it; charged_uj is attempts_uj times what the building takes, as charged."""

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

CREATE TABLE hour_requests (
    hour INTEGER NOT NULL,
    {", ".join(f"{name} INTEGER" for name in REQUEST_KEYS)},
    n INTEGER NOT NULL,
    {", ".join(f"{name} INTEGER NOT NULL" for name in REQUEST_SUMS)}
) STRICT;

CREATE TABLE hour_attempts (
    hour INTEGER NOT NULL,
    {", ".join(f"{name} INTEGER" for name in ATTEMPT_KEYS)},
    n INTEGER NOT NULL,
    {", ".join(f"{name} INTEGER NOT NULL" for name in ATTEMPT_SUMS)}
) STRICT;

CREATE INDEX hour_requests_hour ON hour_requests (hour);
CREATE INDEX hour_attempts_hour ON hour_attempts (hour);

CREATE TABLE device_hours (
    hour INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    device INTEGER NOT NULL,
    method INTEGER NOT NULL,
    pue_ppm INTEGER NOT NULL,
    {", ".join(f"{name} INTEGER NOT NULL DEFAULT 0" for name in DEVICE_SUMS)},
    PRIMARY KEY (hour, boot, device, method, pue_ppm)
) STRICT, WITHOUT ROWID
"""
