"""How far long work is, and what a long fetch shows: a bar on a terminal, a line elsewhere, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

Stage = Callable[[str, int, int], None]
"""Told what is done, how much of it, of how much."""


class Progress(Protocol):
    """One fetch at a time: `start`, any number of `advance`, `finish`; `start` again when it begins anew."""

    def start(self, name: str, done: int, total: int | None) -> None:
        """`done` bytes of `total` (None: unknown) are already here."""

    def advance(self, count: int) -> None:
        """`count` more bytes are here."""

    def finish(self) -> None:
        """The fetch has ended, well or badly; a second call does nothing."""

    def note(self, text: str) -> None:
        """A remark of one line."""


class Silence:
    """Shows nothing."""

    def start(self, name: str, done: int, total: int | None) -> None:
        """Nothing."""

    def advance(self, count: int) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


class Lines:
    """A line when a fetch starts and one when it ends, for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._name: str | None = None
        self._done = 0

    def start(self, name: str, done: int, total: int | None) -> None:
        """Say what is fetched and how much of it is here."""
        self._name, self._done = name, done
        size = f", {_mb(total)}" if total else ""
        self.note(f"fetching {name}{size}" + (f", {_mb(done)} already here" if done else ""))

    def advance(self, count: int) -> None:
        """Count silently."""
        self._done += count

    def finish(self) -> None:
        """Say how much is here now."""
        if self._name:
            self.note(f"fetched {_mb(self._done)} of {self._name}")
        self._name = None

    def note(self, text: str) -> None:
        """Print the remark."""
        print(text, file=self._out, flush=True)


class Bar:
    """A bar with speed and remaining time, for a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def start(self, name: str, done: int, total: int | None) -> None:
        """Draw the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        self.finish()
        columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn()
        self._bar = Progress(*columns, console=Console(file=self._out))
        self._task = self._bar.add_task(name, total=total, completed=done)
        self._bar.start()

    def advance(self, count: int) -> None:
        """Move the bar."""
        if self._bar and self._task is not None:
            self._bar.advance(self._task, count)

    def finish(self) -> None:
        """Leave the bar as it stands."""
        if self._bar:
            self._bar.stop()
        self._bar = None

    def note(self, text: str) -> None:
        """Print the remark, above the bar when there is one."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self._out, flush=True)


def progress_on(out: TextIO) -> Progress:
    """The fitting way to show progress on `out`, usually standard error."""
    return Bar(out) if out.isatty() else Lines(out)


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
