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

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from experts.state_file import StateDamaged, number, whole_number
from experts.wire import Vector

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

WINDOW: Final = 128
"""Requests looked at together, and all that are kept: 200 kB a policy."""

STEP: Final = 32
"""Requests after which what was seen may be kept on disk, as a sum of so many or more: it tells of no single one."""

LEVEL: Final = 0.001
"""Chance that a window in which nothing has changed is taken for changed."""

FREQUENCIES: Final = 128

_DRAWS: Final = 20_000
_AXES: Final = 64
"""Axes of the features whose variance is drawn; the others together hardly vary and count by their mean."""

_SEED: Final = 0


DRIFTED: Final = (
    "recent traffic is not like the requests it was certified on (statistic {statistic:.4f}, limit {limit:.4f}). "
    "Remedy: add examples or outcomes that look like what arrives; it serves again when traffic does look alike."
)

STRAYED: Final = (
    "recent traffic is not like the requests it was estimated on (statistic {statistic:.4f}, limit {limit:.4f}), so "
    "what it takes is unknown; it serves all the same, for the fallback would take more. Remedy: add examples or "
    "outcomes that look like what arrives."
)

UNKNOWN: Final = {
    True: (
        "{unknown}, so whether it is like the requests it was certified on is known only when {window} requests have "
        "been looked at together. Remedy: none is needed, it serves again when those are like them."
    ),
    False: (
        "{unknown}, so what it takes is known only when {window} requests have been looked at together; it serves all "
        "the same, for the fallback would take more. Remedy: none is needed."
    ),
}
"""Of a certificate, and of an estimate."""


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
        return self.statistic_of(self.sums(vectors))

    def sums(self, vectors: Floats) -> Doubles:
        """What the statistic needs of vectors (k, d): the sum (2 * FREQUENCIES,) of their features."""
        found: Doubles = self._features(vectors).sum(axis=0)
        return found

    def statistic_of(self, sums: Doubles) -> float:
        """The same of `WINDOW` vectors of which only the sum is known."""
        apart = sums / WINDOW - self._mean
        return float(apart @ apart)

    def _features(self, vectors: Floats) -> Doubles:
        turned = (vectors @ self._frequencies).astype(float)
        found: Doubles = np.hstack([np.cos(turned), np.sin(turned)]) / FREQUENCIES**0.5
        return found


@dataclass(frozen=True, slots=True)
class Seen:
    """What is to be kept of a policy that is watched; a copy, so that any thread may work on it."""

    reference: Reference
    looks: int
    statistic: float | None
    drifted: bool
    before: Doubles
    """Sum over what was seen of this window before the start, and ..."""
    vectors: Floats
    """... the vectors since, up to the last step."""
    filled: int
    """Requests in both."""
    unknown: str | None
    """Why nobody can say whether the last window was like the reference; None where one can."""

    def to_json(self) -> dict[str, Any]:
        """Everything `Drift.resumed` needs."""
        sums = self.before + self.reference.sums(self.vectors) if len(self.vectors) else self.before
        return {
            "looks": self.looks,
            "statistic": self.statistic,
            "drifted": self.drifted,
            "unknown": self.unknown,
            "filled": self.filled,
            "sums": b64encode(sums.astype("<f8").tobytes()).decode(),
        }


class Drift:
    """Watches what arrives under one policy."""

    def __init__(self, reference: Reference, unknown: str | None = None) -> None:
        """With `unknown`, why the last verdict is not known or counts no more, it is drifted until a window fits."""
        self.reference, self.unknown = reference, unknown
        self.statistic: float | None = None
        """Of the last whole window; None before the first."""
        self.looks = 0
        self.drifted = unknown is not None
        self._ring: Floats | None = None
        self._filled = 0
        self._before, self._carried = np.zeros(2 * FREQUENCIES), 0
        """Sum over the first requests of the window, of which no vector is known, and how many they are."""
        self._stored = 0

    @classmethod
    def resumed(cls, reference: Reference, kept: dict[str, Any]) -> Drift:
        """Go on where `Seen.to_json` was written. Raises `StateDamaged` on anything else."""
        found = cls(reference, kept.get("unknown"))
        found.looks, found.drifted = whole_number(kept, "looks"), kept.get("drifted") is True or found.drifted
        found.statistic = None if kept.get("statistic") is None else number(kept, "statistic")
        found._before = _sums(kept.get("sums"))
        found._filled = found._carried = whole_number(kept, "filled")
        known = isinstance(kept.get("drifted"), bool) and isinstance(found.unknown, str | None)
        if not known or found._filled not in range(0, WINDOW, STEP):
            raise StateDamaged("it holds no window")
        if found.drifted and found.statistic is None and found.unknown is None:
            raise StateDamaged("a verdict without its statistic")
        return found

    def seen(self) -> Seen:
        """What is to be kept now."""
        filled = self._filled - self._filled % STEP
        vectors = np.empty((0, 0), np.float32) if self._ring is None else self._ring[self._carried : filled].copy()
        return Seen(
            self.reference, self.looks, self.statistic, self.drifted, self._before, vectors, filled, self.unknown
        )

    def against(self, reference: Reference) -> Drift:
        """The same requests watched against another reference, when what a promise rests on has changed.

        What had drifted is looked at again at once: it stays refused unless the last requests are like the new ones.
        Where they were seen before a start, it stays refused until the next window; what is a sum only counts no more.
        """
        found = Drift(reference)
        found.looks, found._filled, found._stored = self.looks, self._filled - self._carried, self._stored
        if self._ring is not None:
            found._ring = np.roll(self._ring, -self._carried, axis=0)
        if self.drifted:
            found.statistic, found.drifted, found.unknown = self.statistic, True, self.unknown
            if found._ring is not None and found._stored >= WINDOW:
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
        self._stored += 1
        if self._filled < WINDOW:
            return False
        self.statistic = self.reference.statistic_of(self._before + self.reference.sums(self._ring[self._carried :]))
        self._before, self._carried, self._filled = np.zeros(2 * FREQUENCIES), 0, 0
        self.unknown, self.drifted = None, self.statistic > self.reference.limit_
        self.looks += 1  # last, for whoever sees it in another thread goes by the rest
        return True


def _sums(told: object) -> Doubles:
    """The sum (2 * FREQUENCIES,) that a file tells. Raises `StateDamaged`."""
    try:
        found = np.frombuffer(b64decode(told if isinstance(told, str) else "", validate=True), "<f8").astype(float)
    except ValueError as error:
        raise StateDamaged(f"its sum is none ({error})") from error
    if found.shape != (2 * FREQUENCIES,) or not np.isfinite(found).all():
        raise StateDamaged("its sum is none")
    return found


def _median_distance(vectors: Floats) -> float:
    some = vectors[:: max(1, len(vectors) // 500)]
    squares = np.maximum(2 - 2 * (some @ some.T), 0)[np.triu_indices(len(some), 1)]
    return max(float(np.sqrt(np.median(squares))), 1e-3) if len(squares) else 1.0


def _quantile(features: Doubles, rng: np.random.Generator) -> float:
    """What the squared distance of a window's mean (n, f) from that of the features stays below, but for `LEVEL`."""
    spread = np.maximum(np.linalg.eigvalsh(np.cov(features.T))[::-1], 0)
    drawn = rng.standard_normal((_DRAWS, min(_AXES, len(spread)))) ** 2 @ spread[:_AXES] + spread[_AXES:].sum()
    return float(np.quantile(drawn, 1 - LEVEL)) * (1 / WINDOW + 1 / len(features))
