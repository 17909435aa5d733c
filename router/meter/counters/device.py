"""A counter at work: what it last said, what idle is, and how late it shows what was taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.meter.counters.division import STEP_NS, IdlePower, QuietPower
from router.meter.counters.reader import Increments, Reader
from router.meter.counters.stake import Stake

PROCESSOR = "cpu"


@dataclass(frozen=True, slots=True)
class Reading:
    """One device at one moment, and what else is so at that moment: however late it is heard of, it says the same."""

    device: str
    at_ns: int
    raw_uj: Sequence[int] | None
    """None when it could not be read."""
    cpu: Mapping[str, int | None]
    """CPU time by program, as `CpuUse` names them; of a processor only."""
    work_ns: int | None
    """The clock that requests share the router's CPU time by; of a processor only."""
    heard: Mapping[Stake, int]
    """Attempts under way on the device, and how many tokens of each were heard."""


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
    restarted: bool = False
    """It began again between the last two readings, so the last one shows less than was taken."""

    @classmethod
    def of(cls, reader: Reader, idle_w: float | None) -> Device:
        """`idle_w` is what it takes for doing nothing, when that is known."""
        learns = IdlePower if reader.name == PROCESSOR else QuietPower
        return cls(reader, Increments(reader.ranges_uj), learns(idle_w, fixed=idle_w is not None))

    @property
    def behind_ns(self) -> int:
        """How late it may show what was taken."""
        return 0 if self.reader.name == PROCESSOR else STEP_NS
