"""CPU time between two readings of a processor's counter: whose it was.

Clocks are read in the counter's thread, beside it: the time that passes until the event loop hears of a reading would
else be in its window, and in none of those that wait behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

EXPERT = "expert "
"""Before the name of one, so that an expert may be called `router`."""


@dataclass(slots=True)
class Clocks:
    """CPU time in nanoseconds, each None where it cannot be read."""

    expert: Callable[[str], int | None]
    router: Callable[[], int | None]
    machine: Callable[[], int | None]


class CpuUse:
    """What was used from reading to reading."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._met: list[str] = []
        self._last: dict[str, int] = {}

    def meet(self, expert: str) -> None:
        """Count from now on, so that an expert's first request finds its window."""
        if expert in self._met:
            return
        if (now := self._clocks.expert(expert)) is not None:
            self._last[EXPERT + expert] = now
        self._met.append(expert)

    def look(self) -> Mapping[str, int | None]:
        """Every clock now, by `machine`, `router`, and `expert NAME` of all that were met; in whichever thread."""
        found = {EXPERT + expert: self._clocks.expert(expert) for expert in sorted(self._met)}
        return {**found, "router": self._clocks.router(), "machine": self._clocks.machine()}

    def since_last(self, now: Mapping[str, int | None]) -> Mapping[str, int]:
        """Nanoseconds since the last time this was asked, by the same names."""
        return {name: self._used(name, ns) for name, ns in now.items()}

    def _used(self, name: str, now: int | None) -> int:
        """0 where there is nothing to read, or nothing to compare it with yet."""
        if now is None:
            self._last.pop(name, None)
            return 0
        last = self._last.get(name)
        self._last[name] = now
        if last is None:
            return 0
        return now - last if now >= last else now
