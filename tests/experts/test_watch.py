"""A valid edit is reported once, an invalid one too, and nothing stops the watching."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from experts.errors import RegistryBlocked, RegistryError
from experts.registry import LoadedRegistry, load_registry
from experts.watch import RegistryWatcher

GOOD = """\
version: 1
encoder: {path: ., sha256: "%s"}
fallback: chat
policies: {balanced: {threshold: 0.8}}
power: {dynamic_w_per_core: 1.9, source: measured, as_of: 2026-03-09}
experts:
  - {id: chat, kind: scripted, description: One, script: script.jsonl, params_b: 0, context: 9}
""" % ("0" * 64)


PERIOD_S = 0.05
"""Shorter than in service, so that looks are many and the tests are quick."""


@dataclass
class Reports:
    """What the watcher said, in order, and a way to wait for the next."""

    path: Path
    changes: list[LoadedRegistry] = field(default_factory=list)
    problems: list[RegistryError] = field(default_factory=list)
    raises: Exception | None = None
    said: asyncio.Event = field(default_factory=asyncio.Event)

    async def on_change(self, loaded: LoadedRegistry) -> None:
        self.said.set()
        if self.raises:
            raise self.raises
        self.changes.append(loaded)

    def on_problem(self, error: RegistryError) -> None:
        self.said.set()
        self.problems.append(error)

    async def next(self) -> None:
        await self.said.wait()
        self.said.clear()

    def describes(self) -> str:
        return self.changes[-1].registry.expert("chat").description


class Watcher(RegistryWatcher):
    """One that counts its looks."""

    looks = 0

    async def _look(self) -> None:
        try:
            await super()._look()
        finally:
            self.looks += 1


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SHOAL_FALLBACK_URL", raising=False)
    monkeypatch.setattr("experts.watch.PERIOD_S", PERIOD_S)
    for name in ("model.onnx", "tokenizer.json", "script.jsonl"):
        (tmp_path / name).write_text("{}\n")
    (tmp_path / "registry.yaml").write_text(GOOD)
    return tmp_path / "registry.yaml"


@asynccontextmanager
async def watching(path: Path) -> AsyncIterator[tuple[Reports, Watcher]]:
    reports = Reports(path)
    async with Watcher(path, load_registry(path), reports.on_change, reports.on_problem) as watcher:
        yield reports, watcher


def edit(path: Path, text: str) -> None:
    """Write as editors do: all of it at once, never half."""
    fresh = path.with_suffix(".fresh")
    fresh.write_text(text)
    fresh.replace(path)


def rewrite(path: Path) -> None:
    """The same again, in place, for a moment empty."""
    os.utime(path)
    path.write_text(GOOD)


def slip_in(path: Path, text: str) -> None:
    """Change the content and neither time, size nor inode."""
    before = path.stat()
    with path.open("r+") as file:
        file.write(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def delete(path: Path) -> None:
    path.unlink()


def problem_of(watcher: RegistryWatcher) -> RegistryError | None:
    return watcher.problem


async def settle(watcher: Watcher) -> None:
    """A few whole looks, however long they take; used only where nothing is to happen."""
    enough = watcher.looks + 4
    while watcher.looks < enough:
        await asyncio.sleep(PERIOD_S / 10)


async def test_an_edit_is_reported_with_its_content(path: Path) -> None:
    async with watching(path) as (reports, watcher):
        edit(path, GOOD.replace("One", "Two"))
        await reports.next()
        await settle(watcher)
    assert [loaded.registry.expert("chat").description for loaded in reports.changes] == ["Two"]


async def test_a_data_file_counts_as_the_registry(path: Path) -> None:
    async with watching(path) as (reports, _):
        edit(path.with_name("script.jsonl"), '{"match": ".*", "reply": "x"}\n')
        await reports.next()
    assert len(reports.changes) == 1


async def test_an_edit_before_the_first_look_is_seen(path: Path) -> None:
    loaded = load_registry(path)
    edit(path, GOOD.replace("One", "Two"))
    reports = Reports(path)
    async with Watcher(path, loaded, reports.on_change, reports.on_problem):
        await reports.next()
    assert reports.describes() == "Two"


async def test_touching_and_rewriting_the_same_report_nothing(path: Path) -> None:
    async with watching(path) as (reports, watcher):
        for _ in range(20):
            rewrite(path)
            await asyncio.sleep(PERIOD_S / 10)
        await settle(watcher)
        assert (reports.changes, [e for e in reports.problems if "is empty" not in str(e)]) == ([], [])


async def test_an_invalid_edit_is_reported_once_and_mended(path: Path) -> None:
    async with watching(path) as (reports, watcher):
        edit(path, GOOD.replace("0.8", "8"))
        await reports.next()
        await settle(watcher)
        assert ["threshold" in str(error) for error in reports.problems] == [True]
        assert watcher.problem is reports.problems[0]
        edit(path, GOOD.replace("One", "Two"))
        await reports.next()
        assert problem_of(watcher) is None
    assert (len(reports.changes), len(reports.problems)) == (1, 1)


async def test_going_back_to_what_serves_clears_the_problem_without_a_change(path: Path) -> None:
    async with watching(path) as (reports, watcher):
        edit(path, "version: 1\nfall")
        await reports.next()
        edit(path, GOOD)
        while problem_of(watcher) is not None:
            await asyncio.sleep(PERIOD_S)
    assert reports.changes == []


async def test_a_file_the_broken_registry_names_mends_it(path: Path) -> None:
    async with watching(path) as (reports, _):
        edit(path, GOOD.replace("script.jsonl", "new.jsonl").replace("One", "Two"))
        await reports.next()
        assert "there is no file" in str(reports.problems[0])
        edit(path.with_name("new.jsonl"), "{}\n")
        await reports.next()
    assert reports.describes() == "Two"


async def test_deleted_then_replaced_by_rename(path: Path) -> None:
    async with watching(path) as (reports, _):
        delete(path)
        await reports.next()
        assert "does not exist" in str(reports.problems[0])
        edit(path, GOOD.replace("One", "Two"))
        await reports.next()
    assert reports.describes() == "Two"


async def test_an_edit_that_keeps_time_and_size_is_seen_after_a_nudge(path: Path) -> None:
    async with watching(path) as (reports, watcher):
        await settle(watcher)
        slip_in(path, GOOD.replace("One", "Two"))
        await settle(watcher)
        assert reports.changes == []
        watcher.nudge()
        await reports.next()
    assert reports.describes() == "Two"


def room_left_out(problem: RegistryError) -> str:
    """Without what the disk has left, which others change between two tries."""
    return re.sub(r"[\d.]+ MB free", "MB free", str(problem))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            OSError(28, "No space left on device"),
            r"does not go live: /\S+: No space left on device .*Remedy: make room",
        ),
        (KeyError("x"), r"does not go live: a fault of Shoal's own \(KeyError\). Remedy: the log tells where"),
    ],
)
async def test_what_keeps_a_good_edit_from_going_live_is_a_problem_and_it_is_tried_again(
    path: Path, fault: Exception, told: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experts.watch.FIRST_PAUSE_S", PERIOD_S)
    async with watching(path) as (reports, watcher):
        reports.raises = fault
        edit(path, GOOD.replace("One", "Two"))
        await reports.next()
        await settle(watcher)
        problem = problem_of(watcher)
        assert isinstance(problem, RegistryBlocked)
        assert re.search(told, str(problem))
        assert watcher.refused == load_registry(path).version
        told_of = [room_left_out(error) for error in reports.problems]
        assert told_of == [room_left_out(problem)], "told once, however often it is tried"
        assert ("Traceback" in caplog.text) == isinstance(fault, KeyError)
        reports.raises = None
        while not reports.changes:  # nobody edits anything: the cause is gone
            await asyncio.sleep(PERIOD_S)
        await settle(watcher)
        assert (problem_of(watcher), watcher.refused) == (None, None)
    assert reports.describes() == "Two"


async def test_a_pause_before_another_try_ends_with_an_edit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experts.watch.FIRST_PAUSE_S", 1e9)
    async with watching(path) as (reports, watcher):
        reports.raises = OSError("no room for experts")
        edit(path, GOOD.replace("One", "Two"))
        await reports.next()
        await settle(watcher)
        reports.raises = None
        await settle(watcher)
        assert reports.changes == []
        edit(path, GOOD.replace("One", "Three"))
        while not reports.changes:
            await asyncio.sleep(PERIOD_S)
    assert reports.describes() == "Three"


async def test_closing_ends_the_watching(path: Path) -> None:
    async with watching(path) as (reports, _):
        pass
    edit(path, GOOD.replace("One", "Two"))
    await asyncio.sleep(4 * PERIOD_S)
    assert (reports.changes, reports.problems) == ([], [])
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "registry watcher"]


async def test_a_file_beside_the_registry_makes_it_be_taken_up_anew(path: Path) -> None:
    reports, pointer = Reports(path), path.with_name("current.json")
    loaded = load_registry(path)
    async with Watcher(path, loaded, reports.on_change, reports.on_problem, (pointer,)) as watcher:
        await settle(watcher)
        assert reports.changes == []
        for content in ("1", "22"):  # made, then changed
            edit(pointer, content)
            await reports.next()
        await settle(watcher)
    assert [each.version for each in reports.changes] == [loaded.version] * 2


async def test_a_file_beside_the_registry_that_is_refused_is_tried_again(path: Path) -> None:
    reports, pointer = Reports(path), path.with_name("current.json")
    reports.raises = RegistryError(["current.json: broken"])
    async with Watcher(path, load_registry(path), reports.on_change, reports.on_problem, (pointer,)) as watcher:
        edit(pointer, "1")
        await reports.next()
        await settle(watcher)
        assert watcher.problem is not None
        reports.raises = None
        reports.said.clear()
        await reports.next()
        await settle(watcher)
        assert watcher.problem is None
    assert len(reports.changes) == 1
