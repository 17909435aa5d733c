"""A bucket that fills evenly: how often something may happen, with a minute's worth saved up at most."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """Holds `per_minute` at most. `clock` gives monotonic seconds."""

    __slots__ = ("_clock", "_level", "_then", "per_minute")

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._level = float(per_minute)
        self._then = clock()

    @property
    def level(self) -> float:
        """What is in it now; below zero when more was taken than there was."""
        now = self._clock()
        self._level = min(float(self.per_minute), self._level + (now - self._then) * self.per_minute / 60)
        self._then = now
        return self._level

    def take(self, amount: float) -> None:
        """Take out, also what is not there yet; a negative amount is put back."""
        self._level = self.level - amount

    def wait_s(self, amount: float) -> float:
        """Seconds until it holds `amount`, 0 when it does now; of a bucket that holds nothing ever, a minute."""
        missing = min(amount, self.per_minute) - self.level
        if missing <= 0 < self.per_minute:
            return 0.0
        return missing * 60 / self.per_minute if self.per_minute else 60.0

    @property
    def reset_s(self) -> float:
        """Seconds until nothing is missing, or, while there is nothing to be had, until there is."""
        return self.wait_s(1) or self.wait_s(self.per_minute)
