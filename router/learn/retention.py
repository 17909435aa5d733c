"""What was kept to learn from is forgotten when its time is up: at every start, and every hour while Shoal serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from experts.spec import Learning
from router.chore import chore
from router.learn.editions import Editions
from router.meter.hours_schema import DAY_US
from router.meter.ledger import Ledger

PERIOD_S: Final = 3600.0

log = logging.getLogger("shoal.learn")


class Retention:
    """Enforces the days of the registry's section `learning`, as it is at the time."""

    def __init__(
        self, ledger: Ledger, editions: Editions, learning: Callable[[], Learning], clock: Callable[[], int | None]
    ) -> None:
        """`clock` tells the latest moment that has surely come (UTC, microseconds since 1970), None for unknown."""
        self._ledger = ledger
        self._editions = editions
        self._learning = learning
        self._clock = clock

    async def run(self) -> None:
        """Forget, now and every hour, until cancelled."""
        await chore("not everything that is too old could be forgotten", self.forget, PERIOD_S)

    async def forget(self) -> int:
        """Delete what is too old, in the ledger and in what was learnt; how many rows that were.

        Of vectors and of texts, all where they are not to be kept any more.

        Raises `MeterUnavailable` or `EditionError`.
        """
        learning, now = self._learning(), self._clock()
        if now is None:
            return 0
        oldest_us = now - learning.vector_days * DAY_US
        text_days = learning.text_days if learning.keep_text else 0
        vectors_us = oldest_us if learning.keep_vectors else now
        removed = await self._ledger.purge(vectors_us, oldest_us, now - text_days * DAY_US)
        keep = learning.keep_vectors
        removed += await asyncio.to_thread(partial(self._editions.forget, oldest_us // DAY_US, keep=keep))
        if removed:
            log.info("%d rows kept to learn from were too old or not to be kept, and are forgotten", removed)
        return removed
