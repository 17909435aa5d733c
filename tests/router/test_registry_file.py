"""A change of the registry's file beside somebody who edits it by hand: nobody's words are lost, and it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from experts.errors import RegistryBlocked, RegistryError
from experts.registry import load_registry
from experts.watch import RegistryWatcher
from router.live import Live
from router.registry_file import RegistryFile, RegistryMoved
from tests.router.meter.test_ledger_faults import no_file_over
from tests.service.server import write_registry

OURS = ("threshold: 0.7", "threshold: 0.71")
THEIRS = ("threshold: 0.99", "threshold: 0.98")


class Desk:
    """A registry's file, what serves of it, and what happens when it is looked at."""

    def __init__(self, folder: Path) -> None:
        self.path = write_registry(folder)
        loaded = load_registry(self.path)
        self.live = SimpleNamespace(snapshot=SimpleNamespace(version=loaded.version, registry=loaded.registry))
        self.problem: RegistryError | None = None
        self.refused: str | None = None
        self.looked: Callable[[], None] = self.take_up

    def edit(self, old: str, new: str) -> None:
        """As an editor does: what stands there, changed and saved."""
        text = self.path.read_text()
        assert old in text
        self.path.write_text(text.replace(old, new))

    def take_up(self) -> None:
        """As the watcher does."""
        try:
            self.live.snapshot.version = load_registry(self.path).version
        except RegistryError as error:
            self.problem = error

    def nudge(self) -> None:
        """What a change asks the watcher for."""
        self.looked()

    def change(self, amend: Callable[[str], str] = lambda text: text.replace(*OURS), **more: Any) -> None:
        """One change, to its end."""
        file = RegistryFile(self.path, cast(Live, self.live), cast(RegistryWatcher, self))
        asyncio.run(file.change(amend, None, "key", "a threshold changed", **more))

    def says(self, *words: str) -> bool:
        """Whether all of it stands in the file."""
        return all(word in self.path.read_text() for word in words)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_alone_it_goes_live(desk: Desk) -> None:
    desk.change()
    assert desk.says(OURS[1])
    assert desk.live.snapshot.version == load_registry(desk.path).version


def test_an_edit_while_it_is_checked_stays_and_the_change_is_not_made(desk: Desk) -> None:
    def amend(text: str) -> str:
        desk.edit(*THEIRS)
        return text.replace(*OURS)

    with pytest.raises(RegistryMoved, match="was edited while this change was checked"):
        desk.change(amend)
    assert desk.says(OURS[0], THEIRS[1])


def test_an_edit_on_top_of_it_stays_with_what_lies_beside(desk: Desk) -> None:
    kept: list[bool] = []

    @contextmanager
    def beside() -> Iterator[None]:
        yield
        kept.append(True)

    def looked() -> None:
        desk.edit(*THEIRS)
        desk.take_up()

    desk.looked = looked
    with pytest.raises(RegistryMoved, match="edited before this change was live, nothing was taken back"):
        desk.change(beside=beside())
    assert desk.says(OURS[1], THEIRS[1])
    assert kept == [True]


def test_a_broken_edit_on_top_of_it_is_left_to_whoever_made_it(desk: Desk) -> None:
    def looked() -> None:
        desk.edit("fallback: big", "fallback: nobody")
        desk.take_up()

    desk.looked = looked
    with pytest.raises(RegistryMoved):
        desk.change()
    assert desk.says(OURS[1], "fallback: nobody")


def test_what_does_not_go_live_is_taken_back(desk: Desk) -> None:
    before = desk.path.read_text()

    def looked() -> None:
        desk.problem = RegistryError(["the judge cannot be fitted"])

    desk.looked = looked
    with pytest.raises(RegistryError, match="the judge cannot be fitted"):
        desk.change()
    assert desk.path.read_text() == before


def test_it_is_taken_back_also_where_the_disk_takes_no_word_any_more(desk: Desk) -> None:
    before = desk.path.read_text()
    with ExitStack() as stack:

        def looked() -> None:
            stack.enter_context(no_file_over(0))
            desk.problem, desk.refused = RegistryBlocked(["the disk is full"]), load_registry(desk.path).version

        desk.looked = looked
        with pytest.raises(RegistryBlocked, match="the disk is full"):
            desk.change()
    assert desk.path.read_text() == before
    assert [path.name for path in desk.path.parent.glob(".registry-*")] == []


def test_a_disk_that_takes_no_word_changes_nothing_and_says_what_to_do(desk: Desk) -> None:
    before = desk.path.read_text()
    with (
        no_file_over(0),
        pytest.raises(RegistryBlocked, match=r"registry.yaml: cannot be written: /.*Remedy: make room"),
    ):
        desk.change()
    assert desk.path.read_text() == before
    assert [path.name for path in desk.path.parent.glob(".registry-*")] == []


def test_what_was_wrong_with_an_earlier_edit_is_not_told_of_this_one(desk: Desk) -> None:
    """The watcher may still be at the edit before, which is refused again, when a change is written."""

    async def both() -> None:
        loop = asyncio.get_running_loop()
        file = RegistryFile(desk.path, cast(Live, desk.live), cast(RegistryWatcher, desk))

        def looked() -> None:
            desk.problem, desk.refused = RegistryError(["the edit before"]), "its version"
            loop.call_later(0.1, desk.take_up)

        desk.looked = looked
        await file.change(lambda text: text.replace(*OURS), None, "key", "a threshold changed")

    asyncio.run(both())
    assert desk.says(OURS[1])


def test_one_that_went_live_just_before_is_no_edit_of_it(desk: Desk) -> None:
    """An edit that a change was made on top of may go live only after the change was begun."""

    async def both() -> None:
        loop = asyncio.get_running_loop()
        file = RegistryFile(desk.path, cast(Live, desk.live), cast(RegistryWatcher, desk))

        def looked() -> None:
            desk.live.snapshot.version = "the edit before"
            loop.call_later(0.1, desk.take_up)

        desk.looked = looked
        await file.change(lambda text: text.replace(*OURS), None, "key", "a threshold changed")

    desk.edit(*THEIRS)
    asyncio.run(both())
    assert desk.says(OURS[1], THEIRS[1])
