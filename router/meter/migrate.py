"""An older ledger brought to today's tables, in place: one step from each version to the next.

router/store.py runs them in the transaction that also writes the new version, so a ledger is never between two.
A step, once released, is never edited; `schema.TABLES` says what all of them lead to, and a test that they do.
"""

from __future__ import annotations

from typing import Final

from router.meter import hours_schema

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
    2: hours_schema.TABLES,
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
}
"""Version -> the statements that lead from it to the next one."""
