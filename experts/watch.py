"""Watching registry.yaml and the data files it names, so that a valid edit goes live by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

from experts.disk import blocked
from experts.errors import RegistryBlocked, RegistryError
from experts.registry import LoadedRegistry, load_registry

log = logging.getLogger(__name__)

PERIOD_S = 0.2
"""Between two looks: five a second keep an edit under the promised second, and cost a few stat calls each."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Before a registry that something else kept from going live is tried again: twice as long each time."""

Signature = tuple[tuple[int, int, int] | None, ...]


class RegistryWatcher:
    """Looks at the files until closed; reports every new valid content, and every new problem, once.

    `on_change` is awaited with the new registry and may refuse it with a RegistryError, `on_problem` is called with
    the error. Whatever else keeps it from going live is told in the same way, and tried again after a pause.
    `problem` is the error of the content now on disk, None while that is good; `refused` the version of the registry
    that could be read and did not go live. `looked` is how the registry's file and those beside it lay when they were
    last found to be what serves, or refused; empty until `has_looked`. `taken_up` is how those beside lay that serve.
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
        self.refused: str | None = None
        self.looked: Signature = ()
        self.has_looked = asyncio.Event()
        self._path = path
        self._loaded = loaded
        self._on_change = on_change
        self._on_problem = on_problem
        self._seen: Signature | None = None
        self._beside = beside
        self.taken_up = signature(beside)
        self._unsettled = True
        self._nudged = asyncio.Event()
        self._pause_s, self._again_s = 0.0, 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch(), name="registry watcher")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def lies(self) -> Signature:
        """How what `looked` tells of lies now."""
        return signature((self._path, *self._beside))

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
                log.exception("%s: what is wrong with the registry could not be told", self._path)

    async def _look(self) -> None:
        nudged = self._nudged.is_set()
        self._nudged.clear()
        now = await asyncio.to_thread(signature, (*self._loaded.files, *self._beside))
        looked = (*now[:1], *now[len(self._loaded.files) :])
        changed = now != self._seen
        # After a change once more, since a second write within the clock's grain changes no time; and as long as
        # there is a problem, since what mends it may be a file that only the broken registry names.
        again = self.problem is not None and asyncio.get_running_loop().time() >= self._again_s
        if not (changed or nudged or self._unsettled or again):
            return
        self._seen, self._unsettled, refused = now, changed, None
        try:
            loaded = await asyncio.to_thread(load_registry, self._path)
            beside = await asyncio.to_thread(signature, self._beside)
            if loaded.version != self._loaded.version or beside != self.taken_up:
                refused = loaded.version
                await self._on_change(loaded)
                self._loaded, self.taken_up = loaded, beside
        except RegistryError as error:
            self._pause_s = self._again_s = 0.0
            self._report(error, refused)
        except Exception as error:
            self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s or FIRST_PAUSE_S)
            self._again_s = asyncio.get_running_loop().time() + self._pause_s
            self._report(self._blocked(error), refused)
        else:
            self._pause_s = self._again_s = 0.0
            self.problem = self.refused = None
        self.looked = looked
        self.has_looked.set()

    def _blocked(self, error: Exception) -> RegistryBlocked:
        """What is told of a registry that something else than its text keeps from going live."""
        if isinstance(error, OSError):
            why = blocked(error, self._path.parent)
        else:
            log.error("%s: the registry stays as it is", self._path, exc_info=error)
            why = f"a fault of Shoal's own ({type(error).__name__}). Remedy: the log tells where"
        return RegistryBlocked([f"{self._path.name}: does not go live: {why}; it is tried again from time to time."])

    def _report(self, error: RegistryError, refused: str | None) -> None:
        """Tell a problem once. One of a registry that could be read is another at every try, told or not."""
        last = self.problem
        same = last is not None and (
            last.problems == error.problems
            or (isinstance(last, RegistryBlocked) and isinstance(error, RegistryBlocked) and refused == self.refused)
        )
        if not same or refused is not None:
            self.problem, self.refused = error, refused
        if not same:
            self._on_problem(error)


def signature(files: tuple[Path, ...]) -> Signature:
    """What tells one content of the files from another without reading them; None for one that is not there."""
    return tuple(_stat(path) for path in files)


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
