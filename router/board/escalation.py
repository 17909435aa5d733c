"""How often the fallback answered in another's place, and why."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from router.meter.kept import kept_tariffs
from router.meter.record import Arm
from router.meter.spans import Range, Source
from router.reason import FALLBACK_FAILED, Reason

NOT_KEPT: Final = "not_kept"
TOLD: Final = {
    **{reason.value: reason.told for reason in Reason},
    FALLBACK_FAILED: "the fallback failed, and a small expert answered",
    NOT_KEPT: "from before reasons were kept",
}

MOST_DOMAINS: Final = 12


def escalations(
    connection: sqlite3.Connection, ranges: Sequence[Range], names: dict[int, str], requests: int
) -> dict[str, Any]:
    """Of the ranges' `requests` those escalated: by reason, and by the domain they looked most like.

    A small expert answers one that was escalated only where the fallback failed: `from_fallback` counts those, and
    `to_fallback` (`share` of all requests) the others. A key that may not use the fallback has another of its own, and
    what that answers is counted as by the fallback.
    """
    reasons: Counter[str] = Counter()
    domains: Counter[str] = Counter()
    tariffs = kept_tariffs(connection)
    for source, bounds in ranges:
        for why, label, answered_by, version, arm, count in connection.execute(_query(source), bounds):
            away = answered_by is not None and version in tariffs and arm != Arm.RESTRICTED
            away = away and names[answered_by] != tariffs[version].fallback.expert
            reasons[FALLBACK_FAILED if away else names.get(why, NOT_KEPT)] += count
            if label is not None:
                domains[names[label]] += count
    to_fallback = reasons.total() - reasons[FALLBACK_FAILED]
    return {
        "requests": reasons.total(),
        "to_fallback": to_fallback,
        "from_fallback": reasons[FALLBACK_FAILED],
        "share": to_fallback / requests if requests else None,
        "by_reason": {name: {"requests": reasons[name], "told": told} for name, told in TOLD.items()},
        "by_domain": dict(domains.most_common(MOST_DOMAINS)),
    }


def _query(source: Source) -> str:
    return (
        f"SELECT r.why, r.label, r.answered_by, r.coefficient_version, r.arm, {source.count} FROM {source.requests} "  # noqa: S608 (made of constants)
        f"WHERE {source.bounds} AND r.escalated IS NOT NULL GROUP BY 1, 2, 3, 4, 5"
    )
