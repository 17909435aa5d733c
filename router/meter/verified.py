"""What is said of savings: the share with its interval, how sure the joules are, the quality gap, the usual figure.

A period should be a fixed one, a month, say: who looks every day and stops when it pleases has another interval.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from router.meter.paired import UNITS, Paired, read
from router.meter.record import Arm
from router.meter.savings import TABLE_SPREAD, Estimate, Standing, alone, coefficient_interval, estimate, paired_gap
from router.meter.segment import COUNTERS, WATTS, Plain, Segment
from router.meter.spans import FOREVER_US

OUTSIDE: Final = {"cost": ("cost_usd", 1e9), "energy": ("energy_j", 1e6), "co2": ("co2_g", 1e6)}
"""What a unit is called outside the ledger, and how many of the ledger's make one."""

MODELLED_SPREAD: Final = 0.17
"""As `TABLE_SPREAD`, of watts per busy core: the quartiles of SPECpower's EPYC 9xx5 rows are 2.24 and 2.84 W, n=41."""

_SPREADS: Final = {WATTS: MODELLED_SPREAD, COUNTERS: 0.0}
"""Of all others `TABLE_SPREAD`."""

_WHY: Final[Mapping[int, str]] = {arm: arm.name.lower() for arm in Arm}

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
    sure = paired.sure
    said: dict[str, Any] = {
        "standing": str(paired.standing),
        "verified": paired.standing is Standing.PUBLISHED,
        "held_back": _held_back(paired.segments),
        "eligible": paired.eligible,
        "same_tokens": _same_tokens(sure or paired.segments),
        "low": None,
        "high": None,
        "coefficients": None,
        "differs_by": None,
        "outside": _outside(paired),
        "whole": _whole(paired),
        "by_fallback": {each.fallback: _by_fallback(each) for each in paired.segments},
        "quality": _quality(connection, since_us, until_us),
    }
    if not sure:
        return said
    estimates = estimate(*(each.traffic for each in sure))
    spent = np.sum([each.traffic.spent for each in sure], axis=0)
    for at, (name, many) in enumerate(OUTSIDE[unit] for unit in UNITS):
        said[name] = (estimates[at].counterfactual - float(spent[at])) / many
    return (
        said
        | _shares(estimates)
        | {
            "coefficients": _coefficients(sure, estimates[UNITS.index("energy")].error),
            "differs_by": {unit: _difference(sure, at, estimates[at]) for at, unit in enumerate(UNITS)},
        }
    )


def _rest(paired: Paired) -> list[tuple[str, Plain]]:
    """The routed requests that the estimate says nothing of, and why."""
    undrawn = [told for each in paired.segments for told in each.undrawn.items()]
    rest = [(_WHY.get(arm, "unknown"), plain) for arm, plain in undrawn]
    return rest + [("too_few", each.plain) for each in paired.segments if each.standing is Standing.UNVERIFIED]


def _outside(paired: Paired) -> dict[str, Any]:
    """How many they are, and their share of what all routed requests took."""
    rest = _rest(paired)
    why: Counter[str] = Counter()
    for reason, plain in rest:
        why[reason] += plain.requests
    beside = np.sum([plain.spent for _, plain in rest] or [np.zeros(3)], axis=0)
    spent = beside + np.sum([each.plain.spent for each in paired.sure] or [np.zeros(3)], axis=0)
    share = {unit: float(beside[at] / spent[at]) if spent[at] else None for at, unit in enumerate(UNITS)}
    return {"requests": sum(why.values()), "why": dict(sorted(why.items())), "share_of_spent": share}


def _whole(paired: Paired) -> dict[str, Any]:
    """Of all routed requests: what is estimated where it can be, the same tokens at the fallback's rate elsewhere."""
    rest = [plain for _, plain in _rest(paired)]
    same_tokens = np.sum([plain.alone for plain in rest] or [np.zeros(3)], axis=0)
    verified = np.sum([alone(each.traffic).total for each in paired.sure] or [np.zeros(3)], axis=0)
    spent = np.sum([plain.spent for plain in rest + [each.plain for each in paired.sure]] or [np.zeros(3)], axis=0)
    counterfactual = same_tokens + verified
    return {
        "method": "verified where that can be, else the same tokens at the fallback's price: an estimate",
        **{
            name: {OUTSIDE[unit][0]: float(sums[at]) / OUTSIDE[unit][1] for at, unit in enumerate(UNITS)}
            for name, sums in (("spent", spent), ("counterfactual", counterfactual), ("unverified", same_tokens))
        },
        "share": {
            unit: float(1 - spent[at] / counterfactual[at]) if counterfactual[at] > 0 else None
            for at, unit in enumerate(UNITS)
        },
    }


def _held_back(segments: Sequence[Segment]) -> dict[str, int]:
    held = [each.traffic.held for each in segments]
    return {
        "requests": sum(len(each.domain) for each in held),
        "conversations": sum(each.conversations for each in held),
    }


def _shares(estimates: Sequence[Estimate]) -> dict[str, dict[str, float | None]]:
    """Share saved and its interval, by unit."""
    return {
        name: {unit: _finite(getattr(each, name)) for unit, each in zip(UNITS, estimates, strict=True)}
        for name in ("share", "low", "high")
    }


def _by_fallback(segment: Segment) -> dict[str, Any]:
    """What is said of the time in which one fallback served; shares are None where too few were held back."""
    said: dict[str, Any] = {
        "standing": str(segment.standing),
        "requests": segment.plain.requests,
        "held_back": _held_back([segment]),
    }
    if segment.standing is Standing.UNVERIFIED:
        return said | {"share": None, "low": None, "high": None}
    return said | _shares(estimate(segment.traffic))


def _naive(segments: Sequence[Segment], at: int) -> tuple[float, float]:
    """The figure others publish: answered tokens at the fallback's rate, and what the answers alone took."""
    known = sum(float(each.traffic.known[at]) for each in segments)
    same_tokens = sum(float(each.same_tokens[at]) for each in segments)
    return known + same_tokens, known + sum(float(each.small_spent[at]) for each in segments)


def _same_tokens(segments: Sequence[Segment]) -> dict[str, float | None]:
    """The share others publish: no router, nothing discarded, no shadow."""
    naive = [_naive(segments, at) for at in range(len(UNITS))]
    return {unit: 1 - spent / whole if whole > 0 else None for unit, (whole, spent) in zip(UNITS, naive, strict=True)}


def _difference(segments: Sequence[Segment], at: int, each: Estimate) -> dict[str, float | None]:
    """Why the usual share is another, in shares: answers of another length, and what it does not charge."""
    naive, spent = _naive(segments, at)
    if naive <= 0 or each.counterfactual <= 0:
        return {"length": None, "uncharged": None}
    charged = sum(float(segment.traffic.spent[at]) for segment in segments)
    return {
        "length": spent / each.counterfactual - spent / naive,
        "uncharged": (charged - spent) / each.counterfactual,
    }


def _coefficients(segments: Sequence[Segment], error: float) -> dict[str, float] | None:
    """The second interval, of energy: joules per token and watts per core are themselves in doubt, alike in all rows.

    Chance (`error`, of the counterfactual) and the router's work are in it. What the fallback would have taken rests on
    the coefficients that its answers rest on.
    """
    spent: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for each in segments:
        spent.update(each.spent_uj)
        known = sum(each.known_uj.values())
        counterfactual = estimate(each.traffic)[UNITS.index("energy")].counterfactual
        whole.update({name: counterfactual * joules / known for name, joules in each.known_uj.items() if known})
    if sum(whole.values()) <= 0:
        return None
    spread = {name: _SPREADS.get(name, TABLE_SPREAD) for name in {*spent, *whole}}
    low, high = coefficient_interval(spent, whole, spread, error)
    return {"low": low, "high": high}


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
