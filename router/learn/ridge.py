"""Ridge regression of many scores at once on points that come in blocks, so that memory does not grow with the rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FREE: Final = 1e-3
"""Penalty of a constant that is not to be shrunk: next to none, and still solvable when every point is nought."""


def ridge(blocks: Iterable[tuple[Floats, Floats]], penalty: float, on_constant: float = FREE) -> Floats:
    """Weights (p, m) of targets (n, m) on points (n, p) whose last column is one; `blocks` are such pairs by rows.

    Products in float32, their sums and the p equations in float64. Raises ValueError when there are no blocks.
    """
    gram: NDArray[np.float64] | None = None
    cross: NDArray[np.float64] | None = None
    for points, targets in blocks:
        if gram is None or cross is None:
            size = points.shape[1]
            gram, cross = np.zeros((size, size)), np.zeros((size, targets.shape[1]))
        gram += points.T @ points
        cross += points.T @ targets
    if gram is None or cross is None:
        raise ValueError("no rows, no regression")
    penalties = np.full(len(gram), penalty)
    penalties[-1] = on_constant
    gram[np.diag_indices_from(gram)] += penalties
    weights: Floats = np.linalg.solve(gram, cross).astype(np.float32)
    return weights
