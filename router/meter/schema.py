"""The ledger's tables. Integers only, strings once in `names`; never a word of a prompt or an answer outside `texts`.

A request is one row of `requests`, written as STARTED before the first upstream byte and completed when it has ended,
and one row of `attempts` for every expert that was asked. A rowid-less table keyed by the 16 bytes of a ULID is written
in the order of time and found without a second index. Amounts are nano-dollars, microjoules, micrograms, microseconds
and millionths.

`vectors`, `feedback` and `texts` are what the judge learns from; `texts` stays empty unless the registry asks for it.
`rejected` has answers whose score below one half is forgotten, as long as the rows of their requests are kept.
"""

from __future__ import annotations

from router.meter import hours_schema

VERSION = 14
"""Of these tables, kept in SQLite's user_version. An older file is brought to it by migrate.py, a newer one refused."""

APPLICATION_ID = 0x53484F41
"""'SHOA', kept in SQLite's application_id, so that `file` and we can tell a ledger from another database."""

TABLES = (
    """
CREATE TABLE names (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE boots (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    pid INTEGER NOT NULL,
    started_us INTEGER NOT NULL,
    ended_us INTEGER
) STRICT;

CREATE TABLE seeds (
    version INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL
) STRICT;

CREATE TABLE requests (
    request_id BLOB NOT NULL PRIMARY KEY,
    boot INTEGER NOT NULL,
    status INTEGER NOT NULL,
    ts_us INTEGER NOT NULL,
    endpoint INTEGER,
    requested_model INTEGER,
    policy INTEGER,
    expert INTEGER,
    fallback INTEGER,
    role INTEGER NOT NULL,
    label INTEGER,
    probability_ppm INTEGER,
    threshold_ppm INTEGER,
    known_ppm INTEGER,
    registry_version INTEGER,
    key INTEGER,
    stream INTEGER NOT NULL,
    retry_count INTEGER NOT NULL,
    grid_version INTEGER,
    ci_mg_per_kwh INTEGER,
    coefficient_version INTEGER,
    arm INTEGER NOT NULL DEFAULT 0,
    pi_ppm INTEGER,
    seed_version INTEGER,
    conversation BLOB,
    checkpoint_tokens INTEGER NOT NULL DEFAULT 0,
    answered_by INTEGER,
    escalated INTEGER,
    router_cpu_us INTEGER NOT NULL DEFAULT 0,
    router_energy_uj INTEGER NOT NULL DEFAULT 0,
    router_co2_ug INTEGER NOT NULL DEFAULT 0,
    encode_us INTEGER NOT NULL DEFAULT 0,
    first_byte_us INTEGER,
    total_us INTEGER,
    counterfactual_cost_nusd INTEGER NOT NULL DEFAULT 0,
    counterfactual_energy_uj INTEGER NOT NULL DEFAULT 0,
    counterfactual_co2_ug INTEGER NOT NULL DEFAULT 0,
    error_code INTEGER,
    why INTEGER,
    router_method INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_time ON requests (ts_us);
CREATE INDEX requests_open ON requests (boot) WHERE status = 0;
CREATE INDEX requests_held ON requests (ts_us) WHERE arm = 1;

CREATE TABLE attempts (
    request_id BLOB NOT NULL,
    n INTEGER NOT NULL,
    expert INTEGER,
    role INTEGER NOT NULL,
    status INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    token_source INTEGER,
    cpu_us INTEGER NOT NULL DEFAULT 0,
    cost_nusd INTEGER NOT NULL DEFAULT 0,
    price_version INTEGER,
    energy_uj INTEGER NOT NULL DEFAULT 0,
    energy_method INTEGER NOT NULL DEFAULT 0,
    co2_ug INTEGER NOT NULL DEFAULT 0,
    first_byte_us INTEGER,
    total_us INTEGER NOT NULL DEFAULT 0,
    finish_reason INTEGER,
    error_code INTEGER,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (request_id, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE feedback (
    request_id BLOB NOT NULL PRIMARY KEY,
    ts_us INTEGER NOT NULL,
    score_ppm INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE rejected (
    request_id BLOB NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE vectors (
    request_id BLOB NOT NULL PRIMARY KEY,
    maker INTEGER NOT NULL,
    vector BLOB NOT NULL,
    surface BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pairs (
    request_id BLOB NOT NULL PRIMARY KEY,
    same INTEGER NOT NULL,
    small_ppm INTEGER,
    fallback_ppm INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE texts (
    request_id BLOB NOT NULL PRIMARY KEY,
    text TEXT,
    expected TEXT,
    comment TEXT
) STRICT, WITHOUT ROWID;
"""
    + hours_schema.TABLES
)

STARTED_COLUMNS = (
    "request_id", "boot", "status", "ts_us", "endpoint", "requested_model", "policy", "expert", "fallback", "role",
    "label", "probability_ppm", "threshold_ppm", "known_ppm", "registry_version", "key", "stream", "retry_count",
    "grid_version", "ci_mg_per_kwh", "coefficient_version", "arm", "pi_ppm", "seed_version", "conversation",
)  # fmt: skip
"""What is written of a request when it begins, in this order."""

FINISHED_COLUMNS = (
    "status", "answered_by", "escalated", "why", "router_cpu_us", "router_energy_uj", "router_co2_ug", "encode_us",
    "first_byte_us", "total_us", "counterfactual_cost_nusd", "counterfactual_energy_uj", "counterfactual_co2_ug",
    "error_code",
)  # fmt: skip
"""What is written of a request when it ends, after its id, in this order. `router_method` is not: the router's energy
is modelled then, and becomes measured where a counter says so."""

ATTEMPT_COLUMNS = (
    "request_id", "n", "expert", "role", "status", "input_tokens", "output_tokens", "cached_tokens",
    "reasoning_tokens", "token_source", "cpu_us", "cost_nusd", "price_version", "energy_uj", "energy_method", "co2_ug",
    "first_byte_us", "total_us", "finish_reason", "error_code", "cache_write_tokens",
)  # fmt: skip
"""What is written of an attempt, in this order; what came later is last, for seals to leave it out where it is 0."""

VECTOR_COLUMNS = ("request_id", "maker", "vector", "surface")
TEXT_COLUMNS = ("request_id", "text")
FEEDBACK_COLUMNS = ("request_id", "ts_us", "score_ppm")
PAIR_COLUMNS = ("request_id", "same", "small_ppm", "fallback_ppm")

SIZES = (*range(1, 17), 32, 64)
"""Rows that one execution can write. SQLite's driver gives the interpreter lock away at each execution, and a busy
event loop keeps it for a while, so a batch should need few of them."""

Statements = dict[int, str]
"""The same statement for each of `SIZES` rows."""


def _values(width: int, rows: int) -> str:
    row = "(" + ",".join("?" * width) + ")"
    return "VALUES " + ",".join([row] * rows)


def _insert(table: str, columns: tuple[str, ...]) -> Statements:
    # A second write of the same row can only be a repeat after a commit whose end was not seen.
    verb = "INSERT OR REPLACE" if table in ("attempts", "pairs") else "INSERT"
    head = f"{verb} INTO {table} ({','.join(columns)}) "
    return {rows: head + _values(len(columns), rows) for rows in SIZES}


def _update(columns: tuple[str, ...]) -> Statements:
    changes = ",".join(f"{name}=v.column{place}" for place, name in enumerate(columns, start=2))
    head = f"UPDATE requests SET {changes} FROM ("  # noqa: S608 (made of constants)
    tail = ") AS v WHERE request_id=v.column1"
    return {rows: head + _values(1 + len(columns), rows) + tail for rows in SIZES}


INSERT_STARTED = _insert("requests", STARTED_COLUMNS)
UPDATE_FINISHED = _update(FINISHED_COLUMNS)
INSERT_ATTEMPTS = _insert("attempts", ATTEMPT_COLUMNS)
UPDATE_ARM = _update(("arm",))
UPDATE_CHECKPOINT = _update(("checkpoint_tokens",))
INSERT_VECTORS = _insert("vectors", VECTOR_COLUMNS)
INSERT_TEXTS = _insert("texts", TEXT_COLUMNS)
INSERT_PAIRS = _insert("pairs", PAIR_COLUMNS)
KEEP_TARIFFS = "INSERT INTO tariffs (version, body) VALUES (?, ?) ON CONFLICT DO NOTHING"
FEEDBACK = f"SELECT {', '.join(FEEDBACK_COLUMNS)} FROM feedback WHERE request_id = ?"  # noqa: S608
REPLACE_FEEDBACK = f"INSERT OR REPLACE INTO feedback ({', '.join(FEEDBACK_COLUMNS)}) VALUES (?, ?, ?)"  # noqa: S608
"""Of several for one request the last counts."""
REMARK = """INSERT INTO texts (request_id, expected, comment) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET expected = excluded.expected, comment = excluded.comment"""


def largest_size(rows: int) -> int:
    """The largest of `SIZES` that is at most `rows`; `rows` is at least 1."""
    return rows if rows <= 16 else 64 if rows >= 64 else 32 if rows >= 32 else 16
