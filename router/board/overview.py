"""Everything the dashboard draws that the ledger and the registry know. `shoal meter overview` prints the same."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any

from experts.spec import AnySpec, Registry
from router.board.breakeven import break_even
from router.board.calibration import from_feedback
from router.board.escalation import escalations
from router.board.latency import latency
from router.board.period import Period
from router.board.savings import savings
from router.board.series import Step, series, steps_of
from router.meter.report import report


def overview(
    connection: sqlite3.Connection, registry: Registry, since_us: int | None, until_us: int | None
) -> dict[str, Any]:
    """The period's totals and all curves and tables. The connection is in no transaction."""
    totals = report(connection, since_us, until_us)
    connection.execute("BEGIN")
    try:
        period = Period.of(connection, since_us, until_us)
        names: dict[int, str] = dict(connection.execute("SELECT id, name FROM names"))
        ranges = period.ranges(connection)
        steps = steps_of(connection, period, ranges, names)
        return {
            "totals": totals.to_json(),
            "series": series(steps, period),
            "savings": savings(connection, period, steps, totals.verified["standing"]),
            "escalations": escalations(connection, ranges, names),
            "latency": latency(connection, period, names),
            "calibration": from_feedback(connection, period),
            "break_even": _break_even(steps, registry, period),
            "experts": [_expert(spec, registry) for spec in registry.experts],
        }
    finally:
        connection.execute("COMMIT")


def _break_even(steps: Sequence[Step], registry: Registry, period: Period) -> dict[str, Any]:
    answered: Counter[str] = Counter()
    saved_uj: Counter[str] = Counter()
    for step in steps:
        answered.update(step.answered)
        saved_uj.update(step.saved_uj)
    return {
        spec.id: break_even(getattr(spec, "memory_mb", 0), answered[spec.id], saved_uj[spec.id], period.hours)
        for spec in registry.experts
        if spec.id != registry.fallback
    }


def _expert(spec: AnySpec, registry: Registry) -> dict[str, Any]:
    return {
        "id": spec.id,
        "description": spec.description,
        "kind": spec.kind,
        "params_b": spec.params_b,
        "fallback": spec.id == registry.fallback,
    }
