"""GET /metrics where several workers share a port: whichever is asked answers with the figures of all of them.

Every worker has a number, which all its series carry, and keeps its figures on a sheet in a folder that the workers
share. It writes the sheet every few seconds and before it answers from all sheets: so no counter is ever told lower
than it was told before, whoever was asked.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from router.chore import chore
from router.seats import Seat
from router.telemetry import Telemetry

EVERY_S: Final = 2.0

STALE_S: Final = 30.0
"""A sheet older than this is of a worker that is gone, or hangs; its figures are not told any more."""

SUFFIX: Final = ".prom"


class Sheets:
    """The sheet of this worker, and those of the others beside it."""

    def __init__(self, folder: Path, number: int, telemetry: Telemetry) -> None:
        self._folder = folder
        self._number = str(number)
        self._telemetry = telemetry
        self._writing = asyncio.Lock()
        """An older text must not come to lie over a newer one."""

    async def text(self) -> bytes:
        """The figures of all workers. Raises OSError when the folder cannot be used."""
        await self.write()
        return await asyncio.to_thread(lambda: side_by_side(fresh(self._folder)).encode())

    async def write(self) -> None:
        """Put this worker's figures where the others find them. Raises OSError."""
        async with self._writing:
            await asyncio.to_thread(self._put, self._telemetry.render(worker=self._number))

    async def keep(self) -> None:
        """Write again and again; a disk that refuses is told and asked again."""
        await chore("cannot write metrics for the other workers", self.write, EVERY_S)

    def withdraw(self) -> None:
        """Take this worker's figures away."""
        self._path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self._folder / (self._number + SUFFIX)

    def _put(self, text: bytes) -> None:
        unfinished = self._path.with_suffix(".new")
        unfinished.write_bytes(text)
        unfinished.replace(self._path)


@asynccontextmanager
async def metrics_of(telemetry: Telemetry, seat: Seat | None) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
    """What /metrics answers: this process, or, where it has a seat among workers, all of them. Raises OSError."""
    if seat is None:

        async def alone() -> bytes:
            return telemetry.render()

        yield alone
        return
    sheets = Sheets(seat.folder, seat.number, telemetry)
    await sheets.write()  # over that of a dead worker who had this number
    keeping = asyncio.create_task(sheets.keep())
    try:
        yield sheets.text
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        sheets.withdraw()


def fresh(folder: Path) -> Iterator[str]:
    """The sheets of workers that live, by their names."""
    for path in sorted(folder.glob("*" + SUFFIX)):
        with suppress(FileNotFoundError):  # its worker has just ended
            if time.time() - path.stat().st_mtime < STALE_S:
                yield path.read_text()


def side_by_side(sheets: Iterable[str]) -> str:
    """One text of several: the format wants all series of a name in one place, under one heading."""
    heads: dict[str, str] = {}
    series: dict[str, list[str]] = {}
    for sheet in sheets:
        for part in re.split(r"^(?=# HELP )", sheet, flags=re.MULTILINE)[1:]:
            told, kind, lines = [*part.split("\n", 2), ""][:3]
            name = told.split()[2]
            heads.setdefault(name, f"{told}\n{kind}\n")
            series.setdefault(name, []).append(lines)
    return "".join(head + "".join(series[name]) for name, head in heads.items())
