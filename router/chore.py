"""Work beside serving, done again and again: what goes wrong in one turn is told at once and does not end it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from experts.errors import ShoalError

log = logging.getLogger("shoal")


async def chore(
    failed: str, work: Callable[[], Awaitable[object]], every_s: float, first_s: float | None = None
) -> None:
    """Do `work` now and `every_s` seconds after each turn, until cancelled.

    With `first_s` that is the first pause, and every other one twice as long as the one before, up to `every_s`.

    `failed` is said of a turn that raised, with the error; the same error of the next turns is not told again, but that
    a turn went well after it is. What nobody foresaw is told with where it happened.
    """
    told: str | None = None
    pause_s = every_s if first_s is None else first_s
    while True:
        try:
            await work()
        except Exception as error:
            foreseen = isinstance(error, ShoalError | OSError)
            said = f"{failed}: {error}" if foreseen else f"{failed}: {error!r}"
            if said != told:
                log.error(said, exc_info=None if foreseen else error)
            told = said
        else:
            if told is not None:
                log.info("well again after: %s", told)
            told = None
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, every_s)
