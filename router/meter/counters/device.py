"""A counter at work: what it last said, what idle is, and how late it shows what was taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from router.meter.counters.division import STEP_NS, IdlePower, QuietPower
from router.meter.counters.reader import Increments, Reader
from router.meter.counters.stake import Heard, Stake
from router.meter.record import Status

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
    works: bool = False
    """The device says that it works, though nobody asks it: for another program, or still for one who has left."""


def idle_power(device: str, declared_w: float | None = None, remembered_w: float | None = None) -> IdlePower:
    """What a device takes for doing nothing: as the registry says, else as was kept of a card, else to be learnt."""
    kind = IdlePower if device == PROCESSOR else QuietPower
    if declared_w is not None:
        return kind(declared_w, fixed=True)
    return QuietPower.remembered(remembered_w) if remembered_w is not None and kind is QuietPower else kind()


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
    unmeasured: list[Heard] = field(default_factory=list)
    """Attempts on it that nothing will be said of: what it takes for them is none the more idle for that."""

    @classmethod
    def of(cls, reader: Reader, idle: IdlePower | None = None) -> Device:
        """`idle` is what it takes for doing nothing, as far as that is known."""
        return cls(reader, Increments(reader.ranges_uj), idle or idle_power(reader.name))

    def measures(self, attempt: Heard) -> bool:
        """Whether something can be said of it; not where what is idle is not known yet. Then it is passed over."""
        if self.lost or not self.idle.known:
            self.pass_over([attempt])
            return False
        return True

    def pass_over(self, attempts: Iterable[Heard]) -> None:
        """These are not measured; those that have ended are forgotten."""
        self.unmeasured = [each for each in (*self.unmeasured, *attempts) if each.record.status is Status.STARTED]

    def is_asked(self) -> bool:
        """Whether one that is not measured is under way."""
        self.pass_over(())
        return bool(self.unmeasured)

    @property
    def behind_ns(self) -> int:
        """How late it may show what was taken."""
        return 0 if self.reader.name == PROCESSOR else STEP_NS
