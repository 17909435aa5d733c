"""The time, as far as it may be trusted to delete by: a wall clock that runs ahead for a while ages nothing.

What is deleted is gone, so a moment has to be corroborated: by the wall clock having said the same for an hour of the
monotonic clock, or, at a start, by the entries of earlier runs, which it may not leave behind by more than a day.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from router.meter.hours_schema import DAY_US

HOUR_NS: Final = 3_600_000_000_000
LEAP_US: Final = 30 * DAY_US
"""A clock may be ahead of the ledger's entries by so much, and a day, before that is told: nobody may have asked."""


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

    def doubt(self) -> str | None:
        """What is to be said of a wall clock that has left the entries of earlier runs far behind; None where not."""
        if self._at_start_us is None or (ahead := self.now_us() - self._at_start_us) < LEAP_US:
            return None
        clock, newest = (_day(us) for us in (self.now_us(), self._at_start_us - DAY_US))
        return (
            f"the clock says {clock}, {ahead // DAY_US + 1} days after the newest entry of the ledger ({newest}): by "
            "that nothing is deleted as too old before the clock has held for an hour, or the next start finds entries "
            "of today. Remedy: if it is wrong, set it right now"
        )

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


def _day(us: int) -> str:
    return datetime.fromtimestamp(us / 1_000_000, UTC).date().isoformat()
