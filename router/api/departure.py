"""Noticing that a client has left, at no cost to requests that are quick."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

from starlette.types import Receive

PATIENCE_S: Final = 0.05
"""A request younger than this is not watched: a watcher costs a task, and most requests are done sooner."""


class Departure:
    """Cancels the task that entered it when the client disconnects; `left` then tells why it was cancelled.

    From `answered` on it does not: what is left is to keep what was answered, and a client may come back for that.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watcher: asyncio.Task[None] | None = None
        self.left = False

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._serving = asyncio.current_task()
        self._timer = loop.call_later(PATIENCE_S, self._begin)
        return self

    def answered(self) -> None:
        """The whole answer is there, and its entry is on the way to the ledger."""
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        self.answered()
        if self.left and kind is asyncio.CancelledError and self._serving is not None:
            self._serving.uncancel()
            return True
        return False

    def _begin(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        if self._serving is not None:
            self._serving.cancel()
