"""Quality against cost: what a router reaches, what a mix of constant models would. Pure: arrays in, numbers out.

PGR, APGR and CPT as in RouteLLM (Ong et al., 2024, arXiv:2406.18665), at full resolution instead of ten steps; zero
router, non-decreasing convex hull and AIQ as in RouterBench (Hu et al., 2024, arXiv:2403.12031).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]

_SAME: Final = 1e-9
"""Qualities closer than this are equal; sums of scores round."""


@dataclass(frozen=True, slots=True)
class Point:
    """Mean quality and mean cost of one way to choose, and each model's share of the requests."""

    quality: float
    cost: float
    share: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TwoModels:
    """How well a router spreads requests over a weak and a strong model."""

    apgr: float
    """Area under the performance gap recovered, over every share of strong calls; a random router has 0.5."""
    cpt50: float
    """Per cent of strong calls at which half of the gap is recovered; NaN when there is no gap."""
    cpt80: float


def two_models(uplift: ArrayLike, weak: ArrayLike, strong: ArrayLike, seed: int = 0) -> TwoModels:
    """Figures of sending to the strong model where `uplift` is highest; ties are broken at random."""
    curve = strong_share_curve(uplift, weak, strong, seed)
    gap = curve[-1] - curve[0]
    if gap <= _SAME:
        return TwoModels(float("nan"), float("nan"), float("nan"))
    recovered = (curve - curve[0]) / gap
    area = float((recovered[1:] + recovered[:-1]).mean() / 2)
    at = [100 * float(np.argmax(recovered >= share - _SAME)) / (len(curve) - 1) for share in (0.5, 0.8)]
    return TwoModels(area, *at)


def strong_share_curve(uplift: ArrayLike, weak: ArrayLike, strong: ArrayLike, seed: int = 0) -> Doubles:
    """Mean score (n + 1,) with the k requests of highest uplift sent to the strong model, k from 0 to n."""
    low, high = np.asarray(weak, float), np.asarray(strong, float)
    order = np.lexsort((np.random.default_rng(seed).random(len(low)), -np.asarray(uplift, float)))
    curve: Doubles = (low.sum() + np.concatenate([[0.0], np.cumsum((high - low)[order])])) / len(low)
    return curve


def point(choice: Indices, scores: Doubles, costs: Doubles) -> Point:
    """The point of choosing for each request (n,) a model among (n, m)."""
    rows = np.arange(len(choice))
    share = np.bincount(choice, minlength=scores.shape[1]) / len(choice)
    return Point(float(scores[rows, choice].mean()), float(costs[rows, choice].mean()), tuple(share.tolist()))


def constants(scores: Doubles, costs: Doubles) -> list[Point]:
    """The points of asking always the same model, one for each."""
    sizes = np.eye(scores.shape[1])
    ways = zip(scores.mean(axis=0), costs.mean(axis=0), sizes, strict=True)
    return [Point(float(quality), float(cost), tuple(share)) for quality, cost, share in ways]


def hull(points: Iterable[Point]) -> list[Point]:
    """What the best mixes of the points reach: increasing in cost and quality, concave.

    Of the constant models this is the zero router, of a router's points its frontier.
    """
    kept: list[Point] = []
    for new in sorted(points, key=lambda p: (p.cost, -p.quality)):
        if kept and new.quality <= kept[-1].quality + _SAME:
            continue
        while len(kept) > 1 and _slope(kept[-2], kept[-1]) <= _slope(kept[-2], new):
            kept.pop()
        kept.append(new)
    return kept


def quality_at(frontier: list[Point], cost: Doubles) -> Doubles:
    """The quality a hull reaches at each cost: that of its ends beyond them."""
    return np.interp(cost, [p.cost for p in frontier], [p.quality for p in frontier])


def cost_of(frontier: list[Point], quality: float) -> float | None:
    """The least cost at which a hull reaches a quality; None when it never does."""
    if quality > frontier[-1].quality + _SAME:
        return None
    return float(np.interp(quality, [p.quality for p in frontier], [p.cost for p in frontier]))


def aiq(frontier: list[Point], low: float, high: float) -> float:
    """Average quality over the costs from `low` to `high`."""
    if high <= low:
        return frontier[-1].quality
    at = np.unique([low, high, *(p.cost for p in frontier if low < p.cost < high)])
    return float(np.trapezoid(quality_at(frontier, at), at) / (high - low))


def _slope(a: Point, b: Point) -> float:
    return (b.quality - a.quality) / (b.cost - a.cost)
