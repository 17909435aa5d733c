"""A private SQLite file for the coroutines of a server."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from router.store import Format, SameFile, StoreUnavailable, Transaction, connect, is_storage_fault, unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")


class AsyncStore:
    """One file for the coroutines of a server: all work on it is done in turn, on a thread of its own.

    The file is made at first use, and opened anew after a fault. One that is no longer where it was is not used.
    """

    def __init__(self, path: Path, form: Format) -> None:
        self.path = path
        self._form = form
        self._thread = ThreadPoolExecutor(1, f"shoal-{form.what.replace(' ', '-')}")
        self._file = SameFile(path, form)
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._fault: str | None = None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work(connection)`, in one transaction that is durable when this returns.

        Raises what the format calls unavailable, and whatever `work` raises of its own.
        """
        if self._closed:
            raise self._form.unavailable(f"{self._form.what} {self.path} is closed: this Shoal is stopping")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)

    async def aclose(self) -> None:
        """Close the file after the work that was handed in."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            self._file.require()
            if self._connection is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = connect(self.path, self._form)
                self._file.opened()
            with Transaction(self._connection):
                done = work(self._connection)
        except Exception as error:
            if not is_storage_fault(error):
                raise
            self._close()
            raise self._tell(unavailable(self.path, error, self._form)) from error
        if self._fault is not None:
            self._fault = None
            log.info("%s %s can be used again", self._form.what, self.path)
        return done

    def _tell(self, fault: StoreUnavailable) -> StoreUnavailable:
        """Log it where it is another than the last one, for every use of the file meets it."""
        if self._fault != str(fault):
            self._fault = str(fault)
            log.error("%s", fault)
        fault.told = True
        return fault

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
