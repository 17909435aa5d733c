"""CPU time between two readings of a processor's counter: whose it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
    """What was used since the last reading."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._last: dict[str, int] = {}

    def meet(self, expert: str) -> None:
        """Count from now on, so that an expert's first request finds its window."""
        if (now := self._clocks.expert(expert)) is not None:
            self._last.setdefault(EXPERT + expert, now)

    def since_last(self, experts: Iterable[str]) -> Mapping[str, int]:
        """By `machine`, `router`, and `expert NAME` of these experts and of all that were met before."""
        names = {EXPERT + expert for expert in experts} | {name for name in self._last if name.startswith(EXPERT)}
        found = {name: self._used(name, self._clocks.expert(name.removeprefix(EXPERT))) for name in sorted(names)}
        found["router"] = self._used("router", self._clocks.router())
        found["machine"] = self._used("machine", self._clocks.machine())
        return found

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
