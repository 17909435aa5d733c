"""Limited-memory BFGS (Nocedal and Wright, Numerical Optimization, 2006, algorithm 7.5) in plain numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Objective = Callable[[Floats], tuple[float, Floats]]
"""Weights -> value and gradient; convex and smooth."""

_MEMORY = 8
_MAX_STEPS = 200
_MAX_HALVINGS = 20
_SUFFICIENT_DECREASE = 1e-4  # Armijo's constant, as the book suggests
_FLOAT32_NOISE = 1e-7

_Pair = tuple[Floats, Floats, np.floating]
"""A step, the change of the gradient over it, and one over their product."""


def minimise(objective: Objective, start: Floats, scale: Floats, tolerance: float) -> Floats:
    """Weights at which the gradient is no longer than `tolerance`, or no step goes down any further.

    `scale` broadcasts against the weights: a rough inverse of the Hessian's diagonal, which halves the steps needed.
    """
    weights = start
    value, gradient = objective(weights)
    pairs: list[_Pair] = []
    for _ in range(_MAX_STEPS):
        if np.linalg.norm(gradient) <= tolerance:
            break
        direction = _direction(gradient, pairs, scale)
        found = _descend(objective, weights, value, gradient, direction)
        if found is None:
            break
        step, change = found[0] - weights, found[2] - gradient
        product = np.vdot(step, change)
        if product > 0:
            pairs = [*pairs[1 - _MEMORY :], (step, change, 1 / product)]
        weights, value, gradient = found
    return weights


def _direction(gradient: Floats, pairs: list[_Pair], scale: Floats) -> Floats:
    """The two-loop recursion: minus the approximate inverse Hessian times the gradient."""
    q = gradient.copy()
    taken = []
    for step, change, rho in reversed(pairs):
        alpha = rho * np.vdot(step, q)
        q -= alpha * change
        taken.append(alpha)
    q *= scale
    if pairs:
        step, change, rho = pairs[-1]
        q /= rho * np.vdot(change, scale * change)
    for (step, change, rho), alpha in zip(pairs, reversed(taken), strict=True):
        q += (alpha - rho * np.vdot(change, q)) * step
    return -q


def _descend(
    objective: Objective, weights: Floats, value: float, gradient: Floats, direction: Floats
) -> tuple[Floats, float, Floats] | None:
    """The first of ever shorter steps that goes down enough; None when rounding leaves none."""
    slope = float(np.vdot(direction, gradient))
    length = np.float32(1)
    for _ in range(_MAX_HALVINGS):
        there = weights + length * direction
        value_there, gradient_there = objective(there)
        if value_there <= value + _SUFFICIENT_DECREASE * length * slope + _FLOAT32_NOISE * abs(value):
            return there, value_there, gradient_there
        length /= np.float32(2)
    return None
