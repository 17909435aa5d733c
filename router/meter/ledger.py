"""The ledger: one entry per request, begun before the first upstream byte and ended before the client is told so.

One thread writes (writer.py): a thousand requests a second cost a few hundred commits. Nobody who waits here is told
"written" before the disk has it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from router.meter.batch import Left
from router.meter.boots import Boot, newest_before
from router.meter.devices import DeviceShare, Measured
from router.meter.errors import MeterUnavailable
from router.meter.record import Feedback, Intent, Outcome, Prune, Purge, Shadow
from router.meter.rollup import Rollup
from router.meter.seeds import Seed, seed_of
from router.meter.store import LEDGER, Store, connect_read_only
from router.meter.writer import Writer, Written
from router.store import is_storage_fault, unavailable


class Ledger:
    """An open ledger; belongs to one event loop. Several processes may have the same file open."""

    def __init__(self, path: Path, writer: Writer, interrupted: int) -> None:
        self.path = path
        """The SQLite file."""
        self.interrupted = interrupted
        """Requests of runs that died, closed when this one opened the ledger: what they took is unknown."""
        self.on_devices: Callable[[Sequence[DeviceShare]], None] = lambda _: None
        """Told what devices took, when it is handed in."""
        self._writer = writer

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """Open or make the ledger, and close as INTERRUPTED what runs that died left open.

        Raises MeterUnavailable when the file or its folder cannot be used, naming the remedy.
        """
        store = Store(path)
        boot = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = store.open()
            boot = Boot(path)
            store.boot = boot.register(connection)
        except (sqlite3.Error, OSError, MeterUnavailable) as error:
            store.close()
            if boot is not None:
                boot.release()
            raise unavailable(path, error, LEDGER) from error
        return cls(path, Writer(store, boot), boot.interrupted)

    @property
    def fault(self) -> str | None:
        """The last storage fault, until a write succeeds again; None while all is well."""
        return self._writer.fault

    def afterwards(self, work: Callable[[], None]) -> None:
        """Have `work` done on the writer's thread after each commit, when everybody who waited has been told."""
        self._writer.afterwards = work

    def begin(self, intent: Intent) -> Written:
        """Enter a request as STARTED; returns when that is durable.

        Raises MeterUnavailable when it cannot be written (the request must not be served) and EntryRefused when its
        id was used before. Cancelling the wait does not take the entry back: finish it as CANCELLED.
        """
        return self._writer.hand_in(intent)

    def finish(self, outcome: Outcome) -> Written:
        """Close a request with all its attempts; returns when that is durable.

        The outcome is handed in at once, so cancelling the wait loses nothing. Raises
        MeterUnavailable when it could not be written yet; it is kept and written when the fault ends. Raises
        EntryRefused when the request was never begun.
        """
        return self._writer.hand_in(outcome)

    def finish_if_begun(self, outcome: Outcome) -> Written:
        """The same of a request whose `begin` was cancelled. Raises EntryRefused when that was not written."""
        return self._writer.hand_in(Left(outcome))

    def note(self, shadow: Shadow) -> Written:
        """Add what ran beside a held-back request; returns when that is durable.

        Raises MeterUnavailable as `finish` does.
        """
        return self._writer.hand_in(shadow)

    def hear(self, feedback: Feedback) -> Written:
        """Note what a client says of an answer; returns when that is durable. Raises MeterUnavailable."""
        return self._writer.hand_in(feedback)

    async def purge(self, vectors_us: int, feedback_us: int, texts_us: int) -> int:
        """Forget vectors, feedback and texts of requests begun before these moments; returns rows deleted.

        Raises MeterUnavailable.
        """
        return await self._in_steps(lambda: Purge(vectors_us, feedback_us, texts_us))

    def roll_up(self, rollup: Rollup) -> Written:
        """Keep an hour's sums, in the place of older ones. Raises MeterUnavailable."""
        return self._writer.hand_in(rollup)

    async def prune(self, before_us: int) -> int:
        """Delete the raw rows of added-up hours before a moment; returns rows deleted. Raises MeterUnavailable."""
        return await self._in_steps(lambda: Prune(before_us))

    async def _in_steps(self, next_step: Callable[[], Purge | Prune]) -> int:
        """Delete a little at a time until nothing is left, so that requests never wait for long; returns rows."""
        total = 0
        while True:
            step = next_step()
            await self._writer.hand_in(step)
            total += step.removed
            if not step.removed:
                return total

    def measured(self, found: Measured) -> None:
        """Note what counters said of attempts that have ended. Waits for nothing."""
        self._writer.leave(found)
        self.on_devices(found.devices)

    async def seed(self, key: bytes) -> Seed:
        """Give draws with a key their seed version, a new one where it was never here. Raises MeterUnavailable."""
        found = await asyncio.to_thread(self._seed_of, key)
        await self._writer.hand_in(found)
        return found

    def checkpoint(self, request_id: str, output_tokens: int) -> None:
        """Note how many tokens a stream has so far, for the case that this process dies. Waits for nothing."""
        self._writer.leave((request_id, output_tokens))

    async def aclose(self) -> None:
        """Write what was handed in, close what is still open as INTERRUPTED, give the file back."""
        self._writer.stop()
        await asyncio.to_thread(self._writer.join)

    @property
    def thread(self) -> int | None:
        """Identifier of the thread that writes, for whoever counts its CPU time."""
        return self._writer.thread

    def owing(self) -> tuple[int, int]:
        """Times the disk refused a commit so far, and entries handed in that are not on it yet."""
        return self._writer.owing()

    def newest_us(self) -> int | None:
        """When the newest entry was begun from before every run that lives now. Raises MeterUnavailable."""
        with closing(self.read()) as connection:
            return newest_before(connection)

    def _seed_of(self, key: bytes) -> Seed:
        with closing(self.read()) as connection:
            return seed_of(connection, key)

    def read(self) -> sqlite3.Connection:
        """A read-only connection for reports, to be closed by the caller. Raises MeterUnavailable."""
        return read_ledger(self.path)

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """As the function of that name, of this ledger's file."""
        return reading(self.path)


def read_ledger(path: Path) -> sqlite3.Connection:
    """A read-only connection to a ledger file, whether a server has it open or not. Raises MeterUnavailable."""
    try:
        return connect_read_only(path)
    except (sqlite3.Error, OSError) as error:
        raise unavailable(path, error, LEDGER) from error


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """The same, closed at the end; what reading finds is told as what opening does: most damage shows only then."""
    with closing(read_ledger(path)) as connection:
        try:
            yield connection
        except sqlite3.Error as error:
            if not is_storage_fault(error):
                raise
            raise unavailable(path, error, LEDGER) from error
        except UnicodeError:  # of where it is written to
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise _nonsense(path, error) from error


def _nonsense(path: Path, error: Exception) -> MeterUnavailable:
    """What is raised where something was made of what is written and could not be, such as a status that is none."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} at line {at.lineno} of {Path(at.filename).name}"
    remedy = "`shoal meter audit` says where; put a backup in its place. If it finds nothing, report this as a bug"
    return MeterUnavailable(f"{LEDGER.what} {path}: what is written in it cannot be used ({place}). Remedy: {remedy}")
