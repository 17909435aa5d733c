"""How often the fallback answered in another's place, and why."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
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


def reason(stage: str, role: Role, known_ppm: int | None, least_known_ppm: int) -> str:
    """Why a request was escalated: which of `REASONS`.

    `stage` is `before` or `after` and `role` that of the first expert asked, both as in the ledger; `least_known_ppm`
    is the policy's `out_of_domain`.
    """
    if stage == "after":
        return "answer"
    if role is not Role.FALLBACK:
        return "failed"
    return "out_of_domain" if known_ppm is not None and known_ppm < least_known_ppm else "not_sure"


_ESCALATED = """
SELECT s.name, r.role, p.name, r.known_ppm, r.label, count(*)
FROM requests r JOIN names s ON s.id = r.escalated LEFT JOIN names p ON p.id = r.policy
WHERE r.ts_us >= ? AND r.ts_us < ? GROUP BY 1, 2, 3, 4, 5
"""


def escalations(
    connection: sqlite3.Connection, period: Period, names: dict[int, str], least_known_ppm: Mapping[str, int]
) -> dict[str, Any]:
    """Requests by reason, and by the domain they looked most like. `least_known_ppm` gives each policy's bound."""
    reasons: Counter[str] = Counter()
    domains: Counter[str] = Counter()
    for stage, role, policy, known_ppm, label, count in connection.execute(_ESCALATED, period.bounds):
        reasons[reason(stage, Role(role), known_ppm, least_known_ppm.get(policy, 0))] += count
        if label is not None:
            domains[names[label]] += count
    return {
        "requests": sum(reasons.values()),
        "by_reason": {name: {"requests": reasons[name], "told": told} for name, told in REASONS.items()},
        "by_domain": dict(domains.most_common(12)),
    }
