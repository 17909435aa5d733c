"""The CPU time of the threads that work for requests: the event loop's, the ledger's and the encoder's.

The whole process's time would charge whoever happens to be in flight for fitting a judge or loading an expert.
"""

from __future__ import annotations

import threading
import time


class WorkClock:
    """Counts the threads that joined it; falls back to the whole process where threads cannot be read."""

    def __init__(self) -> None:
        self._clocks: list[int] = []

    def join(self, thread: int | None = None) -> None:
        """Count a thread from now on, by its identifier; the calling one when none is given."""
        if hasattr(time, "pthread_getcpuclockid"):
            self._clocks.append(time.pthread_getcpuclockid(thread or threading.get_ident()))

    def __call__(self) -> int:
        """Nanoseconds so far."""
        if not self._clocks:
            return time.process_time_ns()
        return sum(map(time.clock_gettime_ns, self._clocks))
