"""The time, as far as it may be trusted to delete by: a wall clock that runs ahead for a while ages nothing.

What is deleted is gone, so a moment has to be corroborated: by the wall clock having said the same for an hour of the
monotonic clock, or, at a start, by the entries of earlier runs, which it may not leave behind by more than a day.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

HOUR_NS: Final = 3_600_000_000_000
DAY_US: Final = 86_400_000_000


def utc_us() -> int:
    """The wall clock: UTC, microseconds since 1970."""
    return time.time_ns() // 1000


class SteadyClock:
    """Looks at the wall clock whenever it is asked to."""

    def __init__(
        self, newest_us: int | None, now_us: Callable[[], int] = utc_us, now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """`newest_us` is when the newest entry of an earlier run was begun; None where there is none."""
        self.now_us = now_us
        self.now_ns = now_ns
        self._at_start_us = None if newest_us is None else newest_us + DAY_US
        self._seen: deque[tuple[int, int]] = deque()
        """Moments of the monotonic clock, and how far the wall clock was ahead of it then, both in nanoseconds."""

    def look(self) -> None:
        """Compare both clocks; to be done every few minutes."""
        now_ns = self.now_ns()
        self._seen.append((now_ns, self.now_us() * 1000 - now_ns))
        while len(self._seen) > 1 and now_ns - self._seen[1][0] >= HOUR_NS:
            self._seen.popleft()

    def trusted_us(self) -> int | None:
        """The latest moment that has surely come, UTC, microseconds since 1970; None while nothing says so."""
        self.look()
        now_ns, ahead_ns = self.now_ns(), min(ahead for _, ahead in self._seen)
        if now_ns - self._seen[0][0] >= HOUR_NS:
            return (now_ns + ahead_ns) // 1000
        return None if self._at_start_us is None else min(self.now_us(), self._at_start_us)
