"""Everything the dashboard draws that the ledger and the registry know. `shoal meter overview` prints the same."""

from __future__ import annotations

import sqlite3
from typing import Any

from experts.spec import AnySpec, Registry
from router.board.breakeven import break_even
from router.board.calibration import from_feedback
from router.board.escalation import escalations
from router.board.latency import latency
from router.board.period import Period
from router.board.savings import savings
from router.board.series import series, steps_of
from router.meter.report import report

_PPM = 1_000_000

_SAVED = """
SELECT r.answered_by, count(*),
       sum(r.counterfactual_energy_uj - r.router_energy_uj
           - (SELECT coalesce(sum(a.energy_uj), 0) FROM attempts a WHERE a.request_id = r.request_id))
FROM requests r WHERE r.ts_us >= ? AND r.ts_us < ? AND r.answered_by IS NOT NULL GROUP BY 1
"""


def overview(
    connection: sqlite3.Connection, registry: Registry, since_us: int | None, until_us: int | None
) -> dict[str, Any]:
    """The period's totals and all curves and tables. The connection is in no transaction."""
    totals = report(connection, since_us, until_us)
    connection.execute("BEGIN")
    try:
        period = Period.of(connection, since_us, until_us)
        names: dict[int, str] = dict(connection.execute("SELECT id, name FROM names"))
        least_known = {name: round(policy.out_of_domain * _PPM) for name, policy in registry.policies.items()}
        steps = steps_of(connection, period, names)
        return {
            "totals": totals.to_json(),
            "series": series(steps, period),
            "savings": savings(connection, period, steps),
            "escalations": escalations(connection, period, names, least_known),
            "latency": latency(connection, period, names),
            "calibration": from_feedback(connection, period),
            "break_even": _break_even(connection, registry, period, names),
            "experts": [_expert(spec, registry) for spec in registry.experts],
        }
    finally:
        connection.execute("COMMIT")


def _break_even(
    connection: sqlite3.Connection, registry: Registry, period: Period, names: dict[int, str]
) -> dict[str, Any]:
    saved = {names[expert]: (count, saved_uj) for expert, count, saved_uj in connection.execute(_SAVED, period.bounds)}
    return {
        spec.id: break_even(getattr(spec, "memory_mb", 0), *saved.get(spec.id, (0, 0)), period.hours)
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
