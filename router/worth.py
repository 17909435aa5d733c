"""Which model is worth its cost: expected score, less a price for what it costs. Pure.

The best rule there is, when expectations hold: no other one has a higher mean score at the same mean cost (the price is
the Lagrange multiplier of the budget). With two models it is a threshold on the expected uplift.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32] | NDArray[np.float64]
Indices = NDArray[np.intp]


def worth_most(expected: Floats, costs: Floats, price: float) -> Indices:
    """For each request (n,) the model whose `expected` score (n, m), less `price` times its cost, is highest.

    `costs` is (n, m) or (m,), known before asking, cheapest model first: of equals the first is taken. A `price` of
    infinity takes the cheapest whatever is expected of it.
    """
    if np.isinf(price):
        cheapest: Indices = np.broadcast_to(costs, expected.shape).argmin(axis=1)
        return cheapest
    worthiest: Indices = (expected - price * costs).argmax(axis=1)
    return worthiest
