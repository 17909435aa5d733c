"""How sure the figures are: requests drawn again with replacement (Efron, 1979). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from eval.baselines import shuffled_quality
from eval.frontier import Point, cost_of, hull, two_models
from eval.judged import Doubles, Indices, Judged, choices

DRAWS: Final = 500
COSTS: Final = 100
"""Levels of cost at which two ways to choose are compared."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where 95 % of the draws put it."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, draws: Doubles) -> Interval:
        """Percentiles of the draws; NaN ones, where the figure did not exist, are left out."""
        there = draws[~np.isnan(draws)]
        low, high = np.percentile(there, [2.5, 97.5]) if len(there) else (np.nan, np.nan)
        return cls(value, float(low), float(high))


@dataclass(frozen=True, slots=True)
class Way:
    """One way to choose, at every price: what each request brings and costs, (k, n) each."""

    brings: Doubles
    takes: Doubles

    @classmethod
    def choosing(cls, choice: Indices, judged: Judged) -> Way:
        """By decisions (k, n)."""
        rows = np.arange(choice.shape[1])
        return cls(judged.scores[rows, choice], judged.costs[rows, choice])


def ways(judged: Judged) -> tuple[Way, Way, Way]:
    """The judge's, the same decisions shuffled, and those of someone who is told the task and knows its means."""
    own = choices(judged.expected, judged.costs_known)
    shuffled = Way(shuffled_quality(own, judged.scores), shuffled_quality(own, judged.costs))
    by_task = choices(judged.by_task_mean, judged.costs_known)
    return Way.choosing(own, judged), shuffled, Way.choosing(by_task, judged)


def gain(way: Way, other: Way, seed: int) -> Interval:
    """By how much `way` brings more than `other` at the same cost, on average over the costs that `way` can have."""

    def difference(weights: Doubles) -> float:
        takes, brings = way.takes @ weights, way.brings @ weights
        levels = np.linspace(takes.min(), takes.max(), COSTS)
        return float(
            (_curve(takes, brings, levels) - _curve(other.takes @ weights, other.brings @ weights, levels)).mean()
        )

    return _interval(difference, way.brings.shape[1], seed)


def cost_at_best_single(way: Way, judged: Judged, seed: int) -> tuple[Interval | None, float]:
    """The mean cost at which `way` is as good as the best single model, None when it never is; and that quality."""
    rows = np.arange(len(judged.scores))
    single = judged.scores[rows, judged.best_single]

    def cost(weights: Doubles) -> float:
        points = zip(way.brings @ weights, way.takes @ weights, strict=True)
        found = cost_of(hull(Point(float(q), float(c), ()) for q, c in points), float(single @ weights))
        return np.nan if found is None else found

    found = _interval(cost, len(single), seed)
    return None if np.isnan(found.value) else found, float(single.mean())


def apgr(judged: Judged, seed: int) -> Interval:
    """APGR of two models, the cheaper one the weak one."""
    uplift = judged.expected[:, 1] - judged.expected[:, 0]
    weak, strong = judged.scores.T
    found = two_models(uplift, weak, strong, seed).apgr
    rng = np.random.default_rng(seed)
    size = len(uplift)
    drawn = (rng.integers(0, size, size) for _ in range(DRAWS))
    return Interval.of(found, np.array([two_models(uplift[at], weak[at], strong[at], seed).apgr for at in drawn]))


def _interval(figure: Callable[[Doubles], float], size: int, seed: int) -> Interval:
    draws = np.array([figure(weights) for weights in _weights(size, seed)])
    return Interval.of(figure(np.full(size, 1 / size)), draws)


def _weights(size: int, seed: int) -> Iterator[Doubles]:
    """How much each request counts (n,) in every draw; they sum to one."""
    rng = np.random.default_rng(seed)
    for _ in range(DRAWS):
        yield np.bincount(rng.integers(0, size, size), minlength=size) / size


def _curve(takes: Doubles, brings: Doubles, levels: Doubles) -> Doubles:
    order = np.argsort(takes, kind="stable")
    return np.interp(levels, takes[order], brings[order])
