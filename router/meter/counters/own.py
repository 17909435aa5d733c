"""The router's own work by the processor's counter: joules along the clock that requests share its CPU time by.

In each window a nanosecond of the router's process takes what the window gave to the router, divided by all CPU time of
the process in it. So a request takes the joules between the two points of the clock at which it came and went, however
many were there; what the process did for nobody is charged to nobody, and no window gives more than it had.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from router.meter.carbon import co2_ug
from router.meter.energy import SharedCpuClock
from router.meter.ppm import PPM
from router.meter.record import Correction, EnergyMethod, Outcome

MOST_WINDOWS: Final = 6_000
"""Remembered, of those in which somebody was there: ten minutes. Who was there for longer keeps the modelled figure."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A request that has ended, of which the counter has not shown all yet."""

    outcome: Outcome
    from_ns: int
    to_ns: int
    pue_ppm: int
    ci_mg_per_kwh: int


class OwnWork:
    """Joules by the virtual time of the router's clock, as far as windows tell."""

    def __init__(self, clock: SharedCpuClock) -> None:
        self._clock = clock
        clock.remember()
        self.now = clock.now
        self._at_ns: list[int] = []
        self._uj: list[float] = []
        """Given to one who was there all along, up to each of `_at_ns`."""
        self._owed: list[Owed] = []

    def ended(self, outcome: Outcome, mark: int, pue_ppm: int, ci_mg_per_kwh: int) -> bool:
        """A request that came at `mark` has left the clock just now; whether what it took will be told."""
        if not self._at_ns or mark < self._at_ns[0]:
            return False
        self._owed.append(Owed(outcome, mark, self._clock.virtual_ns, pue_ppm, ci_mg_per_kwh))
        return True

    def window(self, uj: int, used_ns: int, until_ns: int) -> None:
        """The router's process took so much in a window, for so much CPU time; the first only begins the next.

        `until_ns` is what `now` said at the window's end, which may be a while ago.
        """
        now_ns, each = self._clock.at(until_ns), uj / used_ns if used_ns > 0 else 0.0
        if not self._at_ns:
            self._at_ns, self._uj = [now_ns], [0.0]
        elif now_ns > self._at_ns[-1]:
            self._uj.append(self._uj[-1] + each * (now_ns - self._at_ns[-1]))
            self._at_ns.append(now_ns)

    def settled(self, method: EnergyMethod) -> Iterator[tuple[Outcome, Correction]]:
        """What was owed and is known after this window; who ended since then waits for the next."""
        shown_ns = self._at_ns[-1] if self._at_ns else -1
        known = [each for each in self._owed if each.to_ns <= shown_ns]
        self._owed = [each for each in self._owed if each.to_ns > shown_ns]
        for each in known:
            energy_uj = round((self._by(each.to_ns) - self._by(each.from_ns)) * each.pue_ppm / PPM)
            carbon = co2_ug(energy_uj, each.ci_mg_per_kwh)
            yield each.outcome, Correction(each.outcome.request_id, None, energy_uj, carbon, method, False)
        oldest_ns = min((each.from_ns for each in self._owed), default=shown_ns)
        needless = bisect_right(self._at_ns, oldest_ns) - 1
        gone = min(needless, len(self._at_ns) - (1 if self._clock.quiet else MOST_WINDOWS))
        if gone > 0:
            del self._at_ns[:gone], self._uj[:gone]

    def lose(self) -> list[Outcome]:
        """Nothing is told of what was; gives those who waited, and who keep the modelled figure."""
        owed = [each.outcome for each in self._owed]
        self._at_ns, self._uj, self._owed = [], [], []
        return owed

    def _by(self, ns: int) -> float:
        """Joules up to a point of the clock, even within a window."""
        after = bisect_right(self._at_ns, ns)
        if after == len(self._at_ns):
            return self._uj[-1]
        (from_ns, to_ns), (from_uj, to_uj) = self._at_ns[after - 1 : after + 1], self._uj[after - 1 : after + 1]
        return from_uj + (to_uj - from_uj) * (ns - from_ns) / (to_ns - from_ns)
