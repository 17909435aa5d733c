"""Watching registry.yaml and the data files it names, so that a valid edit goes live by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

from experts.errors import RegistryError
from experts.registry import LoadedRegistry, load_registry

log = logging.getLogger(__name__)

PERIOD_S = 0.2
"""Between two looks: five a second keep an edit under the promised second, and cost a few stat calls each."""

Signature = tuple[tuple[int, int, int] | None, ...]


class RegistryWatcher:
    """Looks at the files until closed; reports every new valid content, and every new problem, once.

    `on_change` is awaited with the new registry and may refuse it with a RegistryError, `on_problem` is called with
    the error; whatever else they raise is logged.
    `problem` is the error of the content now on disk, None while that is good.
    """

    def __init__(
        self,
        path: Path,
        loaded: LoadedRegistry,
        on_change: Callable[[LoadedRegistry], Awaitable[None]],
        on_problem: Callable[[RegistryError], None],
        beside: tuple[Path, ...] = (),
    ) -> None:
        """`beside` are files that are no part of the registry, but whose change makes it be taken up anew."""
        self.problem: RegistryError | None = None
        self._path = path
        self._loaded = loaded
        self._on_change = on_change
        self._on_problem = on_problem
        self._seen: Signature | None = None
        self._beside = beside
        self._taken_up = _signature(beside)
        self._unsettled = True
        self._nudged = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch(), name="registry watcher")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def nudge(self) -> None:
        """Read the files now, changed or not."""
        self._nudged.set()

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), PERIOD_S)
            try:
                await self._look()
            except Exception:
                log.exception("%s: the registry stays as it is", self._path)

    async def _look(self) -> None:
        nudged = self._nudged.is_set()
        self._nudged.clear()
        signature = await asyncio.to_thread(_signature, (*self._loaded.files, *self._beside))
        changed = signature != self._seen
        # After a change once more, since a second write within the clock's grain changes no time; and as long as
        # there is a problem, since what mends it may be a file that only the broken registry names.
        if not (changed or nudged or self._unsettled or self.problem):
            return
        self._seen, self._unsettled = signature, changed
        try:
            loaded = await asyncio.to_thread(load_registry, self._path)
            beside = await asyncio.to_thread(_signature, self._beside)
            if loaded.version != self._loaded.version or beside != self._taken_up:
                await self._on_change(loaded)
                self._loaded, self._taken_up = loaded, beside
        except RegistryError as error:
            self._report(error)
        else:
            self.problem = None

    def _report(self, error: RegistryError) -> None:
        if self.problem is None or self.problem.problems != error.problems:
            self.problem = error
            self._on_problem(error)


def _signature(files: tuple[Path, ...]) -> Signature:
    """What tells one content of the files from another without reading them; None for one that is not there."""
    return tuple(_stat(path) for path in files)


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
