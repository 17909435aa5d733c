"""How many requests small experts may keep, so that a promise about the quality lost by it holds for requests to come.

Learn then test (Angelopoulos, Bates, Candes, Jordan, Lei, 2021, arXiv:2110.01052): thresholds are tried from strict to
lax, each by a test of "the loss is larger than promised", and the laxest before the first that fails is taken; tried in
an order fixed beforehand, all of them together are wrong no more often than one (fixed sequence testing).

The test is exact for any number of requests. A loss of -1, 0 or 1 has two unknowns, the mean, which is tested, and how
often it is not nought; the worst case over a confidence set of the latter makes a p-value (Berger and Boos, P Values
Maximized Over a Confidence Set for the Nuisance Parameter, 1994). Losses between are rounded at random, which keeps
their mean. Bounds that hold for any bounded loss (Hoeffding and Bentkus, betting) are valid too, and half again as wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

GRID: Final = np.linspace(1, -1, 401)
"""Thresholds that are tried, strict first: what a small expert's expected score may fall short of the fallback's."""

_SPENT: Final = 0.05
"""Share of the error allowed that the confidence set of the nuisance may use up."""

_LOOKS: Final = 5
"""Points at which the worst case over the confidence set is looked for, both its ends among them."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A certified rule: a small expert may keep requests whose score is at least `at`."""

    at: float
    kept: float
    """Share of the calibration requests that it keeps."""
    loss: float
    """Mean loss on them, over all requests."""
    bound: float
    """What the mean loss is below, with the confidence asked for."""
    n: int


def choose_threshold(
    losses: Doubles, scores: Doubles, max_risk: float, confidence: float, *, seed: int = 0
) -> Threshold | None:
    """The laxest threshold whose loss is certified, from requests no judge was fitted on; None when there is none.

    `losses` (n,) in [-1, 1] are lost when a small expert answers instead of the fallback, `scores` (n,) speak for it.
    With probability `confidence` over these requests, the mean loss over all requests is at most `max_risk`.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    whole = _rounded(losses, seed)
    order = np.argsort(-scores, kind="stable")
    harms, gains = (np.concatenate([[0], np.cumsum(whole[order] == sign)]) for sign in (1, -1))
    counts = np.searchsorted(-scores[order], -GRID, side="right")
    found: Threshold | None = None
    n, tried = len(losses), 0
    for threshold, kept in zip(GRID, counts, strict=True):
        if kept == tried:
            continue
        tried = int(kept)
        if p_value(n, int(harms[kept]), int(gains[kept]), max_risk, 1 - confidence) > 1 - confidence:
            break
        loss = float(losses[order[:kept]].sum() / n)
        found = Threshold(float(threshold), float(kept / n), loss, math.nan, n)
    if found is None:
        return None
    kept = round(found.kept * n)
    bound = upper_bound(n, int(harms[kept]), int(gains[kept]), confidence)
    return Threshold(found.at, found.kept, found.loss, bound, n)


def p_value(n: int, harms: int, gains: int, risk: float, error: float) -> float:
    """How likely so few more `harms` than `gains` among `n` are at most, were the mean loss `risk` or more.

    `error` is the level it will be compared with; a twentieth of it is spent on the nuisance.
    """
    spent = error * _SPENT
    low, high = _clopper_pearson(harms + gains, n, spent)
    low = max(low, abs(risk))
    if low > high:
        return spent
    return min(1.0, spent + max(_tail(n, harms - gains, risk, busy) for busy in np.linspace(low, high, _LOOKS)))


def upper_bound(n: int, harms: int, gains: int, confidence: float) -> float:
    """The least mean loss that is refuted with `confidence`; one when none is."""
    error = 1 - confidence
    low, high = (harms - gains) / n, 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if p_value(n, harms, gains, middle, error) <= error else (middle, high)
    return high


def _tail(n: int, net: int, risk: float, busy: float) -> float:
    """P(sum of n losses <= net) when the mean is `risk` and a loss is not nought with probability `busy`.

    The distribution of the sum is the inverse Fourier transform of one loss's, to the power n.
    """
    size = 1 << (2 * n).bit_length()
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    harm, gain = (busy + risk) / 2, (busy - risk) / 2
    one = (1 - busy) + harm * turn + gain * turn.conj()
    chances = np.fft.irfft(one**n, size)
    return float(chances[: net + 1].sum() + chances[size - n :].sum()) if net >= 0 else float(
        chances[size - n : size + net + 1].sum()
    )


def _clopper_pearson(hits: int, n: int, error: float) -> tuple[float, float]:
    """The exact two-sided interval of a share (Clopper and Pearson, 1934)."""
    low = 0.0 if hits == 0 else _solve(lambda p: 1 - _at_most(hits - 1, n, p) - error / 2)
    high = 1.0 if hits == n else _solve(lambda p: error / 2 - _at_most(hits, n, p))
    return low, high
