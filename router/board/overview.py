"""Everything the dashboard draws that the ledger and the registry know. `shoal meter overview` prints the same."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from experts.spec import AnySpec, OpenAISpec, Registry
from router.board.breakeven import break_even, holding
from router.board.calibration import from_feedback
from router.board.escalation import escalations
from router.board.latency import latency
from router.board.period import Period
from router.board.savings import savings
from router.board.series import Step, Steps, series, steps_of
from router.meter.by_group import saved_by_answers
from router.meter.compared import Compared
from router.meter.cost import unit_price
from router.meter.idle import Idle
from router.meter.report import report_within, snapshot
from router.meter.savings import Standing

PACE_HOURS: Final = 1.0
"""The least time from which requests a day are told: one request a second after the first start is no pace."""


def overview(
    connection: sqlite3.Connection, registry: Registry, since_us: int | None, until_us: int | None
) -> dict[str, Any]:
    """The period's totals and all curves and tables, of one moment. The connection is in no transaction."""
    with snapshot(connection):
        totals = report_within(connection, since_us, until_us)
        period = Period.of(connection, totals.since_us, totals.until_us)
        names: dict[int, str] = dict(connection.execute("SELECT id, name FROM names"))
        ranges = period.ranges(connection)
        taken = steps_of(connection, period, ranges, names, registry.fallback)
        steps = list(taken.steps.values())
        # Of all together too few are held back where of each one are: then the ledger is not read again.
        verified = totals.routed["standing"] != Standing.UNVERIFIED
        measured = saved_by_answers(connection, period.since_us, period.until_us) if verified else {}
        even = _break_even(taken, registry, period, totals.idle.devices, measured)
        return {
            "period": {"from_s": period.since_us / 1e6, "to_s": period.until_us / 1e6},
            "totals": totals.to_json(),
            "series": series(steps, period),
            "savings": savings(connection, period, totals.routed["standing"]),
            "escalations": escalations(connection, ranges, names, totals.total.requests),
            "latency": latency(connection, period, names),
            "calibration": from_feedback(connection, period),
            "answered": answered(steps),
            "energy_mix": shares(Counter({method.label: uj for method, uj in totals.by_method.items()})),
            "break_even": even,
            "paying": {side: _paying([row[side] for row in even.values()]) for side in ("energy", "money")},
            "experts": [_expert(spec, registry) for spec in registry.experts],
        }


def answered(steps: Sequence[Step]) -> dict[str, Any]:
    """Answers in all and by expert, with each one's share."""
    counts: Counter[str] = Counter()
    for step in steps:
        counts.update(step.answered)
    whole, share = counts.total(), shares(counts)
    by_expert = {name: {"requests": count, "share": share[name]} for name, count in counts.most_common()}
    return {"requests": whole, "by_expert": by_expert}


def shares(counts: Counter[str]) -> dict[str, float | None]:
    """Each one's part of the whole; None of nothing."""
    whole = counts.total()
    return {name: count / whole if whole else None for name, count in counts.items()}


def _paying(sides: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    pay, undecided = (sum(bool(side[name]) for side in sides) for name in ("pays", "undecided"))
    unknown = sum(side["pays"] is None for side in sides) - undecided
    return {"experts": len(sides), "pay": pay, "undecided": undecided, "unknown": unknown}


def _break_even(
    taken: Steps, registry: Registry, period: Period, idle: Mapping[str, Idle], measured: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Of every expert but what the period's rows name as fallback: a ledger may be read beside another registry."""
    fallbacks = taken.fallbacks or {registry.fallback}
    beside = Counter(spec.device for spec in registry.experts)
    device_w = {name: one.energy_uj / 1e6 / (period.hours * 3600) / max(beside[name], 1) for name, one in idle.items()}
    days = max(period.hours, PACE_HOURS) / 24
    priced = {spec.id for spec in registry.experts if unit_price(spec).version}

    def even(spec: AnySpec) -> dict[str, Any]:
        held, own = holding(spec, registry.power, device_w), taken.own.get(spec.id, Compared())
        return break_even(held, own, days, priced, asked=spec.id in taken.asked, measured=measured.get(spec.id))

    return {spec.id: even(spec) for spec in registry.experts if spec.id in taken.own or spec.id not in fallbacks}


def _expert(spec: AnySpec, registry: Registry) -> dict[str, Any]:
    return {
        "id": spec.id,
        "description": spec.description,
        "kind": spec.kind,
        "params_b": spec.params_b,
        "priced": bool(unit_price(spec).version),
        "fallback": spec.id == registry.fallback,
        "at": _at(spec),
    }


def _at(spec: AnySpec) -> str | None:
    """Host and port of an expert that is another server; None of one that Shoal itself runs."""
    return f"{spec.url.host}:{spec.url.port}" if isinstance(spec, OpenAISpec) else None
