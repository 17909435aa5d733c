"""How many requests small experts may keep, so that a promise about the quality lost by it holds for requests to come.

Learn then test (Angelopoulos, Bates, Candes, Jordan, Lei, 2021, arXiv:2110.01052): thresholds are tried from strict to
lax, each by a test of "the loss is larger than promised", and the laxest before the first that fails is taken; tried in
an order fixed beforehand, all of them together are wrong no more often than one (fixed sequence testing).

The test is exact for any number of requests. A loss of -1, 0 or 1 has two unknowns, the mean, which is tested, and how
often it is not nought; the worst case over a confidence set of the latter makes a p-value (Berger and Boos, P Values
Maximized Over a Confidence Set for the Nuisance Parameter, 1994). Losses between are rounded at random, which keeps
their mean. Bounds that hold for any bounded loss (Hoeffding and Bentkus, betting) are valid too, and wider by half.

Whoever checks a promise sees a finite number of requests, and their mean strays from that of all by itself. So what is
promised is the mean of as many requests to come as were tested, or more, and the test is by as much stricter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

GRID: Final = np.linspace(1, -1, 401)
"""Thresholds that are tried, strict first: what a small expert's expected score may fall short of the fallback's."""

LITTLE: Final = 0.2
"""The most that a small expert's expected score may fall short of the fallback's on a request that it keeps.

A mean can be kept by many good choices and a few that are surely bad; nobody who gets one of those is served by it.
"""

_SPENT: Final = 0.05
"""Share of the error allowed that the confidence set of the nuisance may use up."""

_CLOSE: Final = 1e-5

_LOOKS: Final = 3
"""Points at which the worst case over the confidence set is looked for; it lies at the upper end, or next to it."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a threshold does to the calibration requests."""

    at: float
    kept: int
    """How many of them a small expert keeps."""
    harms: int
    """Losses of 1 among them, and ..."""
    gains: int
    """... of -1, when losses between are rounded at random."""
    loss: float
    """Their sum before rounding."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A certified rule: a small expert may keep requests whose score is at least `at`."""

    at: float
    kept: float
    """Share of the calibration requests that it keeps."""
    loss: float
    """Mean loss on them, over all requests."""
    bound: float
    """What the mean loss of `n` requests to come is below, with the confidence asked for."""
    n: int


def error_spent(confidence: float) -> float:
    """The error to test at so that `confidence` holds for the mean of as many requests to come as are tested.

    The difference of two means of as many has twice the variance of one (the normal prediction interval, as in Hahn and
    Meeker, Statistical Intervals, 1991). Raises ValueError when `confidence` is none.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    normal = NormalDist()
    return normal.cdf(normal.inv_cdf(1 - confidence) * math.sqrt(2))


def least_n(max_risk: float, confidence: float) -> int:
    """The fewest requests that can certify anything: so many without a single loss."""
    return math.ceil(math.log(error_spent(confidence) * (1 - _SPENT)) / math.log1p(-max_risk))


def first_failing(
    tallies: Iterable[Tally], n: int, max_risk: float, confidence: float, laxest: float = -LITTLE
) -> Threshold | None:
    """The last threshold before the first that cannot be certified on `n` requests; None when that is the first.

    None is below `laxest`. With probability `confidence`, the mean loss of `n` requests to come is at most
    `max_risk`. The thresholds and their order must not depend on the losses. Raises ValueError when `confidence` is
    none.
    """
    error = error_spent(confidence)
    last = last_passing(tallies, lambda harms, gains: p_value(n, harms, gains, max_risk, error) <= error, laxest)
    if last is None:
        return None
    bound = upper_bound(n, last.harms, last.gains, error)
    return Threshold(last.at, last.kept / n, last.loss / n, min(bound, max_risk), n)


def last_passing(tallies: Iterable[Tally], passes: Callable[[int, int], bool], laxest: float = -LITTLE) -> Tally | None:
    """The tally before the first of which `passes` says no of its harms and gains, none below `laxest`."""
    last: Tally | None = None
    for tally in tallies:
        if tally.at < laxest:
            break
        if not tally.kept:
            continue
        found = tally.harms, tally.gains
        if (last is None or found != (last.harms, last.gains)) and not passes(*found):
            break
        last = tally
    return last


def p_value(n: int, harms: int, gains: int, risk: float, error: float) -> float:
    """Chance of so few more `harms` than `gains` among `n` requests, were the mean loss `risk`.

    `error` is the level it will be compared with; a twentieth of it is spent on the nuisance.
    """
    spent = error * _SPENT
    busiest = _upper_share(harms + gains, n, spent)
    if busiest < risk:
        return spent
    looks = np.linspace(busiest, risk, _LOOKS, endpoint=False)
    return min(1.0, spent + max(_at_most(harms - gains, n, risk, float(busy)) for busy in looks))


def upper_bound(n: int, harms: int, gains: int, error: float) -> float:
    """What the mean loss is below, but for `error`."""
    return _root(lambda risk: p_value(n, harms, gains, risk, error) - error, max((harms - gains) / n, 0.0), 1.0)


def _at_most(net: int, n: int, risk: float, busy: float) -> float:
    """P(sum of n losses <= net) when their mean is `risk` and a loss is not nought with probability `busy`.

    The chances of the sum are the inverse Fourier transform of one loss's transform to the power n.
    """
    size = 1 << (2 * n).bit_length()
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    harm, gain = (busy + risk) / 2, (busy - risk) / 2
    chances = np.fft.irfft(((1 - busy) + harm * turn + gain * turn.conj()) ** n, size)
    return float(np.roll(chances, n)[: n + net + 1].sum())


def _upper_share(hits: int, n: int, error: float) -> float:
    """The upper end of Clopper and Pearson's exact interval (1934): a larger share is refuted at level `error`."""
    if hits == n:
        return 1.0
    drawn = np.arange(hits + 1)
    ways = np.concatenate([[0.0], np.cumsum(np.log((n - drawn[:-1]) / drawn[1:]))])

    def chance(share: float) -> float:
        return float(np.exp(ways + drawn * math.log(share) + (n - drawn) * math.log1p(-share)).sum())

    return _root(lambda share: chance(share) - error, max(hits / n, 1e-12), 1 - 1e-12)


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function turns negative between `low` and `high`, from above, to a hundred-thousandth."""
    while high - low > _CLOSE:
        middle = (low + high) / 2
        low, high = (low, middle) if falling(middle) <= 0 else (middle, high)
    return high
