"""Which texts are one asked twice, by their vectors. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]
Floats = NDArray[np.float32]

Done = Callable[[int, int], None]
"""Told how much is done, of how much."""

ALIKE: Final = 0.9
"""Cosine above which two requests count as one asked twice."""

_BLOCK: Final = 1024


def near_duplicates(vectors: Floats, done: Done = lambda _done, _of: None) -> Indices:
    """A group (n,) for each unit vector (n, d): two that are alike, directly or through others, share one.

    Takes the square of n, minutes of 100,000; `done` is told of how many pairs were looked at, and of how many.
    """
    group = np.arange(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        done(start**2, len(vectors) ** 2)
        alike = vectors[start : start + _BLOCK] @ vectors[: start + _BLOCK].T > ALIKE
        for row in np.flatnonzero(alike.sum(axis=1) > 1):
            own = np.unique(group[: start + _BLOCK][alike[row]])
            if len(own) > 1:
                group[np.isin(group, own)] = own[0]
    done(len(vectors) ** 2, len(vectors) ** 2)
    return group


def near_any(vectors: Floats, others: Floats) -> Bools:
    """Whether each unit vector (n, d) is alike to any of the others (m, d): (n,)."""
    blocks = [vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK)]
    return np.concatenate([np.zeros(0, bool), *((block @ others.T > ALIKE).any(axis=1) for block in blocks)])
