"""What was drawn together, in conversations: as how many they count, and how far off what is told by them may be. Pure.

Rows of a conversation were drawn together, so what a total owes to chance is told by leaving out one conversation at a
time: the jackknife by clusters (Bell and McCaffrey, Bias Reduction in Standard Errors for Linear Regression with
Multi-Stage Samples, 2002; MacKinnon, Nielsen and Webb, Cluster-Robust Inference, 2023). Where all are of one size it is
the usual sum of squares; a long one that drew the mean towards itself is told by what the others say without it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]

_Z: Final = 1.959964


def effective(sizes: Doubles) -> float:
    """As how many of one size conversations (n,) count: Kish's effective sample size (Survey Sampling, 1965).

    Few large ones among many small ones count as little more than themselves.
    """
    whole, squares = float(sizes.sum()), float(sizes @ sizes)
    return whole**2 / squares if squares > 0 else 0.0


def sizes(weight: Doubles, conversation: Indices) -> Doubles:
    """The weight (c,) of each conversation, of that of its rows (n,)."""
    return np.bincount(np.unique(conversation, return_inverse=True)[1], weight).astype(float)


def moves(apart: Doubles, weight: Doubles, conversation: Indices, stratum: Indices, rows: Doubles) -> Doubles:
    """By how much a total, rows (s,) times weighted mean in each stratum, moves as one conversation (c, u) is left out.

    `apart` (n, u) is by how much each row is off the mean of its stratum; `conversation`, `stratum` and `weight` are of
    rows (n,). No stratum may be of one conversation alone. The sum of products of moves is the total's covariance.
    """
    cells, cell = np.unique(conversation * len(rows) + stratum, return_inverse=True)
    talk, at = np.divmod(cells, len(rows))
    part = np.bincount(cell, weight)
    whole, many = np.bincount(at, part, len(rows))[at], np.bincount(at, minlength=len(rows))[at]
    factor = rows[at] * np.sqrt((many - 1) / many) / (whole - part)
    _, own = np.unique(talk, return_inverse=True)
    return np.stack([np.bincount(own, factor * np.bincount(cell, weight * each)) for each in apart.T], axis=1)


def student(freedom: float) -> float:
    """Student's 97.5 % quantile, to the first order in 1 / degrees of freedom (Abramowitz and Stegun, 26.7.5)."""
    return _Z + (_Z**3 + _Z) / (4 * max(freedom, 1))
