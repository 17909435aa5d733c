"""Reads counters in a thread of its own, ten times a second, and hands the readings to the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from threading import Event, Thread
from typing import Final, Self

from router.meter.counters.accounting import Accounting
from router.meter.counters.device import Reading
from router.meter.counters.nvml import NvidiaCard, spread
from router.meter.counters.powercap import Powercap
from router.meter.counters.reader import Reader, now_ns

PERIOD_S: Final = 0.1
"""A card's counter moves about every 100 ms."""

log = logging.getLogger("shoal.meter")


def find_readers(devices: Iterable[str] = ()) -> list[Reader]:
    """Every counter of this machine that may be read; `devices` are what experts run on, for cards that are one."""
    processor = Powercap.find()
    return [*([processor] if processor else []), *spread(NvidiaCard.find_all(), devices)]


def following(due_ns: int, now_ns: int, period_ns: int) -> int:
    """When to read again after the reading that was due at `due_ns`: in step, however long a reading takes.

    A period that grew by the 5 ms of a reading would every two seconds see two movements of a card's counter at once.
    Who is late by a whole period, or slept, does not make up for it.
    """
    return due_ns + period_ns if now_ns < due_ns + period_ns else now_ns + period_ns


class Sampler:
    """`async with` keeps the accounting supplied; without readers it does nothing, and no thread is started."""

    def __init__(
        self, readers: Sequence[Reader], accounting: Accounting, period_s: float = PERIOD_S,
        afterwards: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """`afterwards` is called in the thread after each reading, and may take its time."""
        self._readers = readers
        self._afterwards = afterwards
        self._accounting = accounting
        self._period_s = period_s
        self._stop = Event()
        self._thread: Thread | None = None
        self._silent: set[str] = set()

    async def __aenter__(self) -> Self:
        if self._readers:
            loop = asyncio.get_running_loop()
            self._thread = Thread(target=self._run, args=(loop,), name="shoal-counters", daemon=True)
            self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
            self._accounting.take(self._read(), last=True)
            self._accounting.end()
        for reader in self._readers:
            reader.close()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        due_ns = now_ns()  # at once: before the first reading nothing can be told of anyone
        while not self._stop.wait(max(0, due_ns - now_ns()) / 1e9):
            readings = self._read()
            try:
                loop.call_soon_threadsafe(self._accounting.take, readings)
            except RuntimeError:
                return  # the loop was closed without us: nobody counts any more
            self._afterwards()
            due_ns = following(due_ns, now_ns(), round(self._period_s * 1e9))

    def _read(self) -> list[Reading]:
        return [self._accounting.note(reader.name, now_ns(), self._one(reader)) for reader in self._readers]

    def _one(self, reader: Reader) -> Sequence[int] | None:
        try:
            found = reader.read()
        except OSError as error:
            if reader.name not in self._silent:
                self._silent.add(reader.name)
                log.warning("the counter of %s cannot be read any more, its energy is missing: %s", reader.name, error)
            return None
        self._silent.discard(reader.name)
        return found
