"""What was really saved against always asking the fallback, with an interval. Pure.

What a request would have taken had it gone straight to the fallback is known wherever the fallback did answer it. It is
unknown where a small expert answered; there, a random few conversations are held back: the fallback answers them, and
the small path runs beside. From those few the rest is estimated:

    B = sum of what is known + sum over small answers of m(x) + per domain, rows * mean residual of the held back

with m a ridge regression fitted without the fold it is asked about. The residuals make it right on average whatever m
says (augmented inverse probability weighting: Robins, Rotnitzky, Zhao, Estimation of Regression Coefficients When Some
Regressors Are Not Always Observed, 1994; cross-fitting: Chernozhukov et al., Double/Debiased Machine Learning, 2018);
m only makes it more exact. m is linear, so of the small answers no more than sums is needed.

The saved share is 1 - A/B, A being everything that was spent: every attempt, discarded or in the shadow, and the
router's own work. A is metered, so all the doubt is in B. Where the fallback was changed, each one's requests are
estimated by themselves, and the estimates and their variances added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from router.meter.clustered import Doubles, Indices, effective, moves, sizes, student

LEAST: Final = 100
"""Conversations held back, as `effective` counts them, under which nothing is published."""

ENOUGH: Final = 300
"""The same under which a figure is provisional."""

LEAST_OF_A_DOMAIN: Final = 20
"""The same under which a domain is estimated together with the other small ones."""

_FOLDS: Final = 5

_PULL: Final = 5.0
"""Held-back requests' worth of shrinkage on a domain's own level in m; on the other numbers, one."""


class Standing(StrEnum):
    """How far the figure can be believed."""

    UNVERIFIED = "estimate, unverified"
    """Nothing is held back, or too little yet: the same tokens at the fallback's price."""
    PROVISIONAL = "provisional"
    PUBLISHED = "published"


@dataclass(frozen=True)
class Held:
    """n held-back requests whose small path ran beside and would have been served."""

    domain: Indices
    """(n,), a row of `Traffic.rows`."""
    points: Doubles
    """(n, p), numbers known of every small answer too."""
    fallback: Doubles
    """(n, u), what the fallback took for it, in each of u units."""
    rate: Doubles
    """(n,), the share of conversations that was held back when it came, in (0, 1)."""
    conversation: Indices
    """(n,), what was drawn together."""

    def of(self, some: NDArray[np.bool_]) -> Held:
        """Some of them (n,)."""
        return Held(*(getattr(self, each.name)[some] for each in fields(self)))

    @cached_property
    def conversations(self) -> int:
        """How many were held back."""
        return len(np.unique(self.conversation))

    @cached_property
    def effective(self) -> int:
        """As how many that stand for equally many requests they tell."""
        return round(effective(sizes(self.weight, self.conversation)))

    @property
    def weight(self) -> Doubles:
        """(n,), as how many small answers each stands for that were not held back."""
        return (1 - self.rate) / self.rate


@dataclass(frozen=True)
class Traffic:
    """A period: d domains, p numbers a small answer is described by, u units (money, energy, carbon)."""

    spent: Doubles
    """(u,), everything, router and shadow included."""
    known: Doubles
    """(u,), what the fallback took wherever it answered from the first prompt, held back or not."""
    rows: Doubles
    """(d,), small answers."""
    sums: Doubles
    """(d, p), of their numbers."""
    held: Held

    @cached_property
    def alone(self) -> Alone:
        """As `alone` says, once: a report asks for it again and again."""
        return alone(self)


@dataclass(frozen=True, slots=True)
class Alone:
    """What always asking the fallback would have taken."""

    total: Doubles
    """(u,)"""
    avoidable: Doubles
    """(u,), what of it is not spent when the fallback is not asked."""
    covariance: Doubles
    """(2u, 2u), of `total` and, after it, of `avoidable`."""
    freedom: float
    """Degrees of freedom the covariance was estimated with: conversations, as `effective` counts them, but one for each
    stratum."""

    @property
    def variance(self) -> Doubles:
        """(u,), of `total`."""
        return self.covariance.diagonal()[: len(self.total)]


@dataclass(frozen=True, slots=True)
class Estimate:
    """One unit's savings."""

    counterfactual: float
    """What always asking the fallback would have taken."""
    error: float
    """Its standard error."""
    share: float
    """Saved, of the counterfactual; negative when more was spent than is saved."""
    low: float
    high: float
    """95 % interval of `share`."""


def standing(*held: Held) -> Standing:
    """What a figure made from so many conversations, held back in one segment or several, may be called."""
    count = sum(each.effective for each in held)
    if count < LEAST:
        return Standing.UNVERIFIED
    return Standing.PROVISIONAL if count < ENOUGH else Standing.PUBLISHED


def estimate(*segments: Traffic) -> list[Estimate]:
    """Every unit's savings (u) of requests that were drawn apart, one segment for each fallback.

    Raises ValueError when in one of them the conversations held back count as fewer than `LEAST`.
    """
    return added([each.spent for each in segments], [each.alone for each in segments])


def alone(traffic: Traffic) -> Alone:
    """What one fallback would have taken, all of it avoidable.

    Raises ValueError when the conversations held back count as fewer than `LEAST`, or where everybody was.
    """
    held = traffic.held
    _require_others(held.weight)
    if standing(held) is Standing.UNVERIFIED:
        raise ValueError(f"{held.effective} conversations held back, {LEAST} are needed")
    stratum = _strata(held, len(traffic.rows))
    size = int(stratum.max()) + 1
    rows: Doubles = np.bincount(stratum, traffic.rows, size).astype(float)
    sums: Doubles = np.stack([np.bincount(stratum, each, size) for each in traffic.sums.T], axis=1).astype(float)
    own = stratum[held.domain]
    residual, predicted = _cross_fit(held, own, rows, sums)
    whole, count = np.bincount(own, held.weight, size), np.bincount(own, minlength=size)
    mean = np.stack([np.bincount(own, held.weight * each, size) for each in residual.T], axis=1) / whole[:, None]
    total, apart = traffic.known + predicted + rows @ mean, residual - mean[own]
    of_mean = moves(apart, held.weight, held.conversation, own, rows)
    of_unseen = moves(apart, np.ones(len(own)), held.conversation, own, np.sqrt(rows * count))
    covariance = of_mean.T @ of_mean + of_unseen.T @ of_unseen
    stands_for = sizes((rows / whole)[own] * held.weight, held.conversation)
    return Alone(total, total, np.tile(covariance, (2, 2)), effective(stands_for) - size)


def added(spent: Sequence[Doubles], parts: Sequence[Alone]) -> list[Estimate]:
    """The savings (u) of segments together, from what each spent (u,) and what its fallback would have taken.

    Where not all of that is avoidable, `spent` is what others and it itself took that is avoidable too. Shares are of
    all it would have taken. The degrees of freedom of the sum are Welch and Satterthwaite's (1946).
    """
    total, saved, covariance = (
        np.sum([getattr(each, name) for each in parts], axis=0) for name in ("total", "avoidable", "covariance")
    )
    shaky = np.sum([each.variance**2 / max(each.freedom, 1) for each in parts], axis=0)
    found = []
    for at, taken in enumerate(np.sum(spent, axis=0)):
        both = [at, len(total) + at]
        freedom = covariance[at, at] ** 2 / shaky[at] if shaky[at] > 0 else np.inf
        sums = float(taken), float(total[at]), float(saved[at])
        found.append(_estimate(*sums, covariance[np.ix_(both, both)], student(freedom)))
    return found


def paired_gap(small: Doubles, fallback: Doubles, rate: Doubles, conversation: Indices) -> tuple[float, float, float]:
    """By how much the fallback's answers to held-back requests (n,) score higher than the small ones': mean, low, high.

    Raises ValueError without two conversations, or where everybody was held back.
    """
    if len(np.unique(conversation)) < 2:
        raise ValueError("a gap needs two conversations")
    weight, gap = (1 - rate) / rate, fallback - small
    _require_others(weight)
    mean = float(weight @ gap / weight.sum())
    of_mean = moves((gap - mean)[:, None], weight, conversation, np.zeros(len(gap), np.intp), np.ones(1))
    reach = student(effective(sizes(weight, conversation)) - 1) * float(np.linalg.norm(of_mean))
    return mean, mean - reach, mean + reach


def _require_others(weight: Doubles) -> None:
    """Raise ValueError where all that could be held back was: nobody else is there to be told of."""
    if len(weight) and not weight.sum() > 0:
        raise ValueError("a share of 1 was held back: of nobody else anything is to be estimated")


def _estimate(spent: float, whole: float, saved: float, covariance: Doubles, quantile: float) -> Estimate:
    """The ratio of what is saved to what would have been taken, and its interval.

    `covariance` (2, 2) is of what would have been taken and of what of it is avoidable. The interval is Fieller's (Some
    Problems in Interval Estimation, 1954): every share R that "saved less R times taken is nought" does not contradict.
    Where all is avoidable it is 1 - spent / (taken -+ quantile * error).
    """
    error = float(np.sqrt(covariance[0, 0]))
    if whole <= 0:
        return Estimate(whole, error, np.nan, -np.inf, np.inf)  # of nothing there is no share
    share = (saved - spent) / whole
    # (d * whole)^2 <= quantile^2 * Var(saved - (share + d) * taken), solved for the distance d from the share.
    with_taken, with_saved = covariance @ [-share, 1.0]
    square, mixed = (quantile**2 * float(each) for each in (with_saved - share * with_taken, with_taken))
    steep = whole**2 - (quantile * error) ** 2
    if not square:
        return Estimate(whole, error, share, share, share)
    root = np.sqrt(max(mixed**2 + steep * square, 0.0))
    low = share + square / (mixed - root) if steep > 0 else -np.inf
    high = share + square / (mixed + root) if mixed + root > 0 else np.inf
    return Estimate(whole, error, share, float(low), float(high))


def _strata(held: Held, domains: int) -> Indices:
    """The stratum (d,) of each domain: its own where enough was held back, one for all the others.

    The others join the largest stratum when even together they are too few.
    """
    count = np.array([held.of(held.domain == each).effective for each in range(domains)])
    big = count >= LEAST_OF_A_DOMAIN
    found = np.where(big, np.cumsum(big) - 1, big.sum())
    if held.of(~big[held.domain]).effective < LEAST_OF_A_DOMAIN and big.any():
        found = np.where(big, found, found[count.argmax()])
    return found.astype(np.intp)


def _cross_fit(held: Held, own: Indices, rows: Doubles, sums: Doubles) -> tuple[Doubles, Doubles]:
    """Residuals (n, u) of fits that had not seen the row's fold, and the sum (u,) of what they say of small answers."""
    middle, spread = held.points.mean(axis=0), np.maximum(held.points.std(axis=0), 1e-9)
    level = np.eye(len(rows))[own]
    points = np.hstack([np.ones((len(own), 1)), level, (held.points - middle) / spread])
    wanted = np.concatenate([[rows.sum()], rows, (sums.sum(axis=0) - rows.sum() * middle) / spread])
    pull = np.diag([1e-6, *np.full(len(rows), _PULL), *np.ones(held.points.shape[1])])
    fold = np.unique(held.conversation, return_inverse=True)[1] % _FOLDS
    residual, predicted = np.empty(held.fallback.shape), np.zeros(held.fallback.shape[1])
    for each in range(_FOLDS):
        seen, left = fold != each, fold == each
        weights = np.linalg.solve(points[seen].T @ points[seen] + pull, points[seen].T @ held.fallback[seen])
        residual[left] = held.fallback[left] - points[left] @ weights
        predicted += left.mean() * (wanted @ weights)
    return residual, predicted
