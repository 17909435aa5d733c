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

NEWS_S: Final = 60.0
"""A flood of wrong keys is one line in so many seconds."""


class Strangers:
    """Says when a source has sent too many wrong keys. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self.wrong_keys = 0
        """Since the start."""
        self._told = 0
        self._flooding: str | None = None
        """Who sent too many since the last news."""
        self._next_news_s = clock()

    def note(self, source: str) -> None:
        """Another wrong key came from `source`. Raises TooManyGuesses."""
        self.wrong_keys += 1
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = self._buckets[source] = Bucket(GUESSES_PER_MINUTE, self._clock)
            if len(self._buckets) > MOST_SOURCES:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(source)
        if (wait := bucket.wait_s(1)) > 0:
            self._flooding = source
            raise TooManyGuesses(wait)
        bucket.take(1)

    def news(self, at_once: bool = False) -> str | None:
        """How many wrong keys came since the last news; None when no source sends too many, or it is too soon."""
        if self._flooding is None or not (at_once or self._clock() >= self._next_news_s):
            return None
        lately, source = self.wrong_keys - self._told, self._flooding
        self._told, self._flooding, self._next_news_s = self.wrong_keys, None, self._clock() + NEWS_S
        return f"{lately:,} wrong keys came, too many of them from {source}; {self.wrong_keys:,} since the start"
