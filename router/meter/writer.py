"""The thread that writes the ledger: everything that was handed in while it made the last commit becomes the next."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from itertools import chain
from queue import Empty, SimpleQueue
from threading import Thread

from router.meter.batch import Batch, Entry, Left, Owed
from router.meter.boots import Boot
from router.meter.errors import EntryRefused, MeterUnavailable
from router.meter.store import LEDGER, Store
from router.store import is_storage_fault, unavailable

LARGEST_BATCH = 256
"""Entries in one commit at most."""

PACE_S = 0.0015
"""Least time from one commit's start to the next's while several requests are under way. A commit costs the processor
as much as a dozen rows, so a busy router makes fewer; a lone request never waits."""

RETRY_S = 0.5
"""How often the disk is tried after a fault while nothing comes in: what is owed is written, and `fault` is cleared."""

Written = asyncio.Future[None]
"""Done when an entry is on the disk; fails when it cannot be."""

Waiter = Written | None
Item = tuple[Entry, Waiter]
Verdict = tuple[Waiter, BaseException | None]

_log = logging.getLogger("shoal.meter")


class Writer:
    """Belongs to one event loop, which hands entries in; its thread is the only one that uses the store."""

    def __init__(self, store: Store, boot: Boot) -> None:
        self._store = store
        self._boot = boot
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._owed: list[Owed] = []
        self._failures, self._closed = 0, False
        self._left = False
        """Whether the last commit leaves ends that are to be written after it."""
        self.fault: str | None = None
        """The last storage fault, until a write succeeds again; None while all is well."""
        self.afterwards: Callable[[], None] = _nothing
        """Called on the thread after each commit, when everybody who waited for it has been told."""
        self._thread = Thread(target=self._run, name="shoal-ledger", daemon=True)
        self._thread.start()

    def hand_in(self, entry: Entry) -> Written:
        """Take an entry; what is given back is done when it is durable."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # kept: finding it asks the system who we are, each time
        waiter = self._loop.create_future()
        if self._closed:
            waiter.set_exception(MeterUnavailable(f"ledger {self._store.path} is closed: the server is stopping"))
        else:
            self._queue.put((entry, waiter))
        return waiter

    def leave(self, entry: Entry) -> None:
        """Take an entry that nobody waits for."""
        if not self._closed:
            self._queue.put((entry, None))

    def stop(self) -> None:
        """Take nothing more; what was handed in is written, then the file is closed. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)

    def join(self) -> None:
        """Wait until that is done."""
        self._thread.join()

    @property
    def thread(self) -> int | None:
        """Identifier of the thread, for whoever counts its CPU time."""
        return self._thread.ident

    def owing(self) -> tuple[int, int]:
        """Times the disk refused a commit so far, and entries handed in that are not on it yet."""
        return self._failures, self._queue.qsize() + len(self._owed)

    # Everything below runs on the thread.

    def _run(self) -> None:
        going = True
        next_commit_s = 0.0
        try:
            while going:
                going, batch = self._gather(next_commit_s)
                next_commit_s = time.monotonic() + PACE_S if len(batch) > 1 else 0.0
                if batch or self.fault is not None:
                    verdicts = self._commit(batch)
                    self._tell(self._with_left(batch, verdicts) if self._left else verdicts)
                    self._go_on()
        finally:
            self._closed = True
            self._end()

    def _tell(self, verdicts: list[Verdict]) -> None:
        """Wake everyone who waits with one call into the event loop."""
        if self._loop is None or all(waiter is None for waiter, _ in verdicts):
            return
        try:
            self._loop.call_soon_threadsafe(_settle, verdicts)
        except RuntimeError:
            # The loop was closed while we wrote: nobody waits any more, and what was written stays written.
            _log.debug("nobody waits for the ledger any more")

    def _go_on(self) -> None:
        try:
            self.afterwards()
        except Exception:
            _log.exception("what follows a commit of ledger %s failed; the ledger itself did not", self._store.path)

    def _gather(self, not_before_s: float) -> tuple[bool, list[Item]]:
        """Wait for an entry and take all that are there; False when the ledger is to be closed after these."""
        batch: list[Item] = []
        try:
            if (early_s := not_before_s - time.monotonic()) > 0:
                time.sleep(early_s)
            item = self._queue.get(timeout=None if self.fault is None else RETRY_S)
            while item is not None:
                batch.append(item)
                if len(batch) == LARGEST_BATCH:
                    return True, batch
                item = self._queue.get_nowait()
        except Empty:
            return True, batch
        return False, batch

    def _commit(self, batch: list[Item]) -> list[Verdict]:
        """Write a batch and what is owed from before as one commit; the verdict for each that waits."""
        try:
            self._write(batch)
        except Exception as error:
            if is_storage_fault(error):
                return self._fail(batch, error)
            if len(batch) + len(self._owed) > 1:
                return self._commit_singly(batch)
            if self._owed:
                _log.error("the ledger cannot hold what it owed, so it is dropped: %s", error)
            self._owed.clear()
            return [_refuse(waiter, error) for _, waiter in batch]
        self._owed.clear()
        if self.fault is not None:
            self.fault = None
            _log.info("ledger %s can be written again", self._store.path)
        return [(waiter, None) for _, waiter in batch]

    def _with_left(self, batch: list[Item], verdicts: list[Verdict]) -> list[Verdict]:
        """Write the ends of those that had begun, each by itself, now that this is known; the verdicts of all."""
        self._left = False
        ends = {waiter: entry.outcome for entry, waiter in batch if isinstance(entry, Left)}
        told = [verdict for verdict in verdicts if verdict[0] not in ends]
        for waiter, outcome in ends.items():
            if self._store.is_begun(outcome.request_id):
                told += self._commit([(outcome, waiter)])
            else:
                told.append((waiter, EntryRefused("the ledger cannot finish a request that was never begun")))
        return told

    def _write(self, batch: list[Item]) -> None:
        sorted_batch = Batch.of(chain(self._owed, (entry for entry, _ in batch)))
        self._left |= sorted_batch.left
        if sorted_batch:
            self._store.write(sorted_batch)
        else:
            self._store.probe()

    def _commit_singly(self, batch: list[Item]) -> list[Verdict]:
        """One entry is impossible: write each alone, so that only that one is refused."""
        items: list[Item] = [(owed, None) for owed in self._owed]
        items += batch
        self._owed.clear()
        return [verdict for item in items for verdict in self._commit([item])]

    def _fail(self, batch: list[Item], error: Exception) -> list[Verdict]:
        """Tell everyone, keep what has happened, and begin with a fresh connection."""
        fault = unavailable(self._store.path, error, LEDGER)
        if self.fault is None:
            _log.error("%s", fault)
        self.fault, self._failures = str(fault), self._failures + 1
        self._owed += [entry for entry, _ in batch if isinstance(entry, Owed)]
        try:
            self._store.close()
        except sqlite3.Error as closing:
            _log.warning("ledger %s: closing it failed too: %s", self._store.path, closing)
        return [(waiter, _told(fault)) for _, waiter in batch]

    def _end(self) -> None:
        if self._owed:
            entries = "1 entry" if len(self._owed) == 1 else f"{len(self._owed)} entries"
            _log.error("ledger %s: %s could not be written", self._store.path, entries)
        try:
            self._boot.end(self._store.open())
            self._store.close()
        except (sqlite3.Error, OSError, MeterUnavailable) as error:
            _log.error("%s", unavailable(self._store.path, error, LEDGER))
        finally:
            self._boot.release()


def _nothing() -> None:
    pass


def _refuse(waiter: Waiter, error: Exception) -> Verdict:
    refusal = error if isinstance(error, EntryRefused) else EntryRefused(f"the ledger cannot hold this entry: {error}")
    if waiter is None:
        _log.error("%s; nobody waits for it, so it is dropped", refusal)
    return waiter, refusal


def _told(fault: Exception) -> MeterUnavailable:
    """For each a new one, for whoever raises it writes its own way into it."""
    error = MeterUnavailable(str(fault))
    error.told = True
    return error


def _settle(verdicts: list[Verdict]) -> None:
    for waiter, error in verdicts:
        if waiter is None or waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
