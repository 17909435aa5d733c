"""What serves right now: one frozen `Snapshot` of the registry and all that follows from it, swapped whole."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from experts.errors import RegistryError, ShoalError
from experts.pool import Pool
from experts.reading.list_price import with_list_prices
from experts.reading.overlay import idle
from experts.registry import LoadedRegistry
from experts.spec import ENCODER_MODEL, READS_VECTOR, Registry
from experts.whole import write_whole
from router.encode import AsyncEncoder, Encoder
from router.learn.cautions import cautions, unheard
from router.learn.editions import Editions
from router.learn.fit import Fitted, check_experts, fit_judge
from router.learn.vectors import vectors_of
from router.meter.energy import READ_EVERY_NS, SharedCpuClock
from router.meter.tariff import Tariffs
from router.promises.promises import Promises
from router.promises.usual import USUAL
from router.settings import Settings
from router.snapshot import Snapshot

log = logging.getLogger("shoal.registry")

MADE: Final = "made"
"""Beside the certificates: written anew when all of them were made again. A policy's own file ends in .json."""


class Live:
    """Holds the snapshot that serves, and replaces it when the registry changes."""

    def __init__(self, snapshot: Snapshot, fitted: Fitted, settings: Settings, *, keep: bool) -> None:
        self.models_of: Callable[[str], frozenset[str] | None] = _everything
        """The experts that the key with an id may use; None for all."""
        self.astray: Callable[[Collection[str]], list[str]] = _nobody
        """What is to be said of keys that may use models which are not among these."""
        self._views: dict[frozenset[str], Snapshot] = {}
        self.snapshot = snapshot
        self._fitted, self._settings, self._keep = fitted, settings, keep
        self.vectors = settings.vectors_folder
        self.editions = Editions(settings.editions_folder)
        self._made = settings.certificates_folder / MADE
        self.beside = self.editions.pointer, self._made, settings.certificates_folder / USUAL
        """Files whose change tells that what serves is to be taken up anew, whichever process changed them."""
        self._clocks: dict[str, SharedCpuClock] = {}
        self._cautioned: list[str] = []

    @classmethod
    async def open(
        cls,
        loaded: LoadedRegistry,
        settings: Settings,
        on_thread: Callable[[], None] = lambda: None,
        *,
        keep: bool = True,
    ) -> Live:
        """Everything needed to serve `loaded`; `on_thread` is called in every thread that encodes.

        Without `keep`, heads and certificates on file are read and left as they are: they may be those of a server.
        Nor is told then what the registry is warned of, or what policies cannot promise: whoever asks knows which of
        them it is about.
        Raises `RegistryError` or `WeightsError`.
        """
        registry = loaded.registry
        await asyncio.to_thread(check_experts, registry)
        opened = await asyncio.to_thread(Encoder.of, registry.encoder)
        encoder = AsyncEncoder(opened, on_thread=on_thread)

        vectors, heads = settings.vectors_folder, settings.heads_folder
        editions = Editions(settings.editions_folder)
        fitted = await asyncio.to_thread(fit_judge, registry, opened, vectors, None, heads, editions, keep=keep)
        pool = Pool(
            registry,
            weights_dir=settings.data_dir,
            registry_dir=settings.registry.parent,
            embed=lambda texts: vectors_of(texts, opened, vectors),
            count_tokens=opened.count_tokens,
        )
        tariffs = await asyncio.to_thread(Tariffs.of_registry, registry)
        promises = await asyncio.to_thread(
            Promises.make, registry, fitted, opened.fingerprint, tariffs, settings.certificates_folder,
            ledger=settings.ledger_path, keep=keep,
        )  # fmt: skip
        snapshot = Snapshot(
            registry, loaded.version, fitted.judge, pool, tariffs, encoder, promises, fitted.edition, fitted.refused
        )
        live = cls(snapshot, fitted, settings, keep=keep)
        if keep:
            promises.tell()
            live._caution(await asyncio.to_thread(_cautions, registry, editions, fitted.edition))
        return live

    async def adopt(self, loaded: LoadedRegistry) -> None:
        """Make a changed registry live; requests under way finish on the old one. Raises `RegistryError`."""
        old = self.snapshot
        if loaded.registry.encoder != old.registry.encoder:
            remedy = "Restart Shoal to serve with another encoder."
            raise RegistryError([f"{loaded.files[0]}: encoder: cannot change while serving. Remedy: {remedy}"])
        try:
            tariffs = await asyncio.to_thread(Tariffs.of_registry, loaded.registry)
        except ShoalError as error:
            raise RegistryError([f"{loaded.files[0]}: {error}"]) from error
        await asyncio.to_thread(check_experts, loaded.registry)
        fitted = await asyncio.to_thread(
            fit_judge, loaded.registry, old.encoder.encoder, self.vectors, self._fitted,
            self._settings.heads_folder, self.editions, keep=self._keep,
        )  # fmt: skip
        promises = await self._promised(old, loaded.registry, fitted, tariffs)
        said = await asyncio.to_thread(_cautions, loaded.registry, self.editions, fitted.edition)
        pool = await old.pool.adopt(loaded.registry)
        self.snapshot = Snapshot(
            loaded.registry, loaded.version, fitted.judge, pool, tariffs, old.encoder, promises, fitted.edition,
            fitted.refused,
        )  # fmt: skip
        promises.succeed(old.promises)
        self._views = {}
        self._fitted = fitted
        old.pool.retire()
        promises.tell(old.promises)
        self._caution([*said, *self.astray(_models(loaded.registry))])
        log.info("registry %s is live (was %s), edition %d", loaded.version, old.version, fitted.edition)

    def look_at_keys(self) -> None:
        """Tell in the log of keys that may use models which are not there; every change of the registry does."""
        self._caution([*self._cautioned, *self.astray(_models(self.snapshot.registry))])

    def _caution(self, said: list[str]) -> None:
        """Tell in the log what the registry is warned of, and was not before."""
        for each in said:
            if each not in self._cautioned:
                log.warning("%s", each)
        self._cautioned = said

    async def certify(self, worker: int | None = None) -> None:
        """Make every policy's promise again, whatever is on file; what has drifted stays refused.

        A `worker` among others has them take up what is on file then. Raises OSError where they cannot be told.
        """
        old = self.snapshot
        promises = await self._promised(old, old.registry, self._fitted, old.tariffs, anew=True)
        self._take(old, replace(old, promises=promises))
        if worker is not None:
            await asyncio.to_thread(write_whole, self._made, b"%d\n" % worker)

    async def reprice(self) -> None:
        """Charge by the list prices that hold now: some begin on a date, or hold at hours of the day.

        Requests under way are charged what held when they came. Budgets are estimated anew, and who is smallest.
        """
        old = self.snapshot
        registry = with_list_prices(old.registry)
        if registry is old.registry:
            return
        tariffs = await asyncio.to_thread(Tariffs.of_registry, registry)
        promises = await self._promised(old, registry, self._fitted, tariffs)
        if self._take(old, replace(old, registry=registry, tariffs=tariffs, promises=promises)):
            log.info("other list prices hold from now on")

    async def _promised(
        self, old: Snapshot, registry: Registry, fitted: Fitted, tariffs: Tariffs, *, anew: bool = False
    ) -> Promises:
        """What policies promise by a judge and tariffs; what `old` watches goes on being watched."""
        return await asyncio.to_thread(
            Promises.make, registry, fitted, old.encoder.encoder.fingerprint, tariffs,
            self._settings.certificates_folder, old.promises, ledger=self._settings.ledger_path, anew=anew,
            keep=self._keep,
        )  # fmt: skip

    def _take(self, old: Snapshot, new: Snapshot) -> bool:
        """Serve `new`, whose promises were made beside `old`; not where another registry has gone live meanwhile."""
        if self.snapshot is not old:
            return False
        self.snapshot = new
        new.promises.succeed(old.promises)
        new.promises.tell(old.promises)
        self._views = {}
        return True

    def seen_by(self, key_id: str) -> Snapshot:
        """What serves right now, as the caller with this key may see it."""
        allowed = self.models_of(key_id)
        if allowed is None:
            return self.snapshot
        view = self._views.get(allowed)
        if view is None:
            view = self._views[allowed] = self.snapshot.seen_with(allowed)
        return view

    async def warm(self) -> None:
        """Load the fallback and whatever costs no memory to speak of, so that no first request waits for it."""
        registry = self.snapshot.registry
        light = [spec.id for spec in registry.experts if spec.kind in READS_VECTOR]
        await self.snapshot.pool.warm([registry.fallback, *light])

    def clock(self, expert: str) -> SharedCpuClock:
        """The CPU clock of an expert's child process; one for as long as Shoal serves, whatever restarts."""
        if expert not in self._clocks:
            self._clocks[expert] = SharedCpuClock(lambda: self.snapshot.pool.cpu_ns(expert), READ_EVERY_NS)
        return self._clocks[expert]

    def refuse(self, error: RegistryError) -> None:
        """Say why the last good registry keeps serving."""
        for line in error.problems:
            log.error("registry not changed, %s keeps serving: %s", self.snapshot.version, line)

    async def aclose(self) -> None:
        """Stop every expert."""
        await self.snapshot.pool.aclose()
        self.snapshot.encoder.close()


def _cautions(registry: Registry, editions: Editions, edition: int) -> list[str]:
    """What is to be said of a registry and of what was learnt from use. Raises `RegistryError` or `EditionError`."""
    lost = unheard(editions, edition, [spec.id for spec in registry.experts])
    return [*filter(None, (idle(os.environ), lost)), *cautions(registry)]


def _everything(_: str) -> None:
    return None


def _nobody(_: Collection[str]) -> list[str]:
    return []


def _models(registry: Registry) -> set[str]:
    """What a key may be limited to."""
    return {spec.id for spec in registry.experts} | {ENCODER_MODEL}
