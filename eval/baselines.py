"""What keeps everyone honest: ways to choose that need no judge, or know too much. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eval.frontier import Point, point
from eval.judged import Indices, Judged, worth_most

Doubles = NDArray[np.float64]


def baselines(judged: Judged, best: Indices, fallback: int, seed: int) -> dict[str, Point]:
    """The points of every baseline, by the names of the contract; `best` (n,) are the judge's own choices."""
    size, models = judged.scores.shape
    rng = np.random.default_rng(seed)
    chosen = {
        "best_single": judged.best_single,
        "always_fallback": np.full(size, fallback),
        "all_cheapest": judged.costs_known.argmin(axis=1),
        "random": rng.integers(0, models, size),
        "shuffled": best[rng.permutation(size)],
        "task_mean": worth_most(judged.by_task_mean, judged.costs_known, 0.0),
        "oracle": oracle(judged.scores, judged.costs),
    }
    return {name: point(choice, judged.scores, judged.costs) for name, choice in chosen.items()}


def oracle(scores: Doubles, costs: Doubles) -> Indices:
    """For each request (n,) the cheapest of the models that score highest on it: the cheapest right one, if any is."""
    cheapest: Indices = np.where(scores >= scores.max(axis=1, keepdims=True), costs, np.inf).argmin(axis=1)
    return cheapest


def shuffled_quality(choice: Indices, scores: Doubles) -> Doubles:
    """What each request (n,) brings on average, over all ways to shuffle decisions (k, n) among requests: (k, n)."""
    models = scores.shape[1]
    share = np.stack([np.bincount(each, minlength=models) for each in choice]) / choice.shape[1]
    brought: Doubles = share @ scores.T
    return brought
