"""How sure the figures are: requests drawn again with replacement (Efron, 1979). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from eval.baselines import shuffled_quality
from eval.drawn import ANY, APART, SHARE, Drawn
from eval.few import FEW
from eval.frontier import Point, cost_of, hull, two_models
from eval.judged import Doubles, Floats, Indices, Judged, choices
from eval.metrics import BINS

DRAWS: Final = 500
COSTS: Final = 100
"""Levels of cost at which two ways to choose are compared."""

EXACT: Final = 12
"""Decimals of a gain that are kept: sums in another order differ after them, and that is no gain."""

_TWO: Final = {"apgr": ANY, "cpt50": (0.0, 100.0), "cpt80": (0.0, 100.0)}
"""Of two models, what each of the `TwoModels` can be: a router can do worse than its weak model."""


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


def gain(way: Way, other: Way, seed: int) -> Drawn:
    """By how much `way` brings more than `other` at the same cost, on average over the costs that `way` can have."""

    def difference(weights: Doubles) -> float:
        takes, brings = way.takes @ weights, way.brings @ weights
        levels = np.linspace(takes.min(), takes.max(), COSTS)
        more = _curve(takes, brings, levels) - _curve(other.takes @ weights, other.brings @ weights, levels)
        return round(float(more.mean()), EXACT)

    return drawn(difference, way.brings.shape[1], seed, APART)


def cost_at_best_single(way: Way, judged: Judged, seed: int) -> Drawn:
    """The mean cost at which `way` is as good as the best single model, NaN when it never is."""
    rows = np.arange(len(judged.scores))
    single = judged.scores[rows, judged.best_single]

    def cost(weights: Doubles) -> float:
        points = zip(way.brings @ weights, way.takes @ weights, strict=True)
        found = cost_of(hull(Point(float(q), float(c), ()) for q, c in points), float(single @ weights))
        return np.nan if found is None else found

    return drawn(cost, len(single), seed, (float(judged.costs.min()), float(judged.costs.max())))


def weak_and_strong(judged: Judged, seed: int) -> dict[str, Drawn]:
    """APGR, CPT50 and CPT80 of two models, the cheaper one the weak one."""
    uplift = judged.expected[:, 1] - judged.expected[:, 0]
    weak, strong = judged.scores.T
    found = two_models(uplift, weak, strong, seed)
    if len(uplift) < FEW:
        return {name: Drawn.of_few(getattr(found, name), possible) for name, possible in _TWO.items()}
    again = [two_models(uplift[at], weak[at], strong[at], seed) for at in redraws(len(uplift), seed)]
    draws = {name: np.array([getattr(each, name) for each in again]) for name in _TWO}
    return {name: Drawn(getattr(found, name), draws[name], possible) for name, possible in _TWO.items()}


def calibration_error(probability: Doubles | Floats, truth: Doubles, seed: int) -> Drawn:
    """ECE of claims (n, m), or (n,), about n requests; the bins are those of `metrics.ece`."""
    claims, truths = probability.reshape(len(probability), -1), truth.reshape(len(truth), -1)
    bins = np.clip((claims * BINS).astype(int), 0, BINS - 1)
    gaps = np.stack([np.where(bins == each, claims - truths, 0).mean(axis=1) for each in range(BINS)], axis=1)
    return drawn(lambda weights: float(np.abs(weights @ gaps).sum()), len(claims), seed, SHARE)


def drawn(
    figure: Callable[[Doubles], float],
    size: int,
    seed: int,
    possible: tuple[float, float] = ANY,
    bearing: int | None = None,
) -> Drawn:
    """A figure of how much each request counts, (n,) summing to one, for all alike and for every draw.

    It lies within what is `possible`. Where fewer than `FEW` requests bear on it, all of them if `bearing` is None,
    there are no draws.
    """
    value = figure(np.full(size, 1 / size))
    if (size if bearing is None else bearing) < FEW:
        return Drawn.of_few(value, possible)
    counts = (np.bincount(at, minlength=size) / size for at in redraws(size, seed))
    return Drawn(value, np.array([figure(weights) for weights in counts]), possible)


def redraws(size: int, seed: int) -> Iterator[Indices]:
    """The requests of every draw, some twice and some not at all; the same for the same size and seed."""
    rng = np.random.default_rng(seed)
    for _ in range(DRAWS):
        yield rng.integers(0, size, size)


def _curve(takes: Doubles, brings: Doubles, levels: Doubles) -> Doubles:
    order = np.argsort(takes, kind="stable")
    return np.interp(levels, takes[order], brings[order])
