"""What is said of savings: the share with its interval, how sure the joules are, the quality gap, the usual figure.

A period should be a fixed one, a month, say: who looks every day and stops when it pleases has another interval.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import numpy as np

from router.meter.paired import UNITS, Paired, fallback_of, read
from router.meter.record import EnergyMethod
from router.meter.savings import (
    TABLE_SPREAD,
    Estimate,
    Standing,
    coefficient_interval,
    estimate,
    paired_gap,
    standing,
)
from router.meter.spans import FOREVER_US, Source, spans

OUTSIDE: Final = {"cost": ("cost_usd", 1e9), "energy": ("energy_j", 1e6), "co2": ("co2_g", 1e6)}
"""What a unit is called outside the ledger, and how many of the ledger's make one."""

MODELLED_SPREAD: Final = 0.17
"""As `TABLE_SPREAD`, of watts per busy core: the quartiles of SPECpower's EPYC 9xx5 rows are 2.24 and 2.84 W, n=41."""

_SPREADS: Final = {EnergyMethod.TABLE: TABLE_SPREAD, EnergyMethod.MODELLED: MODELLED_SPREAD}

_BY_EXPERT: Final = """
SELECT n.name, {own}.energy_method, sum({own}.energy_uj)
FROM {attempts} JOIN names n ON n.id = {own}.expert WHERE {bounds} AND r.policy IS NOT NULL GROUP BY 1, 2
"""

_PAIRS: Final = """
SELECT p.same, p.small_ppm / 1e6, p.fallback_ppm / 1e6, r.pi_ppm / 1e6, r.conversation
FROM pairs p CROSS JOIN requests r USING (request_id) WHERE r.ts_us >= ? AND r.ts_us < ?
"""


def savings(connection: sqlite3.Connection, since_us: int | None = None, until_us: int | None = None) -> dict[str, Any]:
    """What is said of a period's savings (microseconds since 1970, end not included, None for open).

    In dollars, joules and grams; shares have 95 % intervals. `low`, `high` and what depends on them are None until
    enough was held back.
    """
    paired = read(connection, since_us, until_us)
    held = paired.traffic.held
    found = standing(held)
    said: dict[str, Any] = {
        "standing": str(found),
        "verified": found is Standing.PUBLISHED,
        "held_back": {"requests": len(held.domain), "conversations": len(np.unique(held.conversation))},
        "eligible": paired.eligible,
        "same_tokens": _same_tokens(paired),
        "low": None,
        "high": None,
        "coefficients": None,
        "differs_by": None,
        "quality": _quality(connection, since_us, until_us),
    }
    if found is Standing.UNVERIFIED:
        return said
    estimates = dict(zip(UNITS, estimate(paired.traffic), strict=True))
    for at, (unit, each) in enumerate(estimates.items()):
        name, many = OUTSIDE[unit]
        said[name] = (each.counterfactual - float(paired.traffic.spent[at])) / many
    return said | {
        "share": {unit: _finite(each.share) for unit, each in estimates.items()},
        "low": {unit: _finite(each.low) for unit, each in estimates.items()},
        "high": {unit: _finite(each.high) for unit, each in estimates.items()},
        "coefficients": _coefficients(connection, since_us, until_us, estimates["energy"]),
        "differs_by": {unit: _difference(paired, at, each) for at, (unit, each) in enumerate(estimates.items())},
    }


def _same_tokens(paired: Paired) -> dict[str, float | None]:
    """The figure others publish: answered tokens at the fallback's rate; no router, nothing discarded, no shadow."""
    naive = paired.traffic.known + paired.same_tokens
    spent = paired.traffic.known + paired.small_spent
    return {unit: float(1 - spent[at] / naive[at]) if naive[at] > 0 else None for at, unit in enumerate(UNITS)}


def _difference(paired: Paired, at: int, each: Estimate) -> dict[str, float | None]:
    """Why the usual share is another, in shares: answers of another length, and what it does not charge."""
    naive = float(paired.traffic.known[at] + paired.same_tokens[at])
    spent = float(paired.traffic.known[at] + paired.small_spent[at])
    if naive <= 0 or each.counterfactual <= 0:
        return {"length": None, "uncharged": None}
    return {
        "length": spent / each.counterfactual - spent / naive,
        "uncharged": (float(paired.traffic.spent[at]) - spent) / each.counterfactual,
    }


def _coefficients(
    connection: sqlite3.Connection, since_us: int | None, until_us: int | None, energy: Estimate
) -> dict[str, float] | None:
    """The second interval: joules per token and watts per core are themselves in doubt, the same for all rows."""
    spent: dict[str, float] = {}
    variance: dict[str, float] = {}
    for source, bounds in spans(connection, since_us, until_us):
        for name, method, energy_uj in connection.execute(_by_expert(source), bounds):
            spent[name] = spent.get(name, 0.0) + energy_uj
            variance[name] = variance.get(name, 0.0) + energy_uj * _SPREADS.get(EnergyMethod(method), 0.0) ** 2
    fallback = fallback_of(connection)
    if fallback is None or energy.counterfactual <= 0:
        return None
    spread = {name: (variance[name] / spent[name]) ** 0.5 for name in spent if spent[name] > 0}
    low, high = coefficient_interval(spent, fallback, energy.counterfactual, spread)
    return {"low": low, "high": high}


def _by_expert(source: Source) -> str:
    return _BY_EXPERT.format(own=source.own, attempts=source.attempts, bounds=source.bounds)


def _quality(connection: sqlite3.Connection, since_us: int | None, until_us: int | None) -> dict[str, Any]:
    """How the two answers to one held-back request compare: word for word and, where a grader is set, in its eyes."""
    period = (since_us or 0, FOREVER_US if until_us is None else until_us)
    rows = connection.execute(_PAIRS, period).fetchall()
    said: dict[str, Any] = {
        "pairs": len(rows),
        "same_answer": sum(row[0] for row in rows) / len(rows) if rows else None,
        "gap": None,
    }
    graded = [row for row in rows if row[1] is not None and row[2] is not None]
    talks = {talk: at for at, talk in enumerate(dict.fromkeys(row[4] for row in graded))}
    if len(talks) < 2:
        return said
    small, fallback, rate = (np.array([row[at] for row in graded], float) for at in (1, 2, 3))
    mean, low, high = paired_gap(small, fallback, rate, np.array([talks[row[4]] for row in graded], np.intp))
    return said | {"gap": {"mean": mean, "low": low, "high": high, "graded": len(graded)}}


def _finite(share: float) -> float | None:
    return share if np.isfinite(share) else None
