"""Requests known both as examples and from outcomes: what judges the one must not have seen the other. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from router.learn.evidence import ALIKE, Floats

Indices = NDArray[np.intp]

FOLDS: Final = 3

MOST: Final = 10_000
"""Outcomes that are enough to learn from when many are apart."""

_BLOCK: Final = 512


def repeated(examples: Floats, outcomes: Floats) -> Iterator[tuple[Indices, Indices]]:
    """Examples (n, d) that are among the outcomes (r, d) too, in folds, each with outcomes that none of it is like."""
    both = np.flatnonzero(_any_alike(examples, outcomes))
    for fold in (both[start::FOLDS] for start in range(FOLDS)):
        if len(fold):
            apart = np.flatnonzero(~_any_alike(outcomes, examples[fold]))
            yield fold, apart[:: -(-len(apart) // MOST) or 1]


def _any_alike(vectors: Floats, others: Floats) -> NDArray[np.bool_]:
    """Whether each of the unit vectors (n, d) is nearly the same as any of others (m, d)."""
    blocks = (vectors[start : start + _BLOCK] @ others.T for start in range(0, len(vectors), _BLOCK))
    found = [(block >= ALIKE).any(axis=1) for block in blocks]
    return np.concatenate(found) if found else np.empty(0, bool)
