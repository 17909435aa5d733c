"""What a counter of energy is, and how its readings become amounts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Protocol

from router.meter.record import EnergyMethod

CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux has one that goes on while a laptop sleeps, as counters may."""


def now_ns() -> int:
    """Nanoseconds of the clock that readings are compared by; it is never set."""
    return time.clock_gettime_ns(CLOCK)


MOST_W: Final = 2000
"""No processor, memory or card that a counter is of draws more: in 2026 the hungriest are told at 500 and 1400 W."""

LATE_NS: Final = 1_000_000_000
"""So late after its moment a reading may be made on a busy machine; what it shows is of a longer time then."""


class Reader(Protocol):
    """A device whose counters say how much energy it took so far."""

    @property
    def name(self) -> str:
        """As the ledger calls it: `cpu`, `gpu:0`."""
        ...

    @property
    def method(self) -> EnergyMethod:
        """How close its figures are to what a request took."""
        ...

    @property
    def ranges_uj(self) -> Sequence[int | None]:
        """Of each counter, where it starts again from 0; None where it does not."""
        ...

    def read(self) -> Sequence[int]:
        """Every counter now, in microjoules. Raises OSError when it cannot be read."""
        ...

    def works(self) -> bool | None:
        """Whether the device worked for any program in its last moments; None where it does not say."""
        ...

    def close(self) -> None:
        """Give the device back."""
        ...


class Increments:
    """Amounts between readings of one device, whatever its counters do meanwhile."""

    def __init__(self, ranges_uj: Sequence[int | None]) -> None:
        self.ranges_uj = ranges_uj
        self._last: Sequence[int] | None = None
        self.resets = 0
        """How often a counter began again in a way that hides what was between."""

    def since_last(self, now: Sequence[int], ns: int) -> int | None:
        """Microjoules since the last reading, `ns` ago; None at the first.

        A counter with a range that reads less has wrapped, once, if a device can have drawn what that makes in the
        time. Else it began again, as one without a range always did: what it shows now is new, if that can be, and
        what was between is lost.
        """
        last, self._last = self._last, now
        if last is None:
            return None
        most_uj = MOST_W * max(ns, LATE_NS) // 1000
        return sum(self._one(*each, most_uj) for each in zip(last, now, self.ranges_uj, strict=True))

    def forget(self) -> None:
        """The next reading is a first one again: whether counters were reset or wrapped meanwhile, nobody knows."""
        self._last = None

    def _one(self, last: int, now: int, range_uj: int | None, most_uj: int) -> int:
        if now >= last:
            return now - last
        if range_uj is not None and last <= range_uj and (wrapped := now + range_uj - last) <= most_uj:
            return wrapped
        self.resets += 1
        return now if now <= most_uj else 0
