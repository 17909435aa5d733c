"""Who on this port serves a changed registry: all are waited for but the dead, and who does not follow is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from experts.errors import RegistryError
from experts.registry import LoadedRegistry, load_registry
from experts.watch import RegistryWatcher
from router.live import Live
from router.seats import Seat, seat
from router.workers import Workers, beside
from tests.service.server import write_registry

Adopts = Callable[[LoadedRegistry], Awaitable[None]]


class Worker:
    """One worker as far as a registry matters: what it takes up goes through the real watcher."""

    def __init__(self, path: Path, folder: Path, before: Adopts | None = None) -> None:
        """`before` is awaited before a registry, or what lies beside it in `learnt`, goes live here."""
        self.path, self.folder, self.before = path, folder, before
        self.loaded = load_registry(path)
        self.live = SimpleNamespace(snapshot=SimpleNamespace(version=self.loaded.version))
        self.learnt = path.with_name("learnt")
        self.watcher = RegistryWatcher(path, self.loaded, self.adopt, lambda _: None, (self.learnt,))

    async def adopt(self, loaded: LoadedRegistry) -> None:
        if self.before is not None:
            await self.before(loaded)
        self.live.snapshot.version = loaded.version

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Workers]:
        with seat(self.folder) as mine:
            assert mine is not None
            async with self.watcher, beside(mine, cast(Live, self.live), self.watcher):
                yield Workers(mine, cast(Live, self.live), self.watcher)


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return write_registry(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "shared"


def edit(path: Path) -> str:
    """Another registry in the place of what lies there; its version."""
    path.write_text(path.read_text() + "# another\n")
    return load_registry(path).version


async def test_who_is_alone_waits_for_nobody(registry: Path, folder: Path) -> None:
    one = Worker(registry, folder)
    async with beside(None, cast(Live, one.live), one.watcher) as behind:
        assert await behind() == []
    assert not folder.exists()


async def test_all_are_waited_for(registry: Path, folder: Path) -> None:
    may, goes_on = asyncio.Event(), asyncio.Event()

    async def held(_: LoadedRegistry) -> None:
        goes_on.set()
        await may.wait()

    one, other = Worker(registry, folder), Worker(registry, folder, held)
    async with one.serving() as workers, other.serving():
        assert await workers.behind() == []
        changed = edit(registry)
        waiting = asyncio.create_task(workers.behind())
        await goes_on.wait()
        while one.live.snapshot.version != changed:
            await asyncio.sleep(0.01)
        why = "has not said within 0 seconds that it has taken up the registry"
        assert {"worker": 1, "why": why} in await workers.behind(0)
        assert not waiting.done()
        may.set()
        assert await waiting == []
        assert other.live.snapshot.version == changed == one.live.snapshot.version


async def test_who_refuses_is_told_with_the_reason(
    registry: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(_: LoadedRegistry) -> None:
        raise RegistryError(["registry.yaml: the disk is full. Remedy: make room."])

    one, other = Worker(registry, folder), Worker(registry, folder, full)
    async with one.serving() as workers, other.serving():
        edit(registry)
        assert await workers.behind() == [{"worker": 1, "why": "registry.yaml: the disk is full. Remedy: make room."}]
    assert (
        f"worker 1 does not serve registry {one.live.snapshot.version}: registry.yaml: the disk is full" in caplog.text
    )


async def test_who_does_not_take_up_what_lies_beside_the_registry_is_told_too(registry: Path, folder: Path) -> None:
    """Its version is the same, so that alone does not tell."""

    async def damaged(_: LoadedRegistry) -> None:
        raise RegistryError(["learnt: is damaged. Remedy: restore it."])

    one, other = Worker(registry, folder), Worker(registry, folder, damaged)
    async with one.serving() as workers, other.serving():
        assert await workers.behind() == []
        one.learnt.touch()
        assert await workers.behind() == [{"worker": 1, "why": "learnt: is damaged. Remedy: restore it."}]


async def test_the_dead_are_not_waited_for_and_who_starts_is(registry: Path, folder: Path) -> None:
    one, other = Worker(registry, folder), Worker(registry, folder)
    async with one.serving() as workers, AsyncExitStack() as of_other:
        await of_other.enter_async_context(other.serving())
        await of_other.aclose()
        edit(registry)
        assert await workers.behind() == []
        with seat(folder) as starting:
            assert starting == Seat(folder, 1)
            assert [one["worker"] for one in await workers.behind(0)] == [1], "what the dead one said is not its word"
        assert await workers.behind(0) == []


async def test_who_starts_has_taken_up_what_was_changed_since_it_read_the_registry(
    registry: Path, folder: Path
) -> None:
    late = Worker(registry, folder)
    changed = edit(registry)
    async with late.serving():
        assert late.live.snapshot.version == changed


async def test_whoever_has_no_seat_any_more_does_not_say_that_all_is_well(registry: Path, folder: Path) -> None:
    """A folder for passing files may be swept while a server runs."""
    async with Worker(registry, folder).serving() as workers:
        for path in folder.iterdir():
            path.unlink()
        assert [one["worker"] for one in await workers.behind(0)] == [0]
