"""Every figure of the ledger computed again from what its raw rows say was used, bit for bit.

What was measured cannot be computed again: there the rows must add up to what the devices' counters gave. What is told
and not computed (who asked, which domain, how it was drawn) is compared with the sums of its hour and the hash of its
rows, as soon as there are some. What a row says in several places must be one story. `UNCHECKED` and `ON_TRUST` are
what is left.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from router.meter.findings import Audit
from router.meter.recount import Recount
from router.meter.sums import check_devices, check_hours, check_savings, check_totals

UNCHECKED: Final[Mapping[str, str]] = {
    "names.name": "a word that stands for its number; renamed, it is renamed in every row alike",
    "boots.name": "of a lock file that is gone when the run has ended",
    "boots.pid": "of a process that is gone",
    "boots.started_us": "nothing else says when a run began",
    "boots.ended_us": "nothing else says when a run ended",
    "requests.encode_us": "a time, used in no figure",
    "requests.checkpoint_tokens": "replaced by what was counted when the request ended; checked where it never did",
    "attempts.token_source": "who counted; used in no figure",
    "attempts.finish_reason": "told by the expert",
    "feedback.request_id": "of a request whose row may be gone",
    "vectors.request_id": "of a request whose row may be gone",
    "texts.request_id": "of a request whose row may be gone",
    "feedback.ts_us": "told by the client",
    "feedback.score_ppm": "told by the client",
    "vectors.maker": "to learn from; in no figure",
    "vectors.vector": "to learn from; in no figure",
    "vectors.surface": "to learn from; in no figure",
    "pairs.same": "the answers are not kept",
    "pairs.small_ppm": "the answers are not kept",
    "pairs.fallback_ppm": "the answers are not kept",
    "texts.text": "to learn from; in no figure",
    "texts.expected": "told by the client",
    "texts.comment": "told by the client",
    "device_hours.hour": "a counter's reading is kept as sums of its hour only",
    "device_hours.device": "a counter's reading is kept as sums of its hour only",
    "device_hours.method": "a counter's reading is kept as sums of its hour only",
    "device_hours.pue_ppm": "of a registry that may have been edited since",
    "device_hours.idle_co2_ug": "added up at the intensity of each moment",
    "device_hours.samples": "how often a counter was read",
    "device_hours.missed": "how often a counter could not be read",
    "device_slices.since_us": "nothing else says when in its hour it was",
    "device_slices.until_us": "nothing else says when in its hour it was",
}
"""Columns of which nothing tells whether they were changed, and why."""

ON_TRUST: Final = (
    "Rows of hours not added up yet, the last two as a rule: when within ten minutes a request came, its conversation, "
    "the share it was drawn with, who asked and for what.",
    "Devices: a counter's reading and its parts all changed alike; idle energy by watts, where there is no counter.",
    "Whoever deletes a request with its attempts, or changes rows, and makes the hour's sums and hashes anew: for that "
    "a copy of the ledger has to be compared.",
)
"""What an audit cannot tell, in words."""


def audit(connection: sqlite3.Connection, key: bytes | None = None) -> Audit:
    """Look at everything, as it was at one moment. `key` is the one that draws are made with, where it is at hand."""
    found = Audit()
    connection.execute("BEGIN")
    try:
        Recount(connection, found, key).check()
        check_hours(connection, found)
        check_totals(connection, found)
        check_savings(connection, found)
        check_devices(connection, found)
    finally:
        connection.execute("COMMIT")
    return found
