"""A counter at work: what it last said, what idle is, and how late it shows what was taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router.meter.counters.division import STEP_NS, IdlePower, QuietPower
from router.meter.counters.reader import Increments, Reader

PROCESSOR = "cpu"


@dataclass(frozen=True, slots=True)
class Reading:
    """One device at one moment; `raw_uj` is None when it could not be read."""

    device: str
    at_ns: int
    raw_uj: Sequence[int] | None


@dataclass(slots=True)
class Device:
    """A counter and what is known of it."""

    reader: Reader
    increments: Increments
    idle: IdlePower
    last_ns: int = 0
    missed: int = 0
    lost: bool = False
    """It was not read for so long that nothing can be told of the time."""

    @classmethod
    def of(cls, reader: Reader, idle_w: float | None) -> Device:
        """`idle_w` is what it takes for doing nothing, when that is known."""
        learns = IdlePower if reader.name == PROCESSOR else QuietPower
        return cls(reader, Increments(reader.ranges_uj), learns(idle_w, fixed=idle_w is not None))

    @property
    def behind_ns(self) -> int:
        """How late it may show what was taken."""
        return 0 if self.reader.name == PROCESSOR else STEP_NS
