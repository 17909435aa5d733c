"""Judged requests -> the figures of `shoal eval outcomes`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from eval.baselines import baselines
from eval.bootstrap import Interval, Way, apgr, cost_at_best_single, gain, ways
from eval.frontier import Point, aiq, constants, cost_of, hull, point, two_models
from eval.judged import Indices, Judged, choices
from eval.metrics import auroc, ece, mass_ece
from eval.risk import resplit

DROPS: Final = (0, 1, 2, 3)
"""Points of quality below the fallback's."""


def report(judged: Judged, models: Sequence[str], fallback: int, seed: int) -> dict[str, Any]:
    """Everything the contract names that follows from the judgements; `fallback` is a column of the models."""
    own = choices(judged.expected, judged.costs_known)
    frontier = hull(point(choice, judged.scores, judged.costs) for choice in own)
    best = point(own[-1], judged.scores, judged.costs)
    fixed = constants(judged.scores, judged.costs)
    found: dict[str, Any] = {
        "frontier": [_shown(each, models) for each in frontier],
        "aiq": aiq(frontier, min(p.cost for p in fixed), max(p.cost for p in fixed)),
        "best_quality": {"quality": best.quality, "cost": best.cost},
        "by_task": _by_task(judged, own[-1]),
        "baselines": {
            name: {"quality": p.quality, "cost": p.cost}
            for name, p in baselines(judged, own[-1], fallback, seed).items()
        },
        **_at_drops(frontier, hull(fixed), fixed[fallback]),
        "confidence": _confidence(judged, own[-1]),
        **_sureness(judged, seed),
    }
    risk = resplit(judged, fallback, seed)
    found["risk"] = risk.to_json() if risk else None
    if len(models) == 2:
        weak, strong = judged.scores.T
        two = two_models(judged.expected[:, 1] - judged.expected[:, 0], weak, strong, seed)
        found |= {"apgr": two.apgr, "cpt50": two.cpt50, "cpt80": two.cpt80}
        found["intervals"]["apgr"] = _interval(apgr(judged, seed))
    return found


def _shown(each: Point, models: Sequence[str]) -> dict[str, Any]:
    share = {model: part for model, part in zip(models, each.share, strict=True) if part}
    return {"quality": each.quality, "cost": each.cost, "share": share}


def _by_task(judged: Judged, choice: Indices) -> dict[str, dict[str, float]]:
    brought = judged.scores[np.arange(len(choice)), choice]
    names = np.unique(judged.tasks)
    return {
        str(name): {"quality": float(brought[judged.tasks == name].mean()), "rows": int((judged.tasks == name).sum())}
        for name in names
        if name
    }


def _at_drops(frontier: list[Point], zero: list[Point], fallback: Point) -> dict[str, Any]:
    """Least cost within so many points of the fallback's quality; None where never reached, or free."""
    shares: dict[str, float | None] = {}
    saved: dict[str, float | None] = {}
    for drop in DROPS:
        quality = fallback.quality - drop / 100
        cost, unrouted = cost_of(frontier, quality), cost_of(zero, quality)
        shares[str(drop)] = cost / unrouted if cost is not None and unrouted else None
        saved[str(drop)] = 1 - cost / fallback.cost if cost is not None and fallback.cost else None
    return {"cost_at_drop": shares, "saved_at_drop": saved}


def _confidence(judged: Judged, choice: Indices) -> dict[str, Any]:
    """Of every claim "this model answers this well", and of those about the models chosen."""
    rows = np.arange(len(choice))
    chosen = _claims(judged.probability[rows, choice], judged.scores[rows, choice])
    return {**_claims(judged.probability.ravel(), judged.scores.ravel()), "chosen": chosen}


def _claims(probability: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    return {
        "auroc": auroc(probability, scores >= 0.5),
        "brier": float(((probability - scores) ** 2).mean()),
        "ece": ece(probability, scores),
        "mass_ece": mass_ece(probability, scores),
    }


def _sureness(judged: Judged, seed: int) -> dict[str, Any]:
    own, shuffled, by_task = ways(judged)
    cost, quality = cost_at_best_single(own, judged, seed)
    gains = {"shuffled": _gain(own, shuffled, seed), "task_mean": _gain(own, by_task, seed)}
    return {
        "gain": gains,
        "at_best_single": {"quality": quality, "cost": cost.value if cost else None},
        "intervals": {"cost_at_best_single": _interval(cost) if cost else None},
    }


def _gain(own: Way, other: Way, seed: int) -> dict[str, Any]:
    found = gain(own, other, seed)
    return {"value": found.value, "low": found.low, "high": found.high, "beats": found.low > 0}


def _interval(found: Interval) -> dict[str, float]:
    return {"low": found.low, "high": found.high}
