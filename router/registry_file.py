"""The registry's file, as /admin changes it: checked first, written whole or not at all, live or taken back."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from experts.errors import RegistryError
from experts.reading.yaml_nodes import MAX_BYTES
from experts.registry import LoadedRegistry, load_registry
from experts.watch import RegistryWatcher
from router.learn.fit import examples_of, fit_judge, outside_of
from router.learn.outside import OUTSIDE
from router.live import Live
from router.meter.tariff import Tariffs
from router.promises.promises import Promises

log = logging.getLogger("shoal.admin")

PATIENCE_S: Final = 60.0
"""How long a checked registry may take to go live before it is taken back."""

_LOOK_S: Final = 0.02


class RegistryMoved(Exception):
    """The registry is no longer the one that a change was made for."""


class RegistryFile:
    """One change at a time; `watcher` makes what is written live."""

    def __init__(self, path: Path, live: Live, watcher: RegistryWatcher) -> None:
        self._path = path.resolve()
        self._live = live
        self._watcher = watcher
        self._one = asyncio.Lock()

    def text(self) -> str:
        """What the file says now, also when that is an edit that was refused."""
        return self._path.read_bytes().decode("utf-8", "replace")

    async def change(self, amend: Callable[[str], str], version: str | None, who: str, what: str) -> LoadedRegistry:
        """Make `amend`'s text live. Raises `RegistryError`, or `RegistryMoved` when another `version` serves.

        Whatever is wrong with it, the file is afterwards what it was before.
        """
        async with self._one:
            before = self._live.snapshot.version
            if version not in (None, before):
                raise RegistryMoved(f"version {before} serves, and the change was made for {version}")
            old = await asyncio.to_thread(self._path.read_bytes)
            new = amend(old.decode()).encode()
            loaded = await asyncio.to_thread(self._replace, new)
            try:
                await self._go_live(loaded)
            except RegistryError:
                await asyncio.to_thread(_write, self._path, old)
                self._watcher.nudge()
                raise
            log.info("%s by key %s: registry %s is live (was %s)", what, who or "-", loaded.version, before)
            return loaded

    async def preview(self, amend: Callable[[str], str], expert: str) -> dict[str, Any]:
        """What a change would make of the registry and of an expert's requests; nothing is changed."""
        old = await asyncio.to_thread(self._path.read_bytes)
        return await asyncio.to_thread(self._previewed, amend(old.decode()).encode(), expert)

    def _previewed(self, new: bytes, expert: str) -> dict[str, Any]:
        with self._draft(new) as path:
            loaded = self._checked(path)
            encoder = self._live.snapshot.encoder.encoder
            fitted = fit_judge(loaded.registry, encoder, self._live.vectors, editions=self._live.editions)
            tariffs = Tariffs.of_registry(loaded.registry)
            promises = Promises.make(loaded.registry, fitted, encoder.fingerprint, tariffs, None)
        names = fitted.judge.classes_.tolist()
        told, labels = fitted.judge.left_out()[0], fitted.judge.known()[1]
        own, label = labels[told.rows], loaded.registry.expert(expert).label
        taken = told.probability.argmax(axis=1) == names.index(expert) if expert in names else own == label
        taken &= (own != OUTSIDE) | (told.probability.max(axis=1, initial=0) > 0.5)
        return {
            "examples": int((own == label).sum()),
            "recognised": int((taken & (own == label)).sum()),
            "taken_from": {
                str(name) or "nobody": int((taken & (own == name)).sum()) for name in set(own[taken]) - {label}
            },
            "promises": promises.to_json(),
        }

    def _replace(self, new: bytes) -> LoadedRegistry:
        with self._draft(new) as path:
            loaded = self._checked(path)
            path.chmod(self._path.stat().st_mode & 0o777)
            path.replace(self._path)
            return loaded

    def _checked(self, path: Path) -> LoadedRegistry:
        """The registry in a draft, if it could serve. Raises `RegistryError` that names the file itself."""
        try:
            loaded = load_registry(path)
            if loaded.registry.encoder != self._live.snapshot.registry.encoder:
                raise RegistryError([f"{path}: encoder: cannot change while serving. Remedy: edit it and restart."])
            for spec in loaded.registry.experts:
                examples_of(spec)
            outside_of(loaded.registry)
        except RegistryError as error:
            raise RegistryError([each.replace(str(path), self._path.name) for each in error.problems]) from None
        return loaded

    @contextmanager
    def _draft(self, new: bytes) -> Iterator[Path]:
        """A file beside the registry, for relative paths start there; gone afterwards unless it was moved."""
        if len(new) > MAX_BYTES:
            raise RegistryError([f"{self._path.name}: is larger than {MAX_BYTES:,} bytes. Remedy: make it smaller."])
        try:
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".registry-", suffix=".yaml")
        except OSError as error:
            remedy = "Remedy: give this user write permission on its folder."
            raise RegistryError([f"{self._path.name}: cannot be written ({error.strerror}). {remedy}"]) from None
        path = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(new)
                file.flush()
                os.fsync(file.fileno())
            yield path
        finally:
            path.unlink(missing_ok=True)

    async def _go_live(self, loaded: LoadedRegistry) -> None:
        """Wait until a written registry serves. Raises `RegistryError` when it does not."""
        known = self._watcher.problem
        self._watcher.nudge()
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while self._live.snapshot.version != loaded.version:
            if self._watcher.problem is not None and self._watcher.problem is not known:
                raise RegistryError(self._watcher.problem.problems)
            if asyncio.get_running_loop().time() > deadline:
                raise RegistryError([f"{self._path.name}: did not go live. Remedy: look into the log."])
            await asyncio.sleep(_LOOK_S)


def _write(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".registry-", suffix=".yaml")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(name).chmod(path.stat().st_mode & 0o777)
    Path(name).replace(path)
