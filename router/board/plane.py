"""A map of requests: their vectors on the plane in which the known domains differ most. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from experts.wire import Vector
from router.calibrate import Floats
from router.learn.outside import OUTSIDE


class Seen(Struct, frozen=True):
    """A request that was routed."""

    vector: Vector
    expert: str
    escalated: bool


class Plane:
    """Principal components of the known examples, every domain weighing the same.

    They come from the examples, not from the requests, so a place on the map means the same from hour to hour.
    """

    def __init__(self, centre: Floats, axes: Floats, centroids: dict[str, Floats]) -> None:
        self._centre = centre
        self._axes = axes
        self._centroids = centroids

    @classmethod
    def of(cls, vectors: Floats, labels: NDArray[np.str_]) -> Self | None:
        """The plane of examples (n, d) with labels (n,); None when they are too few to span one."""
        vectors, labels = vectors[labels != OUTSIDE], labels[labels != OUTSIDE]
        if len(vectors) < 3:
            return None
        names, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
        centroids = {str(name): vectors[index == at].mean(axis=0) for at, name in enumerate(names)}
        centre = np.mean(list(centroids.values()), axis=0)
        weights = np.sqrt(1 / counts[index])[:, None].astype(np.float32)
        spread = (vectors - centre) * weights
        axes = np.linalg.eigh(spread.T @ spread).eigenvectors[:, :-3:-1]
        # An axis has no sign of its own; the largest entry is made positive, so that the map is never mirrored.
        signs = np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
        return cls(centre, axes * signs, centroids)

    def place(self, vectors: Floats) -> Floats:
        """Where unit vectors (n, d) lie: (n, 2)."""
        return np.asarray((vectors - self._centre) @ self._axes, np.float32)

    def to_json(self, seen: Iterable[Seen]) -> dict[str, Any]:
        """The domains' centroids, and the requests, oldest first."""
        requests = list(seen)
        return {
            "domains": [{"label": label, **_point(self.place(mean))} for label, mean in self._centroids.items()],
            "shown": len(requests),
            "requests": [
                {"expert": one.expert, "escalated": one.escalated, **_point(self.place(one.vector))} for one in requests
            ],
        }


def _point(place: Floats) -> dict[str, float]:
    return {"x": round(float(place[0]), 4), "y": round(float(place[1]), 4)}
