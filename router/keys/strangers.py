"""Wrong keys, counted by where they come from. Right keys from there are let in all the same."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from router.keys.bucket import Bucket
from router.keys.errors import TooManyGuesses

GUESSES_PER_MINUTE: Final = 30
MOST_SOURCES: Final = 4096
"""Sources remembered; the one that has been quiet longest is forgotten first."""


class Strangers:
    """Says when a source has sent too many wrong keys. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def note(self, source: str) -> None:
        """Another wrong key came from `source`. Raises TooManyGuesses."""
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = self._buckets[source] = Bucket(GUESSES_PER_MINUTE, self._clock)
            if len(self._buckets) > MOST_SOURCES:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(source)
        if (wait := bucket.wait_s(1)) > 0:
            raise TooManyGuesses(wait)
        bucket.take(1)
