"""How far a saved share can be believed when joules per token and watts per core are themselves in doubt. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

TABLE_SPREAD: Final = 0.35
"""Standard deviation of the logarithm of a table's joules per token: nine in ten models are within a factor of two."""

_DRAWS: Final = 4000


def coefficient_interval(
    spent: Mapping[str, float], alone: Mapping[str, float], spread: Mapping[str, float], error: float = 0.0
) -> tuple[float, float]:
    """Where 95 % of the saved share lies when joules per token and watts per core themselves are in doubt.

    `spent` (the router's work included) and `alone` (the fallback's) are joules by the coefficient they were computed
    with, `spread` the standard deviation of a coefficient's logarithm, 0 where it is not named; `error` is the standard
    error of the sum of `alone`, which is drawn too. A coefficient errs the same wherever it was used, on both sides.
    The interval always holds the estimate.
    """
    names = sorted({*spent, *alone})
    spreads = np.array([spread.get(name, 0.0) for name in names])
    rng = np.random.default_rng(0)
    factors = np.vstack([np.ones(len(names)), np.exp(spreads * rng.standard_normal((_DRAWS, len(names))))])
    taken, whole = (factors @ np.array([joules.get(name, 0.0) for name in names]) for joules in (spent, alone))
    luck = 1 + error / sum(alone.values()) * rng.standard_normal(_DRAWS)
    whole[1:] *= np.maximum(luck, 1e-9)
    shares = 1 - taken / whole
    low, high = np.percentile(shares[1:], [2.5, 97.5])
    return float(min(low, shares[0])), float(max(high, shares[0]))
