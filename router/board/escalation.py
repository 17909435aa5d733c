"""How often the fallback answered in another's place, and why."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from router.meter.spans import Range, Source
from router.reason import Reason

NOT_KEPT: Final = "not_kept"
TOLD: Final = {**{reason.value: reason.told for reason in Reason}, NOT_KEPT: "from before reasons were kept"}

MOST_DOMAINS: Final = 12


def escalations(
    connection: sqlite3.Connection, ranges: Sequence[Range], names: dict[int, str], requests: int
) -> dict[str, Any]:
    """Of the ranges' `requests` those escalated: by reason, and by the domain they looked most like."""
    reasons: Counter[str] = Counter()
    domains: Counter[str] = Counter()
    for source, bounds in ranges:
        for why, label, count in connection.execute(_query(source), bounds):
            reasons[names.get(why, NOT_KEPT)] += count
            if label is not None:
                domains[names[label]] += count
    return {
        "requests": sum(reasons.values()),
        "share": sum(reasons.values()) / requests if requests else None,
        "by_reason": {name: {"requests": reasons[name], "told": told} for name, told in TOLD.items()},
        "by_domain": dict(domains.most_common(MOST_DOMAINS)),
    }


def _query(source: Source) -> str:
    return (
        f"SELECT r.why, r.label, {source.count} FROM {source.requests} "  # noqa: S608 (made of constants)
        f"WHERE {source.bounds} AND r.escalated IS NOT NULL GROUP BY 1, 2"
    )
