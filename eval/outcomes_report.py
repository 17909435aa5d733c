"""Judged requests -> the figures of `shoal eval outcomes`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from eval.baselines import baselines
from eval.bootstrap import calibration_error, cost_at_best_single, gain, ways, weak_and_strong
from eval.drawn import Drawn, interval
from eval.frontier import Point, aiq, constants, cost_of, hull, point
from eval.judged import Indices, Judged, choices
from eval.metrics import auroc, ece, mass_ece, reliability
from eval.risk import Trial, evidence_of, risk_curve

DROPS: Final = (0, 1, 2, 3)
"""Points of quality below the fallback's."""


def report(judged: Judged, models: Sequence[str], fallback: int, seed: int) -> tuple[dict[str, Any], dict[str, Drawn]]:
    """Everything the contract names that follows from the judgements, and the figures that were drawn again, by name.

    `fallback` is a column of the models.
    """
    own = choices(judged.expected, judged.costs_known)
    frontier = hull(point(choice, judged.scores, judged.costs) for choice in own)
    best = point(own[-1], judged.scores, judged.costs)
    fixed = constants(judged.scores, judged.costs)
    sure = drawn_figures(judged, seed)
    evidence = evidence_of(judged, tuple(models), fallback)
    trial = Trial(evidence) if evidence else None
    risk = trial.resplit(seed) if trial else None
    sure |= trial.drawn(risk, seed) if trial and risk else {}
    rows = np.arange(len(judged.scores))
    found: dict[str, Any] = {
        "frontier": [_shown(each, models) for each in frontier],
        "constants": [_shown(each, models) for each in fixed],
        "aiq": aiq(frontier, min(p.cost for p in fixed), max(p.cost for p in fixed)),
        "best_quality": {"quality": best.quality, "cost": best.cost},
        "by_task": _by_task(judged, own[-1]),
        "baselines": {
            name: {"quality": p.quality, "cost": p.cost}
            for name, p in baselines(judged, own[-1], fallback, seed).items()
        },
        **_at_drops(frontier, hull(fixed), fixed[fallback]),
        "confidence": _confidence(judged, own[-1], sure) | {"by_model": _by_model(judged, models)},
        "calibration": reliability(judged.probability.ravel(), judged.scores.ravel()),
        "gain": {name: _gain(sure[f"gain_{name}"]) for name in ("shuffled", "task_mean")},
        "at_best_single": {
            "quality": float(judged.scores[rows, judged.best_single].mean()),
            "cost": sure["cost_at_best_single"].to_json()["value"],
        },
        "risk": risk.to_json() if risk else None,
        "risk_curve": risk_curve(evidence) if evidence else [],
        "intervals": {name: interval(each) for name, each in sure.items()},
    }
    return found | {name: sure[name].value for name in ("apgr", "cpt50", "cpt80") if name in sure}, sure


def drawn_figures(judged: Judged, seed: int) -> dict[str, Drawn]:
    """The figures that say most, each with its draws; those of two models only where there are two."""
    own, shuffled, by_task = ways(judged)
    found = {
        "cost_at_best_single": cost_at_best_single(own, judged, seed),
        "ece": calibration_error(judged.probability, judged.scores, seed),
        "gain_shuffled": gain(own, shuffled, seed),
        "gain_task_mean": gain(own, by_task, seed),
    }
    return found | (weak_and_strong(judged, seed) if judged.scores.shape[1] == 2 else {})


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


def _confidence(judged: Judged, choice: Indices, sure: dict[str, Drawn]) -> dict[str, Any]:
    """Of every claim "this model answers this well", and of those about the models chosen."""
    rows = np.arange(len(choice))
    chosen, was = judged.probability[rows, choice], judged.scores[rows, choice]
    every = _claims(judged.probability.ravel(), judged.scores.ravel(), sure["ece"])
    return {**every, "chosen": _claims(chosen, was, calibration_error(chosen, was, 0))}


def _by_model(judged: Judged, models: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """How far the claims about each model are off, and how many they are: that all together hold says less."""
    columns = zip(models, judged.probability.T, judged.scores.T, strict=True)
    return {name: {"ece": ece(claimed, was), "n": len(was)} for name, claimed, was in columns}


def _claims(probability: np.ndarray, scores: np.ndarray, error: Drawn) -> dict[str, float]:
    return {
        "auroc": auroc(probability, scores >= 0.5),
        "brier": float(((probability - scores) ** 2).mean()),
        "ece": error.value,
        "mass_ece": mass_ece(probability, scores),
    }


def _gain(found: Drawn) -> dict[str, Any]:
    about = found.centred()
    return {**about.to_json(), "beats": about.low > 0}
