"""Energy: who used the processor, what that took, and what a token takes where nothing can be measured.

Everything is integer microjoules, rounded once per figure to the nearest, halves up.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from experts.spec import Energy

READ_EVERY_NS: Final = 1_000_000
"""Least time between two readings of a clock while requests overlap: a system call takes longer than the sharing."""

MOST_POINTS: Final = 8_192
"""Remembered of a clock between two looks back, which come ten times a second."""


class SharedCpuClock:
    """Shares a process's CPU time equally among the requests that are in it at the same time.

    A virtual time advances by the CPU time used divided by the number of requests in flight; a request's share is how
    far it moved between its start and its finish. Each call costs one reading, however many are in flight, and the
    shares add up to the CPU time used while anyone was in flight, to the nanosecond.
    """

    def __init__(self, cpu_ns: Callable[[], int | None], every_ns: int = 0) -> None:
        """`cpu_ns` reads the process's CPU time so far, or None while there is no process to read.

        While requests overlap it is read at most once in `every_ns`; what was used since the last reading is shared by
        those that are there at the next. The first in and the last out are always read, so nothing else is charged, and
        so is whoever leaves before there was a reading since it came: it took something.
        """
        self._cpu_ns = cpu_ns
        self._every_ns = every_ns
        self._read_ns = 0
        self._last: int | None = None
        self._virtual = 0
        self._unshared = 0
        self._active = 0
        self._points: deque[tuple[int, int]] | None = None
        """CPU time and virtual time at readings, where somebody looks back."""

    def start(self, now_ns: int | None = None) -> int:
        """A request enters. Returns the mark to finish it with.

        `now_ns` is the monotonic clock, from those who have just looked at it.
        """
        now_ns = now_ns or time.monotonic_ns()
        if not self._active or now_ns - self._read_ns >= self._every_ns:
            self._advance(now_ns)
        self._active += 1
        return self._virtual

    def finish(self, mark: int, now_ns: int | None = None) -> int:
        """A request leaves. Returns its share in nanoseconds. Raises RuntimeError when none is in flight."""
        if not self._active:
            raise RuntimeError("finish() without a start(): every request is finished once")
        now_ns = now_ns or time.monotonic_ns()
        if self._active == 1 or self._virtual == mark or now_ns - self._read_ns >= self._every_ns:
            self._advance(now_ns)
        self._active -= 1
        share = self._virtual - mark
        if not self._active:
            # What could not be divided evenly goes to the last one out, so that nothing is lost.
            share += self._unshared
            self._unshared = 0
        return share

    @property
    def virtual_ns(self) -> int:
        """CPU time of one who was there all along, up to the last reading."""
        return self._virtual

    @property
    def quiet(self) -> bool:
        """Nobody is there."""
        return not self._active

    def now(self) -> int | None:
        """CPU time now, to ask `at` for later; in whichever thread."""
        return self._cpu_ns()

    def remember(self) -> None:
        """From now on `at` is asked, again and again."""
        self._points = deque(maxlen=MOST_POINTS)
        self._advance(time.monotonic_ns())

    def at(self, cpu_ns: int) -> int:
        """`virtual_ns` when the CPU time was `cpu_ns`, which has passed; what was before it is asked no more."""
        self._advance(time.monotonic_ns())
        points = self._points
        if not points:
            return self._virtual
        while len(points) > 1 and points[1][0] <= cpu_ns:
            points.popleft()
        from_ns, virtual = points[0]
        if len(points) == 1 or cpu_ns <= from_ns:
            return virtual
        to_ns, to_virtual = points[1]
        return virtual + (to_virtual - virtual) * (cpu_ns - from_ns) // (to_ns - from_ns)

    @property
    def blind(self) -> bool:
        """There was nothing to read at the last reading, so a share of 0 says nothing."""
        return self._last is None

    def _advance(self, now_ns: int) -> None:
        self._read_ns = now_ns
        now = self._cpu_ns()
        if now is None:
            self._last = None
            return
        if self._active and self._last is not None:
            # A smaller reading is a new process: all of its time was used since the last reading.
            used = now - self._last if now >= self._last else now
            step, self._unshared = divmod(used + self._unshared, self._active)
            self._virtual += step
        self._last = now
        if self._points is not None:
            self._points.append((now, self._virtual))


@dataclass(frozen=True, slots=True)
class UnitEnergy:
    """What one token takes, in whole picojoules, so that the rest is integer arithmetic and can be recomputed."""

    input_pj: int
    output_pj: int

    @classmethod
    def of(cls, energy: Energy, pue: float = 1.0) -> UnitEnergy:
        """Joules per token, times what the building takes beside its computers."""
        return cls(round(energy.input_j_per_token * pue * 1e12), round(energy.output_j_per_token * pue * 1e12))


def modelled_uj(cpu_us: int, uw_per_core: int) -> int:
    """Energy of CPU time at so many microwatts per busy core (above idle), in microjoules."""
    return (cpu_us * uw_per_core + 500_000) // 1_000_000


def table_uj(energy: UnitEnergy, asked: int, answered: int, cached: int = 0) -> int:
    """Energy of an attempt from joules per token, in microjoules; cached input takes none."""
    fresh = max(0, asked - cached) if cached else asked
    return (fresh * energy.input_pj + answered * energy.output_pj + 500_000) // 1_000_000
