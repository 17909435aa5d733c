"""The registry's file, as /admin changes it: checked first, written whole or not at all, live or taken back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from typing import Any, Final

from experts.addition import FOLDER, Addition
from experts.disk import blocked
from experts.draft import draft, put
from experts.errors import RegistryBlocked, RegistryError
from experts.reach import Reach, server_of
from experts.reading.amendment import amended, with_expert
from experts.reading.file_places import foreign_files
from experts.reading.key_places import unsent_keys
from experts.reading.yaml_nodes import Unusable, read_document
from experts.registry import LoadedRegistry, load_registry
from experts.spec import AnySpec, Registry
from experts.watch import RegistryWatcher
from router.judge import Judge
from router.learn.cautions import foretold
from router.learn.coverage import coverage
from router.learn.fit import check_rows, fit_judge
from router.learn.harvest import Traffic
from router.learn.moves import moves
from router.learn.newcomer import warnings_about
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
        """What the file says now, also when that is an edit that was refused. Raises `RegistryBlocked`."""
        return self._read().decode("utf-8", "replace")

    async def add(self, addition: Addition, version: str | None, who: str) -> LoadedRegistry:
        """One more expert, with its examples in a file beside the registry. Raises as `change` does."""
        what = f"expert {str(addition.expert.get('id'))[:64]!r} added"
        return await self.change(
            lambda text: with_expert(text, addition.entry), version, who, what, addition.placed(self._path)
        )

    async def change(
        self,
        amend: Callable[[str], str] | str,
        version: str | None,
        who: str,
        what: str,
        beside: AbstractContextManager[None] | None = None,
    ) -> LoadedRegistry:
        """Make live what `amend` makes of the file, or the text that it is, whatever the file holds.

        Raises `RegistryError`, or `RegistryMoved` when another `version` serves.

        Whatever is wrong with it, the file is afterwards what it was before; where somebody else edited it meanwhile,
        it is what they made of it, and `RegistryMoved` says so. What it was lies ready before it is written over, so
        a disk that fills meanwhile takes no word of it: `RegistryBlocked` is raised where the disk refuses. `beside`
        comes with an expert that is added: it is entered while this is done, and hears of a failure.
        """
        async with self._one:
            before = self._live.snapshot.version
            if version not in (None, before):
                raise RegistryMoved(f"version {before} serves, and the change was made for {version}")
            old = await asyncio.to_thread(self._read)
            new = await asyncio.to_thread(self._amended, old, amend)
            async with AsyncExitStack() as stack:
                if beside is not None:
                    await asyncio.to_thread(stack.enter_context, beside)
                former = await asyncio.to_thread(stack.enter_context, draft(self._path, old))
                loaded = await asyncio.to_thread(self._replace, old, new, beside is not None)
                alone = await self._settled(loaded, former, new)
            if not alone:  # outside the stack, for what lies beside may be named by the edit
                raise RegistryMoved(f"{self._path.name} was edited before this change was live, nothing was taken back")
            log.info("%s by key %s: registry %s is live (was %s)", what, who or "-", loaded.version, before)
            return loaded

    async def told_of(self, expert: str, loaded: LoadedRegistry) -> dict[str, Any]:
        """What is to be said of the examples of an expert that was added and what they say; whether its server answers.

        Raises `RegistryError`.
        """
        found = await server_of(loaded.registry.expert(expert))
        return _and_server(await asyncio.to_thread(self._told_of, expert, loaded), found)

    def _told_of(self, expert: str, loaded: LoadedRegistry) -> dict[str, Any]:
        found: dict[str, Any] = {"warnings": self._warnings(expert, loaded.registry), "without_itself": None}
        serving, registry = self._live.snapshot, loaded.registry
        if serving.version == loaded.version and foretold(registry, expert):
            rule = serving.promises.rule(registry.default_policy)
            found["without_itself"] = coverage(expert, serving.judge, registry, rule).to_json()
        return found

    def _warnings(self, expert: str, registry: Registry) -> list[str]:
        return warnings_about(expert, registry, self._live.snapshot.encoder.encoder, self._live.vectors)

    async def preview(self, addition: Addition, traffic: Traffic, who: str) -> dict[str, Any]:
        """What one more expert would take over, of the examples and of recent `traffic`; nothing is changed.

        Its server is asked whether it answers, so the log says whose preview it was, also of one that is refused.
        """
        log.info("expert %r previewed by key %s", str(addition.expert.get("id"))[:64], who or "-")
        old = await asyncio.to_thread(self._read)
        new = await asyncio.to_thread(self._amended, old, lambda text: with_expert(text, addition.entry))
        told, spec = await asyncio.to_thread(self._previewed, old, new, addition, traffic)
        return _and_server(told, await server_of(spec))

    def _previewed(
        self, old: bytes, new: bytes, addition: Addition, traffic: Traffic
    ) -> tuple[dict[str, Any], AnySpec]:
        serving, expert = self._live.snapshot, str(addition.expert.get("id"))
        with addition.placed(self._path, passing=True), draft(self._path, new, old) as path:
            loaded = self._checked(path)
            encoder = serving.encoder.encoder
            fitted = fit_judge(loaded.registry, encoder, self._live.vectors, editions=self._live.editions)
            tariffs = Tariffs.of_registry(loaded.registry)
            promises = Promises.make(loaded.registry, fitted, encoder.fingerprint, tariffs, None, serving.promises)
            warnings = self._warnings(expert, loaded.registry)
        moved = moves(loaded.registry, (serving.judge, fitted.judge), (serving.promises, promises), traffic)
        rule, spec = promises.rule(loaded.registry.default_policy), loaded.registry.expert(expert)
        told = {
            **_of_examples(expert, spec.label, fitted.judge),
            "without_itself": coverage(expert, fitted.judge, loaded.registry, rule).to_json(),
            "recent": {
                "requests": len(traffic.policies),
                "moved": [{"from": one, "to": other, "requests": n} for (one, other), n in moved.most_common()],
            },
            "promises": promises.to_json(),
            "warnings": warnings,
        }
        return told, spec

    def _amended(self, old: bytes, amend: Callable[[str], str] | str) -> bytes:
        """Raises `RegistryError`."""
        return amend.encode() if isinstance(amend, str) else amended(old, amend, self._path.name)

    def _replace(self, old: bytes, new: bytes, added: bool) -> LoadedRegistry:
        """Write `new`, once checked, in the place of `old`, to which an expert was `added`, or whatever it is.

        Raises `RegistryError`, `RegistryMoved`.
        """
        with draft(self._path, new, old if added else None) as path:
            loaded = self._checked(path)
            if self._read() != old:
                raise RegistryMoved(f"{self._path.name} was edited while this change was checked, which was not made")
            put(path, self._path)
            return loaded

    def _read(self) -> bytes:
        """Raises `RegistryBlocked`."""
        try:
            return self._path.read_bytes()
        except OSError as error:
            told = blocked(OSError(error.errno, error.strerror), self._path.parent, "")
            raise RegistryBlocked([f"{self._path.name}: cannot be read: {told}."]) from None

    def _checked(self, path: Path) -> LoadedRegistry:
        """The registry in a draft, if it could serve. Raises `RegistryError`."""
        self._check_files(path)
        loaded = load_registry(path)
        if loaded.registry.encoder != self._live.snapshot.registry.encoder:
            raise RegistryError([f"{path}: encoder: cannot change while serving. Remedy: edit it and restart."])
        if sent := unsent_keys(path, loaded.registry, self._live.snapshot.registry):
            raise RegistryError(sent)
        check_rows(loaded.registry)
        return loaded

    def _check_files(self, path: Path) -> None:
        """Raises `RegistryError` for a draft that names files elsewhere; nothing of them has been read."""
        try:
            document = read_document(path)
        except Unusable as error:
            raise RegistryError([error.problem.text(str(path))]) from None
        if foreign := foreign_files(document, path, self._live.snapshot.registry, Path(FOLDER)):
            raise RegistryError(foreign)

    async def _settled(self, loaded: LoadedRegistry, former: Path, new: bytes) -> bool:
        """Whether what was written serves; False where somebody else has edited it since.

        Raises `RegistryError` when it does not go live: then the `former` is there again, or it is said why not.
        """
        try:
            return await self._go_live(loaded, new)
        except RegistryError as error:
            if not await self._says(new):
                return False
            try:
                await asyncio.to_thread(put, former, self._path)
            except RegistryBlocked as stuck:
                said = f"{self._path.name}: still holds this edit, which is tried again from time to time."
                raise RegistryBlocked([*error.problems, *stuck.problems, said]) from None
            self._watcher.nudge()
            raise

    async def _go_live(self, loaded: LoadedRegistry, new: bytes) -> bool:
        """Wait until a written registry serves, or one that somebody else made of it: False. Raises `RegistryError`."""
        known, seen = self._watcher.problem, self._live.snapshot.version
        self._watcher.nudge()
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while (serving := self._live.snapshot.version) != loaded.version:
            if serving != seen and not await self._says(new):
                return False
            seen = serving
            problem = self._watcher.problem
            if problem is not None and problem is not known and self._watcher.refused in (None, loaded.version):
                raise type(problem)(problem.problems)
            if asyncio.get_running_loop().time() > deadline:
                raise RegistryBlocked([f"{self._path.name}: did not go live. Remedy: look into the log."])
            await asyncio.sleep(_LOOK_S)
        return True

    async def _says(self, content: bytes) -> bool:
        return await asyncio.to_thread(self._read) == content


def _and_server(told: dict[str, Any], found: Reach | None) -> dict[str, Any]:
    """A server that does not answer may do so soon, so that is a warning."""
    wrong = [] if found is None or found.warning is None else [found.warning]
    return {**told, "warnings": [*told["warnings"], *wrong], "server": found and found.to_json()}


def _of_examples(expert: str, label: str, judge: Judge) -> dict[str, Any]:
    """Of an expert's examples and of others', each judged without itself: whose it would take."""
    names, told = judge.classes_.tolist(), judge.left_out()[0]
    own = judge.known()[1][told.rows]
    taken = told.probability.argmax(axis=1) == names.index(expert) if expert in names else own == label
    taken &= (own != OUTSIDE) | (told.probability.max(axis=1, initial=0) > 0.5)
    return {
        "examples": int((own == label).sum()),
        "different": int(told.once[own == label].sum()),
        "recognised": int((taken & (own == label)).sum()),
        "taken_from": {str(name) or "nobody": int((taken & (own == name)).sum()) for name in set(own[taken]) - {label}},
    }
