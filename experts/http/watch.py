"""Looking after an answer that comes in one piece, and so says nothing until it is whole.

Silence is then no sign of a dead server. So when it has lasted a while, the server is asked something else, which any
that lives answers at once; one that says nothing to that either is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from experts.http.connection import Broken, TooLate


class Watch:
    """Begins at once; `end` it when the answer is there. `probe` asks something else, `give_up` is told of silence."""

    def __init__(
        self, silent_s: float, probe: Callable[[], Awaitable[None]], give_up: Callable[[TooLate], None]
    ) -> None:
        self._silent_s = silent_s
        self._probe = probe
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(silent_s / 2, self._begin)

    def end(self) -> None:
        """Look no more."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._look())

    async def _look(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._silent_s / 2):
                    with suppress(OSError, Broken):  # it does not listen any more, and may still finish: no silence
                        await self._probe()
            except (TimeoutError, TooLate):
                said = f"no first byte within {self._silent_s:g} s (timeouts.first_byte_s), nor of any other answer"
                self._give_up(TooLate(said))
                return
            await asyncio.sleep(self._silent_s)
