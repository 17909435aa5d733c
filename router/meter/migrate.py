"""An older ledger brought to today's tables, in place: one step from each version to the next.

router/store.py runs them in the transaction that also writes the new version, so a ledger is never between two.
A step, once released, is never edited; `schema.TABLES` says what all of them lead to, and a test that they do.
"""

from __future__ import annotations

from typing import Final

from router.meter import hours_schema

_HOURS: Final = """
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
    answered_by INTEGER, label INTEGER, policy INTEGER, key INTEGER, arm INTEGER, status INTEGER, escalated INTEGER,
    coefficient_version INTEGER, grid_version INTEGER,
    n INTEGER NOT NULL,
    router_cpu_us INTEGER NOT NULL, router_energy_uj INTEGER NOT NULL, router_co2_ug INTEGER NOT NULL,
    counterfactual_cost_nusd INTEGER NOT NULL, counterfactual_energy_uj INTEGER NOT NULL, counterfactual_co2_ug
    INTEGER NOT NULL
) STRICT;

CREATE TABLE hour_attempts (
    hour INTEGER NOT NULL,
    answered_by INTEGER, label INTEGER, policy INTEGER, key INTEGER, arm INTEGER, coefficient_version INTEGER,
    grid_version INTEGER, expert INTEGER, role INTEGER, status INTEGER, energy_method INTEGER, unpriced INTEGER,
    n INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, reasoning_tokens
    INTEGER NOT NULL, cpu_us INTEGER NOT NULL, total_us INTEGER NOT NULL, cost_nusd INTEGER NOT NULL, energy_uj
    INTEGER NOT NULL, co2_ug INTEGER NOT NULL
) STRICT;

CREATE INDEX hour_requests_hour ON hour_requests (hour);
CREATE INDEX hour_attempts_hour ON hour_attempts (hour);

CREATE TABLE device_hours (
    hour INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    device INTEGER NOT NULL,
    method INTEGER NOT NULL,
    pue_ppm INTEGER NOT NULL,
    counter_uj INTEGER NOT NULL DEFAULT 0, attempts_uj INTEGER NOT NULL DEFAULT 0, router_uj INTEGER NOT NULL DEFAULT
    0, idle_uj INTEGER NOT NULL DEFAULT 0, other_uj INTEGER NOT NULL DEFAULT 0, charged_uj INTEGER NOT NULL DEFAULT 0,
    idle_co2_ug INTEGER NOT NULL DEFAULT 0, samples INTEGER NOT NULL DEFAULT 0, missed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (hour, boot, device, method, pue_ppm)
) STRICT, WITHOUT ROWID
"""
"""As they were before step 5."""

_SUMS_OF_NO_HOUR: Final = tuple(
    f"DELETE FROM {table} WHERE hour NOT IN (SELECT hour FROM hours)"  # noqa: S608 (constants)
    for table in ("hour_requests", "hour_attempts")
)

_DAYS: Final = """
CREATE TABLE days (
    day INTEGER PRIMARY KEY,
    requests INTEGER NOT NULL
) STRICT;

CREATE TABLE day_requests (
    day INTEGER NOT NULL,
    answered_by INTEGER, label INTEGER, policy INTEGER, key INTEGER, arm INTEGER, status INTEGER, escalated
    INTEGER, why INTEGER, coefficient_version INTEGER, grid_version INTEGER, n INTEGER
    NOT NULL, router_cpu_us INTEGER NOT NULL, router_energy_uj INTEGER NOT NULL, router_co2_ug INTEGER NOT
    NULL, counterfactual_cost_nusd INTEGER NOT NULL, counterfactual_energy_uj INTEGER NOT NULL,
    counterfactual_co2_ug INTEGER NOT NULL
) STRICT;
CREATE INDEX day_requests_day ON day_requests (day);
CREATE TABLE day_attempts (
    day INTEGER NOT NULL,
    answered_by INTEGER, label INTEGER, policy INTEGER, key INTEGER, arm INTEGER, coefficient_version INTEGER,
    grid_version INTEGER, expert INTEGER, role INTEGER, status INTEGER, energy_method INTEGER, unpriced
    INTEGER, n INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cached_tokens
    INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL, cpu_us INTEGER NOT NULL, total_us INTEGER NOT NULL,
    cost_nusd INTEGER NOT NULL, energy_uj INTEGER NOT NULL, co2_ug INTEGER NOT NULL
) STRICT;
CREATE INDEX day_attempts_day ON day_attempts (day)
"""
"""As they were before step 10."""

STEPS: Final = {
    # Both tables were there, and nothing ever wrote to them.
    1: """
DROP TABLE feedback;
DROP TABLE vectors;
CREATE TABLE feedback (
    request_id BLOB NOT NULL PRIMARY KEY,
    ts_us INTEGER NOT NULL,
    score_ppm INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE vectors (
    request_id BLOB NOT NULL PRIMARY KEY,
    maker INTEGER NOT NULL,
    vector BLOB NOT NULL,
    surface BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE texts (
    request_id BLOB NOT NULL PRIMARY KEY,
    text TEXT,
    expected TEXT,
    comment TEXT
) STRICT, WITHOUT ROWID
""",
    2: _HOURS,
    3: """
CREATE TABLE pairs (
    request_id BLOB NOT NULL PRIMARY KEY,
    same INTEGER NOT NULL,
    small_ppm INTEGER,
    fallback_ppm INTEGER
) STRICT, WITHOUT ROWID
""",
    # Those held back are few, and every report looks for them among all.
    4: "CREATE INDEX requests_held ON requests (ts_us) WHERE arm = 1",
    # Hours whose rows are still there are added up again, with the reasons; days are new, made in the background.
    5: "; ".join(
        (
            "ALTER TABLE requests ADD COLUMN why INTEGER",
            "ALTER TABLE hour_requests ADD COLUMN why INTEGER",
            "DELETE FROM hours WHERE pruned = 0",
            *_SUMS_OF_NO_HOUR,
            _DAYS,
        )
    ),
    # Who was not drawn is an arm of its own. Sums whose rows are gone cannot tell, and stay as they are.
    6: "; ".join(
        (
            "UPDATE requests SET arm = 2 "
            "WHERE arm = 0 AND pi_ppm IS NULL AND policy IS NOT NULL AND expert <> fallback",
            "DELETE FROM hours WHERE pruned = 0",
            *_SUMS_OF_NO_HOUR,
            "DELETE FROM days",
            "DELETE FROM day_requests",
            "DELETE FROM day_attempts",
        )
    ),
    7: "ALTER TABLE hours ADD COLUMN rows_hash BLOB; ALTER TABLE hours ADD COLUMN held_hash BLOB",
    # Hours from before are divided evenly, as they always were.
    8: hours_schema.SLICES,
    # Every row is sealed when it is written, no longer when its hour is added up; seal.py seals those there are.
    9: "; ".join(
        (
            "ALTER TABLE hours DROP COLUMN rows_hash",
            "ALTER TABLE hours DROP COLUMN held_hash",
            hours_schema.SEALS,
        )
    ),
    # The router's own work may be measured. What was modelled is sealed as it was, so seals stay as they are.
    10: "; ".join(
        (
            "ALTER TABLE requests ADD COLUMN router_method INTEGER NOT NULL DEFAULT 1",
            "ALTER TABLE hour_requests ADD COLUMN router_method INTEGER",
            "ALTER TABLE day_requests ADD COLUMN router_method INTEGER",
            "UPDATE hour_requests SET router_method = 1",
            "UPDATE day_requests SET router_method = 1",
        )
    ),
    # Which key draws were made with. Of those from before it is not known until a server begins, or never.
    11: "CREATE TABLE seeds (version INTEGER PRIMARY KEY, fingerprint BLOB NOT NULL) STRICT",
    # Rejected answers are added up too. Of hours whose rows are gone nobody knows how many there were.
    12: """
CREATE TABLE rejected (request_id BLOB NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE hour_rejected (hour INTEGER NOT NULL, key INTEGER, n INTEGER NOT NULL) STRICT;
CREATE INDEX hour_rejected_hour ON hour_rejected (hour);
CREATE TABLE day_rejected (day INTEGER NOT NULL, key INTEGER, n INTEGER NOT NULL) STRICT;
CREATE INDEX day_rejected_day ON day_rejected (day);
INSERT INTO hour_rejected SELECT h.hour, r.key, count(*)
FROM feedback f CROSS JOIN requests r USING (request_id) JOIN hours h ON h.hour = r.ts_us / 3600000000
WHERE f.score_ppm < 500000 AND h.pruned = 0 AND r.status = 1 AND (r.policy IS NOT NULL OR r.arm <> 4) GROUP BY 1, 2;
INSERT INTO day_rejected SELECT d.day, h.key, sum(h.n)
FROM hour_rejected h JOIN days d ON d.day = h.hour / 24 GROUP BY 1, 2
""",
    # What an upstream's cache took is counted. Of rows from before nobody knows, and their seals stay as they are.
    13: "; ".join(
        f"ALTER TABLE {table} ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0"
        for table in ("attempts", "hour_attempts", "day_attempts")
    ),
}
"""Version -> the statements that lead from it to the next one."""
