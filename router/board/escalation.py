"""How often the fallback answered in another's place, and why."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from itertools import chain
from typing import Any, Final

from router.board.period import Period
from router.meter.record import Role

REASONS: Final = {
    "out_of_domain": "out of every known domain",
    "not_sure": "no small expert sure enough, or able",
    "failed": "the chosen expert failed",
    "answer": "the small expert's answer was not good enough",
}
"""Every reason there is, so that they may be labels of a metric."""


def reason(stage: str, role: Role, *, unknown: bool) -> str:
    """Why a request was escalated: which of `REASONS`.

    `stage` is `before` or `after` and `role` that of the first expert asked, both as in the ledger; `unknown` says
    whether the request was less familiar than its policy asks.
    """
    if stage == "after":
        return "answer"
    if role is not Role.FALLBACK:
        return "failed"
    return "out_of_domain" if unknown else "not_sure"


_ESCALATED = """
WITH bounds (policy, least_ppm) AS (VALUES {values})
SELECT s.name, r.role, coalesce(r.known_ppm < b.least_ppm, 0), r.label, count(*)
FROM requests r JOIN names s ON s.id = r.escalated LEFT JOIN bounds b ON b.policy = r.policy
WHERE r.ts_us >= ? AND r.ts_us < ? GROUP BY 1, 2, 3, 4
"""


def escalations(
    connection: sqlite3.Connection, period: Period, names: dict[int, str], least_known_ppm: Mapping[str, int]
) -> dict[str, Any]:
    """Requests by reason, and by the domain they looked most like. `least_known_ppm` gives each policy's bound."""
    reasons: Counter[str] = Counter()
    domains: Counter[str] = Counter()
    bounds = [(number, least_known_ppm[name]) for number, name in names.items() if name in least_known_ppm] or [(0, 0)]
    query = _ESCALATED.format(values=", ".join(["(?, ?)"] * len(bounds)))
    for stage, role, unknown, label, count in connection.execute(query, (*chain(*bounds), *period.bounds)):
        reasons[reason(stage, Role(role), unknown=bool(unknown))] += count
        if label is not None:
            domains[names[label]] += count
    return {
        "requests": sum(reasons.values()),
        "by_reason": {name: {"requests": reasons[name], "told": told} for name, told in REASONS.items()},
        "by_domain": dict(domains.most_common(12)),
    }
