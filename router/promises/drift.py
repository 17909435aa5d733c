"""Is recent traffic still like the requests that a promise was made on? A two-sample test on vectors.

The statistic is the maximum mean discrepancy (Gretton, Borgwardt, Rasch, Schoelkopf, Smola, A Kernel Two-Sample Test,
2012) of a Gaussian kernel as wide as the median distance, by random Fourier features (Rahimi and Recht, 2007), so that
a look costs one small matrix product. Its limit is a quantile of the weighted sum of chi-squares that it follows when
nothing has changed (Gretton, Fukumizu, Harchaoui, Sriperumbudur, A Fast, Consistent Kernel Two-Sample Test, 2009).

Looking again and again finds something sooner or later. So requests are looked at in windows that share none, each
window once: looks are independent, and of windows in which nothing has changed one in a thousand is taken for changed,
however long it goes on. The next window that fits lifts the refusal.
"""

from __future__ import annotations

from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from experts.wire import Vector

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

WINDOW: Final = 128
"""Requests looked at together, and all that are kept: 200 kB a policy."""

LEVEL: Final = 0.001
"""Chance that a window in which nothing has changed is taken for changed."""

FREQUENCIES: Final = 128

_DRAWS: Final = 20_000
_AXES: Final = 64
"""Axes of the features whose variance is drawn; the others together hardly vary and count by their mean."""

_SEED: Final = 0


class Reference:
    """Fitted on the vectors (n, d) of a promise's evidence; `limit_` is what the statistic of a window may reach."""

    limit_: float

    def fit(self, vectors: Floats) -> Self:
        """Learn from at least two vectors. The same vectors give the same limit."""
        rng = np.random.default_rng(_SEED)
        width = _median_distance(vectors)
        self._frequencies = (rng.standard_normal((vectors.shape[1], FREQUENCIES)) / width).astype(np.float32)
        features = self._features(vectors)
        self._mean = features.mean(axis=0)
        self.limit_ = _quantile(features, rng)
        return self

    def statistic(self, vectors: Floats) -> float:
        """Squared discrepancy of `WINDOW` vectors from those of `fit`."""
        apart = self._features(vectors).mean(axis=0) - self._mean
        return float(apart @ apart)

    def _features(self, vectors: Floats) -> Doubles:
        turned = (vectors @ self._frequencies).astype(float)
        found: Doubles = np.hstack([np.cos(turned), np.sin(turned)]) / FREQUENCIES**0.5
        return found


class Drift:
    """Watches what arrives under one policy."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.statistic: float | None = None
        """Of the last whole window; None before the first."""
        self.looks = 0
        self.drifted = False
        self._ring: Floats | None = None
        self._filled = 0

    def against(self, reference: Reference) -> Drift:
        """The same requests watched against another reference, when what a promise rests on has changed.

        What had drifted is looked at again at once: it stays refused unless the last requests are like the new ones.
        """
        found = Drift(reference)
        found.looks, found._filled = self.looks, self._filled
        if self._ring is not None:
            found._ring = self._ring.copy()
            if self.drifted:
                found.statistic = reference.statistic(found._ring)
                found.drifted = found.statistic > reference.limit_
        return found

    @property
    def waiting(self) -> int:
        """Requests seen since the last look."""
        return self._filled

    def saw(self, vector: Vector) -> bool:
        """Keep a request's vector (d,), and look when a window is full; whether it was."""
        if self._ring is None:
            self._ring = np.empty((WINDOW, len(vector)), np.float32)
        self._ring[self._filled] = vector
        self._filled += 1
        if self._filled < WINDOW:
            return False
        self._filled = 0
        self.statistic = self.reference.statistic(self._ring)
        self.looks += 1
        self.drifted = self.statistic > self.reference.limit_
        return True


def _median_distance(vectors: Floats) -> float:
    some = vectors[:: max(1, len(vectors) // 500)]
    squares = np.maximum(2 - 2 * (some @ some.T), 0)[np.triu_indices(len(some), 1)]
    return max(float(np.sqrt(np.median(squares))), 1e-3) if len(squares) else 1.0


def _quantile(features: Doubles, rng: np.random.Generator) -> float:
    """What the squared distance of a window's mean (n, f) from that of the features stays below, but for `LEVEL`."""
    spread = np.maximum(np.linalg.eigvalsh(np.cov(features.T))[::-1], 0)
    drawn = rng.standard_normal((_DRAWS, min(_AXES, len(spread)))) ** 2 @ spread[:_AXES] + spread[_AXES:].sum()
    return float(np.quantile(drawn, 1 - LEVEL)) * (1 / WINDOW + 1 / len(features))
