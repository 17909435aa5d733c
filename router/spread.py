"""How long something took, as a histogram of Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import Final

SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Spread:
    """How long something took, counted by `SECONDS`."""

    __slots__ = ("buckets", "total_us")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.total_us = 0

    def add(self, us: int) -> None:
        """Another of so many microseconds."""
        self.buckets[bisect_left(SECONDS, us / 1e6)] += 1
        self.total_us += us

    def cumulative(self) -> list[tuple[str, float]]:
        """As Prometheus wants it: each bound with how many took no longer."""
        bounds = (*map(str, SECONDS), "+Inf")
        return list(zip(bounds, map(float, accumulate(self.buckets)), strict=True))
