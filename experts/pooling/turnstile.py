"""How many may be inside at once, and how many may wait: first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque


class Turnstile:
    """Lets `places` in at a time and `room` wait. All its methods belong to one event loop."""

    __slots__ = ("_queue", "_room", "inside", "places")

    def __init__(self, places: int, room: int) -> None:
        self.places = places
        self.inside = 0
        self._room = room
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._queue)

    def try_enter(self) -> bool:
        """Go in if a place is free and no one waits for it."""
        if self.inside >= self.places or self._queue:
            return False
        self.inside += 1
        return True

    async def enter(self, timeout_s: float) -> None:
        """Go in, waiting for a place if need be.

        Raises asyncio.QueueFull when nobody more may wait, TimeoutError after `timeout_s` seconds.
        """
        if self.try_enter():
            return
        if len(self._queue) >= self._room:
            raise asyncio.QueueFull
        place = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            async with asyncio.timeout(timeout_s):
                await place
        except BaseException:
            if place.done() and not place.cancelled():
                self.leave()  # it was ours already: hand it on
            elif place in self._queue:
                self._queue.remove(place)
            raise

    def leave(self) -> None:
        """Go out; the place passes to the one who has waited longest and still does.

        Who is cancelled stands in the queue until its task runs again, which may be after this.
        """
        while self._queue:
            place = self._queue.popleft()
            if not place.cancelled():
                place.set_result(None)
                return
        self.inside -= 1
