"""What devices took: where the energy of an hour went, and when those took some that nobody asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from router.meter.hours_schema import HOUR_US
from router.meter.record import Correction, EnergyMethod

AMOUNTS: Final = ("counter_uj", "idle_uj", "other_uj", "idle_co2_ug", "missed")
"""Of a slice: the parts of its hour's sums that reports tell of a time."""

PARTS: Final = ("attempts", "router", "idle", "other")
"""Where the energy of a counter goes; together they are all of it."""

SLICE_US: Final = 60_000_000
"""How long a slice is, or the end of its hour or of the run comes first."""


@dataclass(slots=True)
class DeviceShare:
    """Where the energy of one counter went in one hour; `counter_uj` is the sum of the next four."""

    hour: int
    device: str
    method: EnergyMethod
    pue_ppm: int
    counter_uj: int = 0
    attempts_uj: int = 0
    router_uj: int = 0
    idle_uj: int = 0
    other_uj: int = 0
    charged_uj: int = 0
    """What attempts were charged: `attempts_uj` times what the building takes."""
    idle_co2_ug: int = 0
    samples: int = 0
    missed: int = 0


@dataclass(slots=True)
class DeviceSlice:
    """What of an hour's sums came between two moments of it; written once and never changed."""

    device: str
    method: EnergyMethod
    pue_ppm: int
    since_us: int
    until_us: int
    amounts: list[int] = field(default_factory=lambda: [0] * len(AMOUNTS))
    """As `AMOUNTS`."""

    def add(self, share: DeviceShare) -> None:
        """More of the same time."""
        self.amounts = [old + getattr(share, name) for old, name in zip(self.amounts, AMOUNTS, strict=True)]


@dataclass(frozen=True, slots=True)
class Measured:
    """What counters said since the last time; written as one."""

    corrections: list[Correction]
    devices: list[DeviceShare]
    slices: list[DeviceSlice] = field(default_factory=list)


class Slicer:
    """Makes slices of what counters say every second."""

    def __init__(self, now_us: int) -> None:
        self._open: dict[tuple[int, str], DeviceSlice] = {}
        self._begin_us = now_us
        self._ended_us: dict[str, int] = {}
        """By device: up to when slices were made of it."""

    def add(self, shares: Iterable[DeviceShare], now_us: int, *, last: bool = False) -> list[DeviceSlice]:
        """What came since the last time. Returns slices that are long enough; all of them when it is the `last`."""
        for share in shares:
            key = share.hour, share.device
            if key not in self._open:
                ended_us = self._ended_us.get(share.device, self._begin_us)
                since_us = within(share.hour, min(ended_us, now_us))  # less where the clock was set back
                since_us = min(since_us, (share.hour + 1) * HOUR_US - 1)  # so that it is this hour's
                self._open[key] = DeviceSlice(share.device, share.method, share.pue_ppm, since_us, since_us)
            self._open[key].add(share)
            self._open[key].until_us = max(self._open[key].until_us, within(share.hour, now_us))
        done = [key for key, each in self._open.items() if last or _over(key[0], each, now_us)]
        for key in done:
            self._ended_us[key[1]] = self._open[key].until_us
        return [self._open.pop(key) for key in done]


def _over(hour: int, found: DeviceSlice, now_us: int) -> bool:
    long = found.until_us - found.since_us >= SLICE_US
    return long or hour != now_us // HOUR_US or now_us < found.since_us  # the clock was set back


def within(hour: int, us: int) -> int:
    """The moment, or the nearest of an hour."""
    return min(max(us, hour * HOUR_US), (hour + 1) * HOUR_US)


def hours_between(since_us: int, until_us: int) -> Iterator[tuple[int, int, int]]:
    """The hours of a time, with its begin and end in each; of no time the one hour it is in."""
    for hour in range(since_us // HOUR_US, max(until_us - 1, since_us) // HOUR_US + 1):
        yield hour, within(hour, since_us), within(hour, until_us)


def part(amounts: Sequence[int], since_us: int, until_us: int, upto_us: int) -> list[int]:
    """Of amounts that came evenly in a time what had come by a moment, cut to whole ones.

    It rests on nothing that comes later, and what two adjoining times got is what both together did.
    """
    length = until_us - since_us
    if length <= 0:
        return [each if upto_us >= until_us else 0 for each in amounts]
    passed = min(max(upto_us - since_us, 0), length)
    return [each * passed // length for each in amounts]
