"""How repeated looks at one figure differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Spread:
    """Order statistics of `n` values, in the unit of the figure."""

    n: int
    min: float
    q1: float
    median: float
    q3: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Linear interpolation between values, as numpy does it. Raises ValueError when there are none."""
        if not values:
            raise ValueError("no values, no spread")
        at = np.percentile(np.asarray(values, float), [0, 25, 50, 75, 99, 100])
        return cls(len(values), *(float(each) for each in at))

    def to_json(self) -> dict[str, float]:
        """Everything, rounded to a thousandth."""
        return {name: round(value, 3) for name, value in asdict(self).items()}
