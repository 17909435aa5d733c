"""A circuit breaker: after failures in a row, fail at once for a while, then let one attempt find out."""

from __future__ import annotations

import time
from collections.abc import Callable


class Breaker:
    """Closed while all is well. `clock` gives monotonic seconds."""

    def __init__(
        self, failures: int = 5, cool_down_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.closed = True
        self._limit = failures
        self._cool_down_s = cool_down_s
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0
        self._probing = False

    @property
    def admits(self) -> bool:
        """Whether an attempt made now would be let through."""
        return self.closed or (not self._probing and self._clock() >= self._open_until)

    def enter(self) -> bool:
        """Ask for an attempt; when it is granted, `succeeded`, `failed` or `gave_up` must follow."""
        if self.closed:
            return True
        if not self.admits:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """The attempt worked: all is well again."""
        self.closed = True
        self._failures = 0
        self._probing = False

    def failed(self) -> None:
        """The attempt failed; opens after enough in a row, or at once when it was the probe."""
        self._failures += 1
        if self._probing or self._failures >= self._limit:
            self.trip()

    def gave_up(self) -> None:
        """The attempt ended without telling anything, for example because the client left."""
        self._probing = False

    def trip(self) -> None:
        """Open now."""
        self.closed = False
        self._probing = False
        self._open_until = self._clock() + self._cool_down_s
