"""From the ledger's rows to the traffic that savings are estimated from, and what is said of it.

Only routed requests count: who names an expert would not have asked the fallback instead. What was spent on requests
that failed or whose client left is charged, and nothing is credited for them.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from router.meter.holdback import WINDOW_DAYS, Seen
from router.meter.record import Arm, EnergyMethod, Status
from router.meter.rows import SHADOW_N
from router.meter.savings import (
    TABLE_SPREAD,
    Estimate,
    Held,
    Standing,
    Traffic,
    coefficient_interval,
    estimate,
    standing,
)

UNITS: Final = ("cost", "energy", "co2")
_PER_OUTSIDE: Final = {"cost": 1e9, "energy": 1e6, "co2": 1e6}
"""Ledger units in a dollar, a joule and a gram."""

MODELLED_SPREAD: Final = 0.17
"""As `TABLE_SPREAD`, of watts per busy core: the quartiles of SPECpower's EPYC 9xx5 rows are 2.24 and 2.84 W, n=41."""

_SPENT: Final = """
SELECT sum(a.cost_nusd), sum(a.energy_uj), sum(a.co2_ug)
FROM requests r JOIN attempts a USING (request_id)
WHERE r.policy IS NOT NULL AND r.ts_us >= :since AND r.ts_us < :until
"""

_ROUTER: Final = """
SELECT 0, sum(r.router_energy_uj), sum(r.router_co2_ug)
FROM requests r WHERE r.policy IS NOT NULL AND r.ts_us >= :since AND r.ts_us < :until
"""

_KNOWN: Final = """
SELECT sum(a.cost_nusd), sum(a.energy_uj), sum(a.co2_ug)
FROM requests r JOIN attempts a USING (request_id)
WHERE r.policy IS NOT NULL AND r.ts_us >= :since AND r.ts_us < :until
  AND r.status = :ok AND a.status = :ok AND a.expert = r.fallback AND a.n <> :shadow
"""

_SMALL: Final = """
SELECT r.label, count(*), sum(a.input_tokens), sum(a.output_tokens), sum(r.probability_ppm) / 1e6,
       sum(r.counterfactual_cost_nusd), sum(r.counterfactual_energy_uj), sum(r.counterfactual_co2_ug),
       sum(a.cost_nusd), sum(a.energy_uj), sum(a.co2_ug)
FROM requests r JOIN attempts a ON a.request_id = r.request_id AND a.expert = r.answered_by AND a.status = :ok
WHERE r.policy IS NOT NULL AND r.ts_us >= :since AND r.ts_us < :until
  AND r.status = :ok AND r.arm = :normal AND r.answered_by <> r.fallback
GROUP BY r.label
"""

_HELD: Final = """
SELECT r.label, s.input_tokens, s.output_tokens, coalesce(r.probability_ppm, 0) / 1e6, r.pi_ppm / 1e6, r.conversation,
       f.cost_nusd, f.energy_uj, f.co2_ug
FROM requests r
JOIN attempts s ON s.request_id = r.request_id AND s.n = :shadow AND s.status = :ok
JOIN attempts f ON f.request_id = r.request_id AND f.n <> :shadow AND f.expert = r.fallback AND f.status = :ok
WHERE r.policy IS NOT NULL AND r.ts_us >= :since AND r.ts_us < :until AND r.status = :ok AND r.arm = :holdback
"""

_BY_EXPERT: Final = """
SELECT n.name, a.energy_method, sum(a.energy_uj)
FROM requests r JOIN attempts a USING (request_id) JOIN names n ON n.id = a.expert
WHERE r.policy IS NOT NULL AND r.ts_us >= :since AND r.ts_us < :until GROUP BY 1, 2
"""

_FALLBACK: Final = """
SELECT n.name FROM requests r JOIN names n ON n.id = r.fallback
WHERE r.policy IS NOT NULL AND r.ts_us >= :since AND r.ts_us < :until ORDER BY r.ts_us DESC LIMIT 1
"""

_END_OF_TIME_US: Final = 2**62


@dataclass(frozen=True, slots=True)
class Paired:
    """A period's traffic as the estimator takes it, and the naive figure's parts; units are those of the ledger."""

    traffic: Traffic
    same_tokens: np.ndarray
    """(u,), the small answers' tokens at the fallback's rate."""
    small_spent: np.ndarray
    """(u,), what those answers themselves took."""

    @property
    def eligible(self) -> int:
        """Requests whose answer a small expert gave, or would have given."""
        return int(self.traffic.rows.sum()) + len(self.traffic.held.domain)


def read(connection: sqlite3.Connection, since_us: int | None = None, until_us: int | None = None) -> Paired:
    """The routed requests that began in a period (microseconds since 1970, end not included, None for open)."""

    def ask(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query, _parameters(since_us, until_us)).fetchall()

    spent, router, known = (_amounts(ask(query)[0]) for query in (_SPENT, _ROUTER, _KNOWN))
    small, held = ask(_SMALL), ask(_HELD)
    domains = {label: at for at, label in enumerate(dict.fromkeys(row[0] for row in (*small, *held)))}
    rows, sums = np.zeros(max(len(domains), 1)), np.zeros((max(len(domains), 1), 3))
    for label, count, *numbers in small:
        rows[domains[label]], sums[domains[label]] = count, _amounts(numbers[:3])
    naive = np.array([_amounts(row[5:]) for row in small]).reshape(-1, 6).sum(axis=0)
    return Paired(Traffic(spent + router, known, rows, sums, _held(held, domains)), naive[:3], naive[3:])


def savings(connection: sqlite3.Connection, since_us: int | None = None, until_us: int | None = None) -> dict[str, Any]:
    """What is said of a period's savings, in dollars, joules and grams; shares have 95 % intervals.

    A period should be a fixed one, a month, say: who looks every day and stops when it pleases has another interval.
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
    }
    if found is Standing.UNVERIFIED:
        return said
    estimates = estimate(paired.traffic)
    for at, (unit, each) in enumerate(zip(UNITS, estimates, strict=True)):
        said[unit] = _said(each, float(paired.traffic.spent[at]), _PER_OUTSIDE[unit])
        said[unit]["same_tokens_differs_by"] = _difference(paired, at, each)
    said["energy"]["coefficients"] = _coefficients(connection, since_us, until_us, estimates[UNITS.index("energy")])
    return said


def seen(paired: Paired, days: float) -> Seen:
    """What the next rate is planned from, of a period of so many days."""
    held = paired.traffic.held
    eligible = round(paired.eligible * WINDOW_DAYS / days)
    conversations = len(np.unique(held.conversation))
    if standing(held) is Standing.UNVERIFIED or not held.fallback.any():
        return Seen(eligible, conversations)
    unit = int(np.argmax(held.fallback.any(axis=0)))
    values = held.fallback[:, unit]
    points = np.hstack([np.ones((len(values), 1)), held.points])
    missed = values - points @ np.linalg.lstsq(points, values, rcond=None)[0]
    whole = estimate(paired.traffic)[unit].counterfactual
    return Seen(
        eligible,
        conversations,
        variation=float(values.std() / values.mean()),
        explained=float(np.clip(1 - missed.var() / max(values.var(), 1e-9), 0, 0.99)),
        doubt=float(np.clip(1 - paired.traffic.known[unit] / whole, 0.01, 1)),
    )


def _parameters(since_us: int | None, until_us: int | None) -> dict[str, int]:
    """What every query may name."""
    return {
        "since": since_us or 0,
        "until": _END_OF_TIME_US if until_us is None else until_us,
        "ok": Status.OK,
        "normal": Arm.NORMAL,
        "holdback": Arm.HOLDBACK,
        "shadow": SHADOW_N,
    }


def _amounts(row: tuple[Any, ...] | list[Any]) -> np.ndarray:
    return np.array([0 if each is None else each for each in row], float)


def _held(rows: list[tuple[Any, ...]], domains: dict[Any, int]) -> Held:
    talks = {talk: at for at, talk in enumerate(dict.fromkeys(row[5] for row in rows))}
    numbers = np.array([[*row[1:5], *row[6:]] for row in rows], float).reshape(-1, 7)
    return Held(
        domain=np.array([domains[row[0]] for row in rows], np.intp),
        points=numbers[:, :3],
        fallback=numbers[:, 4:],
        rate=numbers[:, 3],
        conversation=np.array([talks[row[5]] for row in rows], np.intp),
    )


def _said(each: Estimate, spent: float, per_outside: float) -> dict[str, Any]:
    return {
        "counterfactual": each.counterfactual / per_outside,
        "spent": spent / per_outside,
        "saved": (each.counterfactual - spent) / per_outside,
        "share": _finite(each.share),
        "low": _finite(each.low),
        "high": _finite(each.high),
    }


def _same_tokens(paired: Paired) -> dict[str, float | None]:
    """The figure others publish: answered tokens at the fallback's rate; no router, nothing discarded, no shadow."""
    naive = paired.traffic.known + paired.same_tokens
    spent = paired.traffic.known + paired.small_spent
    return {unit: float(1 - spent[at] / naive[at]) if naive[at] > 0 else None for at, unit in enumerate(UNITS)}


def _difference(paired: Paired, at: int, each: Estimate) -> dict[str, float | None]:
    """Why the naive share is another, in shares: another length of answer, and what it does not charge."""
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
) -> dict[str, float]:
    """The second interval: joules per token and watts per core are themselves in doubt, the same for all rows."""
    period = _parameters(since_us, until_us)
    spent: dict[str, float] = {}
    variance: dict[str, float] = {}
    for name, method, energy_uj in connection.execute(_BY_EXPERT, period):
        spent[name] = spent.get(name, 0.0) + energy_uj
        variance[name] = variance.get(name, 0.0) + energy_uj * _SPREADS.get(EnergyMethod(method), 0.0) ** 2
    (fallback,) = connection.execute(_FALLBACK, period).fetchone()
    spread = {name: (variance[name] / spent[name]) ** 0.5 for name in spent if spent[name] > 0}
    low, high = coefficient_interval(spent, fallback, energy.counterfactual, spread)
    return {"low": low, "high": high}


_SPREADS: Final = {EnergyMethod.TABLE: TABLE_SPREAD, EnergyMethod.MODELLED: MODELLED_SPREAD}


def _finite(share: float) -> float | None:
    return share if np.isfinite(share) else None
