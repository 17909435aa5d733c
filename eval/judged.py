"""Held-out requests with what the judge said of them and what was true: everything the figures are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

PRICES: Final = 200
"""Prices at which a judge's decisions are looked at, between free and beyond price."""

_LOOKED_AT: Final = 5000
"""Requests that the prices are spread by."""


@dataclass(frozen=True, slots=True)
class Judged:
    """n requests, each judged by a fit that had not seen it, and m models, cheapest first."""

    expected: Doubles
    """(n, m), what the judge compares models by."""
    probability: Floats
    """(n, m), calibrated."""
    known: Doubles
    """(n,), conformal p-values that a request belongs to a known domain."""
    by_task_mean: Doubles
    """(n, m), the training mean of the request's own task: a control that is told the task."""
    best_single: Indices
    """(n,), the model that was best in training."""
    costs_known: Doubles
    """(n, m), mean cost in training: all that is known of a cost before asking."""
    scores: Doubles
    """(n, m), what was true."""
    costs: Doubles
    """(n, m), what was paid."""
    tasks: NDArray[np.str_]
    """(n,), empty where nobody told."""


def prices(expected: Doubles, costs: Doubles) -> Doubles:
    """Prices from infinity down to nought, spread evenly over where choices change: first everything is cheapest."""
    some = slice(None, None, -(-len(expected) // _LOOKED_AT))
    expected, costs = expected[some], costs[some]
    later, sooner = np.triu_indices(expected.shape[1], 1)[::-1]
    gain, extra = expected[:, later] - expected[:, sooner], costs[:, later] - costs[:, sooner]
    paying = (gain > 0) & (extra > 0)
    at = np.quantile(gain[paying] / extra[paying], np.linspace(1, 0, PRICES)) if paying.any() else np.empty(0)
    return np.concatenate([[np.inf], at, [0.0]])


def choices(expected: Doubles, costs: Doubles) -> Indices:
    """The product's choice (k, n) at each of the prices, from the cheapest way to the best."""
    return np.stack([worth_most(expected, costs, price) for price in prices(expected, costs)])


def worth_most(expected: Doubles, costs: Doubles, price: float) -> Indices:
    """For each request (n,) the model whose `expected` score (n, m), less `price` times its cost, is highest.

    The best rule there is, when expectations hold: no other one has a higher mean score at the same mean cost (the
    price is the Lagrange multiplier of the budget). With two models it is a threshold on the expected uplift.
    `costs` is (n, m) or (m,), known before asking, cheapest model first: of equals the first is taken. A `price` of
    infinity takes the cheapest whatever is expected of it.
    """
    if np.isinf(price):
        cheapest: Indices = np.broadcast_to(costs, expected.shape).argmin(axis=1)
        return cheapest
    worthiest: Indices = (expected - price * costs).argmax(axis=1)
    return worthiest
