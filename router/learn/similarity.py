"""How alike two requests are, and points whose inner product says so.

A Gaussian kernel over the request vector and, where a shape gives it weight, over the surface numbers: requests count
as neighbours when they are near in both. Landmarks make it linear in the number of requests (Williams and Seeger,
Using the Nystroem Method to Speed Up Kernel Machines, 2000): a ridge on the points is then a soft vote of neighbours
where they are dense and close to a linear rule where they are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_FAR: Final = 3.0
"""Standard deviations beyond which a surface number is as strange as it gets; keeps one huge number from ruling."""

_FLATTEST: Final = 1e-4
"""Axes with less than this share of the widest one's spread hold rounding, not similarity."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How fast similarity falls: exp(-vector * |v - v'|^2 - surface * mean squared difference of surface numbers)."""

    vector: float
    surface: float


class Similarity:
    """Fitted: `landmarks_` (l, d + f) and `axes_` (l, r); `of(...) @ axes_` are the points."""

    landmarks_: Floats
    axes_: Floats

    def __init__(self, shape: Shape, landmarks: int, seed: int = 0) -> None:
        self.shape = shape
        self._count = landmarks
        self._seed = seed

    def fit(self, vectors: Floats, features: Floats) -> Self:
        """Learn scale and landmarks from unit vectors (n, d) and surface numbers (n, f)."""
        self._mean = features.mean(axis=0)
        self._spread = np.maximum(features.std(axis=0), np.float32(1e-6))
        chosen = np.random.default_rng(self._seed).permutation(len(vectors))[: self._count]
        self.landmarks_ = self._stretched(vectors[chosen], features[chosen])
        self._half = (self.landmarks_**2).sum(axis=1) / 2
        spectrum, turn = np.linalg.eigh(self._to_landmarks(self.landmarks_).astype(np.float64))
        wide = spectrum > _FLATTEST * spectrum[-1]
        self.axes_ = (turn[:, wide] / np.sqrt(spectrum[wide])).astype(np.float32)
        return self

    def of(self, vectors: Floats, features: Floats) -> Floats:
        """Similarity (n, l) of requests to the landmarks, in (0, 1]."""
        return self._to_landmarks(self._stretched(vectors, features))

    def _to_landmarks(self, stretched: Floats) -> Floats:
        exponent: Floats = stretched @ self.landmarks_.T
        exponent -= (stretched**2).sum(axis=1, keepdims=True) / 2
        exponent -= self._half
        return np.exp(np.minimum(exponent, 0, out=exponent), out=exponent)

    def _stretched(self, vectors: Floats, features: Floats) -> Floats:
        """Coordinates (n, d + f) in which the similarity is exp(-squared distance / 2)."""
        strange = np.clip((features - self._mean) / self._spread, -_FAR, _FAR)
        by_vector = np.float32((2 * self.shape.vector) ** 0.5)
        by_surface = np.float32((2 * self.shape.surface / max(features.shape[1], 1)) ** 0.5)
        return np.hstack([by_vector * vectors, by_surface * strange], dtype=np.float32)
