"""How alike two requests are, and points whose inner product says so.

A Gaussian kernel over the request vector and, where a shape gives it weight, over the surface numbers: requests count
as neighbours when they are near in both. Landmarks make it linear in the number of requests (Williams and Seeger,
Using the Nystroem Method to Speed Up Kernel Machines, 2000): a ridge on the points is then a soft vote of neighbours
where they are dense, and close to a linear rule where they are not. Landmarks are centres of requests, so that few say
as much as many requests would (Zhang, Tsang and Kwok, Improved Nystroem Low-Rank Approximation, 2008).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from experts.fitted import State

Floats = NDArray[np.float32]

_FAR: Final = 3.0
"""Standard deviations beyond which a surface number is as strange as it gets; keeps one huge number from ruling."""

_FLATTEST: Final = 1e-4
"""Axes with less than this share of the widest one's spread hold rounding, not similarity."""

_ROUNDS: Final = 8
"""Of k-means: twice as many change what the points miss of held-out requests by less than .0002 of it."""

_DRAWN: Final = 6000
"""Requests whose centres are looked for."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How fast similarity falls: exp(-vector * |v - v'|^2 - surface * mean squared difference of surface numbers)."""

    vector: float
    surface: float


class Stretch:
    """Coordinates in which a shape's similarity is exp(-squared distance / 2)."""

    def __init__(self, shape: Shape, features: Floats) -> None:
        """The surface numbers `features` (n, f) tell what is usual."""
        self._mean = features.mean(axis=0)
        self._spread = np.maximum(features.std(axis=0), np.float32(1e-6))
        self.by_vector = np.float32((2 * shape.vector) ** 0.5)
        self._by_surface = np.float32((2 * shape.surface / max(features.shape[1], 1)) ** 0.5)

    @property
    def surface_width(self) -> int:
        """Surface numbers of a request, whether they have weight or not."""
        return len(self._mean)

    @property
    def of_surface_count(self) -> int:
        """How many of the coordinates, the last ones, are those of surface numbers."""
        return len(self._mean) if self._by_surface else 0

    def state(self) -> State:
        """What was fitted, to be kept."""
        numbers = [float(self.by_vector), float(self._by_surface)]
        return {"mean": self._mean, "spread": self._spread, "by": numbers}

    @classmethod
    def of(cls, state: State) -> Self:
        """Coordinates with a kept state."""
        found = cls.__new__(cls)
        found._mean, found._spread = state["mean"], state["spread"]
        found.by_vector, found._by_surface = map(np.float32, state["by"])
        return found

    def __call__(self, vectors: Floats, features: Floats) -> Floats:
        """The coordinates (n, d + f) of unit vectors (n, d) with surface numbers (n, f).

        They are (n, d) where the surface has no weight.
        """
        stretched: Floats = self.by_vector * vectors
        if not self._by_surface:
            return stretched
        return np.concatenate([stretched, self.of_surface(features)], axis=-1, dtype=np.float32)

    def of_surface(self, features: Floats) -> Floats:
        """The last coordinates (..., f), those of surface numbers (..., f); none where the surface has no weight."""
        if not self._by_surface:
            return features[..., :0]
        strange = np.minimum(np.maximum((features - self._mean) / self._spread, -_FAR), _FAR)
        found: Floats = self._by_surface * strange
        return found


class Similarity:
    """Fitted: `axes_` (l, r), widest first; what `looks` returns times the axes are the points.

    With no landmarks likeness is linear: there are no neighbours, only directions. With some it is `curved`, and
    `looks` are exponentials.
    """

    axes_: Floats

    def __init__(self, shape: Shape, landmarks: int, seed: int = 0) -> None:
        self.shape, self.curved = shape, landmarks > 0
        self._count = landmarks
        self._seed = seed

    def fit(self, vectors: Floats, features: Floats) -> Self:
        """Learn scale and landmarks from unit vectors (n, d) and surface numbers (n, f)."""
        self._stretch = Stretch(self.shape, features)
        drawn = np.random.default_rng(self._seed).permutation(len(vectors))[:_DRAWN]
        self._landmarks = _centres(self._stretch(vectors[drawn], features[drawn]), self._count)
        self._prepare((self._landmarks**2).sum(axis=1) / 2)
        if not self._count:
            self.axes_ = np.eye(self._landmarks.shape[1], dtype=np.float32)
            return self
        spectrum, turn = np.linalg.eigh(self._to_landmarks(self._landmarks).astype(np.float64))
        wide = np.flatnonzero(spectrum > _FLATTEST * spectrum[-1])[::-1]
        self.axes_ = (turn[:, wide] / np.sqrt(spectrum[wide])).astype(np.float32)
        return self

    def state(self) -> State:
        """What requests are compared with, to be kept."""
        return {"stretch": self._stretch.state(), "landmarks": self._landmarks, "half": self._half}

    @classmethod
    def of(cls, state: State, shape: Shape) -> Self:
        """Likeness with a kept state: `looks` are the same, axes to fit anything on there are none."""
        landmarks = state["landmarks"]
        found = cls(shape, len(landmarks))
        found._stretch, found._landmarks = Stretch.of(state["stretch"]), landmarks
        found._prepare(state["half"])
        return found

    def _prepare(self, half: Floats) -> None:
        """Keep half the squared lengths (l,) of the landmarks, those with half a unit vector's, and their surface."""
        self._half, self._halves = half, half + self._stretch.by_vector**2 / 2
        of_surface = self._stretch.of_surface_count
        self.by_surface, last = of_surface > 0, self._landmarks.shape[1] - of_surface
        self._on_surface = np.ascontiguousarray(self._landmarks[:, last:])

    def looks(self, vectors: Floats, features: Floats) -> Floats:
        """Similarity (n, l) of requests to the landmarks, in (0, 1]; their coordinates when there are none."""
        stretched = self._stretch(vectors, features)
        return self._to_landmarks(stretched) if self._count else stretched

    @property
    def surface_width(self) -> int:
        """Surface numbers of a request."""
        return self._stretch.surface_width

    def rows(self, dimensions: int) -> tuple[Floats, Floats]:
        """What the vector (d,) of one request is multiplied with, (l, d), and what is less, (l,), before `surface`."""
        by_vector = self._stretch.by_vector
        if self.curved:
            return by_vector * self._landmarks[:, :dimensions], self._halves
        linear = by_vector * np.eye(self._landmarks.shape[1], dimensions, dtype=np.float32)
        return linear, np.zeros(len(linear), np.float32)

    def surface(self, seen: Floats, features: Floats) -> None:
        """Add to the product (l,) what surface numbers (f,) say; the looks are the exponentials of that, if `curved`.

        Only where the shape is `by_surface`. The vector is a unit vector. Of a landmark's twin, rounding may leave the
        look above 1.
        """
        on_surface = self._stretch.of_surface(features)
        if not self.curved:
            seen[-len(on_surface) :] = on_surface
            return
        seen += self._on_surface.dot(on_surface)
        seen -= on_surface.dot(on_surface) / 2

    def _to_landmarks(self, stretched: Floats) -> Floats:
        exponent: Floats = stretched @ self._landmarks.T
        exponent -= (stretched**2).sum(axis=1, keepdims=True) / 2
        exponent -= self._half
        return np.exp(np.minimum(exponent, 0, out=exponent), out=exponent)


def _centres(points: Floats, count: int) -> Floats:
    """Of so many groups of like points (n, c), by Lloyd's algorithm from the first of them; the points, where few.

    A point that comes again and again is one, or it would take the landmarks of others.
    """
    if not count:
        return points[:0]
    points = points[np.sort(np.unique(points, axis=0, return_index=True)[1])]
    centres = points[:count].copy()
    for _ in range(_ROUNDS if len(centres) < len(points) else 0):
        nearest = (points @ centres.T - (centres**2).sum(axis=1) / 2).argmax(axis=1)
        order = np.argsort(nearest, kind="stable")
        owned, first, size = np.unique(nearest[order], return_index=True, return_counts=True)
        centres[owned] = np.add.reduceat(points[order], first, axis=0) / size[:, None]
    return centres
