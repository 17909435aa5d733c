"""What is said of the savings of routed requests: the share with its interval, how sure it is, the usual figure beside.

A period should be a fixed one, a month, say: who looks every day and stops when it pleases has another interval.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from router.meter.amounts import (
    WHOLE,
    Part,
    amounts,
    bill,
    bounds,
    by_capacity,
    fallback_priced,
    held_back,
    outer,
    priced,
    saved_known,
    saved_money,
    without_price,
)
from router.meter.clustered import Doubles
from router.meter.doubt import TABLE_SPREAD, coefficient_interval
from router.meter.paired import UNITS, Paired, Rows
from router.meter.priced import NO_GAPS, Gaps, gaps_of, priced_part
from router.meter.quality import quality
from router.meter.reconcile import contradicted, reconciled
from router.meter.record import Arm
from router.meter.savings import Estimate, Standing, added
from router.meter.segment import COST, COUNTERS, ENERGY, UNPRICED, WATTS, Plain, Segment
from router.meter.spans import Divide, spans

MODELLED_SPREAD: Final = 0.17
"""As `TABLE_SPREAD`, of watts per busy core: the quartiles of SPECpower's EPYC 9xx5 rows are 2.24 and 2.84 W, n=41."""

_SPREADS: Final = {WATTS: MODELLED_SPREAD, COUNTERS: 0.0}
"""Of all others `TABLE_SPREAD`."""

_OF_SURE: Final = (
    "share", "low", "high", "cost_usd", "avoidable_usd", "allocated_usd", "allocated_share", "energy_j", "co2_g",
    "spent", "counterfactual", "fallback_bill_avoided", "at_most", "coefficients", "differs_by",
)  # fmt: skip
"""What is None until enough was held back."""

_WHY: Final[Mapping[int, str]] = {arm: arm.name.lower() for arm in Arm}


def savings(
    connection: sqlite3.Connection, since_us: int | None = None, until_us: int | None = None, divide: Divide = spans
) -> dict[str, Any]:
    """What is said of a period's routed requests (microseconds since 1970, end not included, None for open).

    In dollars, joules and grams; shares have 95 % intervals. What depends on those held back is None until they are
    enough. `divide` says what is read from sums.
    """
    return savings_of(Rows.read(connection, None, since_us, until_us, divide), since_us, until_us, divide)


def savings_of(
    rows: Rows, since_us: int | None, until_us: int | None, divide: Divide = spans, gaps: Gaps = NO_GAPS
) -> dict[str, Any]:
    """The same from rows that were read already; `gaps` of their period, where they are known."""
    paired, part = rows.together(), None
    if not saved_known(compared(paired)):
        gaps = gaps or gaps_of(rows.connection, since_us, until_us, divide)
        priced = rows.together(gaps)
        paired = reconciled(paired, priced)
        part = known_part(paired, priced, gaps)
    answers = quality(rows.connection, since_us, until_us) | {"lost_pairs": rows.lost.total()}
    return figures(paired) | {"priced_part": part, "quality": answers}


def known_part(everything: Paired, priced: Paired, gaps: Gaps) -> dict[str, Any] | None:
    """The money saved on the requests of which all of it is known, and how far that can be believed.

    None where that is a guess, and what is measured of everything contradicts it.
    """
    told = figures(priced)
    of = told if told["share"] is not None else told["whole"]
    if of is told["whole"] and everything.sure and contradicted(of, whole(everything)):
        return None
    requests = sum(plain.requests for _, plain in compared(everything))
    return {"standing": told["standing"], "verified": told["verified"], **priced_part(of, requests), **gaps.to_json()}


def compared(paired: Paired) -> list[Part]:
    """All requests that are compared, in parts."""
    rest = [(segment, plain) for _, segment, plain in _rest(paired)]
    return rest + [(each, each.plain) for each in paired.sure]


def figures(paired: Paired) -> dict[str, Any]:
    """The same, but for quality."""
    sure = paired.sure
    return {
        "standing": str(paired.standing),
        "verified": paired.standing is Standing.PUBLISHED,
        "held_back": held_back(paired.segments),
        "measured_on": held_back(sure),
        "eligible": paired.eligible,
        "requests": sum(each.plain.requests for each in sure),
        **(_sure(sure) if sure else dict.fromkeys(_OF_SURE)),
        "same_tokens": same_tokens(paired),
        "outside": _outside(paired),
        "whole": whole(paired),
        "by_fallback": {name: _by_fallback(each) for name, each in paired.by_fallback.items()},
    }


def same_tokens(paired: Paired) -> dict[str, float | None]:
    """The share others publish: the same tokens at the fallback's rate; no router, nothing discarded, no shadow."""
    segments = paired.sure or paired.segments
    naive = [_naive(segments, at) for at in range(len(UNITS))]
    shares = {
        unit: (alone - spent) / alone if alone > 0 else None for unit, (alone, spent) in zip(UNITS, naive, strict=True)
    }
    return priced(shares, saved_known([(each, each.plain) for each in segments]))


def whole(paired: Paired) -> dict[str, Any]:
    """Of all routed requests: what is estimated where it can be, the same tokens at the fallback's rate elsewhere.

    Everything that was spent is charged.
    """
    sure, rest = paired.sure, [(segment, plain) for _, segment, plain in _rest(paired)]
    parts = compared(paired)
    guessed = [segment.same_rate(plain) for segment, plain in rest]
    unverified = _sum([taken for taken, _ in guessed])
    spent = _sum([plain.spent for _, plain in parts])
    alone = unverified + _sum([each.alone().total for each in sure])
    avoidable_nusd = sum(avoidable_nusd for _, avoidable_nusd in guessed) + _avoidable_nusd(sure)
    money = saved_money(parts, float(alone[COST]), avoidable_nusd)
    shares = {
        unit: float((alone[at] - spent[at]) / alone[at]) if alone[at] > 0 else None for at, unit in enumerate(UNITS)
    }
    return {
        "method": WHOLE,
        "requests": sum(plain.requests for _, plain in parts),
        **amounts(parts, spent, alone, money),
        "unverified": outer(unverified, fallback_priced(rest)),
        "share": priced(shares | {"cost": money.share}, saved_known(parts)),
        **bounds(parts, money, bill(parts, float(alone[COST]), avoidable_nusd), {}, {}),
    }


def measured(paired: Paired) -> dict[str, dict[str, float | None]]:
    """Share saved, `low` and `high`, by unit, of the segments that are sure; there is one at least."""
    return _measured(paired.sure)


def _measured(sure: Sequence[Segment]) -> dict[str, dict[str, float | None]]:
    known = saved_known([(each, each.plain) for each in sure])
    return {name: priced(told, known) for name, told in _shares(_estimates(sure)).items()}


def _estimates(sure: Sequence[Segment]) -> list[Estimate]:
    return _added(sure, [each.plain.avoidable_nusd for each in sure])


def _added(sure: Sequence[Segment], spent_nusd: Sequence[float]) -> list[Estimate]:
    """The savings of segments that spent so much money, all of it avoidable."""
    spent = [np.array([nusd, *each.traffic.spent[1:]]) for each, nusd in zip(sure, spent_nusd, strict=True)]
    return added(spent, [each.alone() for each in sure])


def _avoidable_nusd(sure: Sequence[Segment]) -> float:
    """Of what the fallbacks would have cost, what is not spent where they are not asked."""
    return sum(float(each.alone().avoidable[COST]) for each in sure)


def _sure(sure: Sequence[Segment]) -> dict[str, Any]:
    """What is measured."""
    parts, estimates = [(each, each.plain) for each in sure], _estimates(sure)
    alone, avoidable_nusd = np.array([each.counterfactual for each in estimates]), _avoidable_nusd(sure)
    # Of the bill alone: what others cost is no part of what is spent.
    paid = _added(sure, [each.plain.paid_avoidable_nusd for each in sure])
    ends = [_ends(each[COST]) for each in (paid, estimates)]
    money = saved_money(parts, float(alone[COST]), avoidable_nusd)
    differs = {unit: _difference(sure, at, estimates[at]) for at, unit in enumerate(UNITS)}
    differs["cost"]["allocated"] = money.allocated_share
    return {
        **_measured(sure),
        **amounts(parts, _sum([each.traffic.spent for each in sure]), alone, money),
        **bounds(parts, money, bill(parts, float(alone[COST]), avoidable_nusd), *ends),
        "coefficients": _coefficients(sure, estimates[ENERGY]),
        "differs_by": differs if saved_known(parts) else differs | {"cost": dict.fromkeys(differs["cost"])},
    }


def _sum(each: Sequence[Doubles]) -> Doubles:
    found: Doubles = np.sum([np.zeros(len(UNITS)), *each], axis=0)
    return found


def _shares(estimates: Sequence[Estimate]) -> dict[str, dict[str, float | None]]:
    """Share saved and its interval, by unit."""
    return {
        name: {unit: _finite(getattr(each, name)) for unit, each in zip(UNITS, estimates, strict=True)}
        for name in ("share", "low", "high")
    }


def _by_fallback(paired: Paired) -> dict[str, Any]:
    """What is said of the time in which one fallback served; shares are None where too few were held back."""
    spells = [each for segment in paired.segments for each in by_capacity(segment)]
    told = max(spells, key=lambda each: each["requests"])
    fixed = [each for each in spells if each["fixed_capacity"]]
    none: dict[str, Any] = {"share": None, "low": None, "high": None}
    return {
        "standing": str(paired.standing),
        "requests": sum(each.plain.requests for each in paired.segments),
        "held_back": held_back(paired.segments),
        "capacity": told["capacity"],
        **(_measured(paired.sure) if paired.sure else none),
        "fixed_capacity": max(fixed, key=lambda each: each["requests"])["fixed_capacity"] if fixed else None,
        "by_capacity": spells,
    }


def _rest(paired: Paired) -> list[tuple[str, Segment, Plain]]:
    """The routed requests that the estimate says nothing of, and why; of what is not compared, none does."""
    left_out = (Arm.UNABLE, Arm.FAILED, UNPRICED)
    undrawn = [(each, *told) for each in paired.segments for told in each.undrawn.items() if told[0] not in left_out]
    rest = [(_WHY.get(arm, "unknown"), segment, plain) for segment, arm, plain in undrawn]
    return rest + [("too_few", each, each.plain) for each in paired.segments if each.standing is Standing.UNVERIFIED]


def _outside(paired: Paired) -> dict[str, Any]:
    """How many they are, and their share of what all routed requests took."""
    rest, why = _rest(paired), Counter[str]()
    for reason, _, plain in rest:
        why[reason] += plain.requests
    parts = [told[1:] for told in rest] + [(each, each.plain) for each in paired.sure]
    beside, spent = (_sum([told[-1].spent for told in each]) for each in (rest, parts))
    share = {unit: float(beside[at] / spent[at]) if spent[at] else None for at, unit in enumerate(UNITS)}
    return {
        "requests": sum(why.values()),
        "why": dict(sorted((+why).items())),
        "share_of_spent": priced(share, not without_price(parts)),
    }


def _naive(segments: Sequence[Segment], at: int) -> tuple[float, float]:
    """Answered tokens at the fallback's rate, and what the answers alone took."""
    known = sum(float(each.traffic.known[at]) for each in segments)
    at_its_rate = sum(float(each.same_tokens[at]) for each in segments)
    return known + at_its_rate, known + sum(float(each.small_spent[at]) for each in segments)


def _difference(segments: Sequence[Segment], at: int, each: Estimate) -> dict[str, float | None]:
    """Why the usual share is another, in shares: answers of another length, larger batches, what it does not charge."""
    naive, spent = _naive(segments, at)
    today = sum(float(segment.traffic.alone.total[at]) for segment in segments)
    if naive <= 0 or each.counterfactual <= 0:
        return {"length": None, "batches": None, "uncharged": None}
    charged = sum(float(segment.traffic.spent[at]) for segment in segments)
    return {
        "length": spent / today - spent / naive,
        "batches": spent / each.counterfactual - spent / today,
        "uncharged": (charged - spent) / each.counterfactual,
    }


def _coefficients(segments: Sequence[Segment], found: Estimate) -> dict[str, float] | None:
    """The second interval, of energy: joules per token and watts per core are themselves in doubt, alike in all rows.

    Chance (the error of `found`) and the router's work are in it. What the fallback would have taken rests on the
    coefficients that its answers rest on. More doubt is never less wide: it holds the first interval, where that ends.
    """
    spent: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for each in segments:
        spent.update(each.spent_uj)
        known, taken = sum(each.known_uj.values()), each.alone().total[ENERGY]
        whole.update({name: taken * joules / known for name, joules in each.known_uj.items() if known})
    if sum(whole.values()) <= 0:
        return None
    spread = {name: _SPREADS.get(name, TABLE_SPREAD) for name in {*spent, *whole}}
    low, high = coefficient_interval(spent, whole, spread, found.error)
    first = [end for end in (found.low, found.high) if np.isfinite(end)]
    return {"low": min(low, *first), "high": max(high, *first)}


def _ends(each: Estimate) -> dict[str, float | None]:
    return {"low": _finite(each.low), "high": _finite(each.high)} if each.counterfactual > 0 else {}


def _finite(share: float) -> float | None:
    return share if np.isfinite(share) else None
