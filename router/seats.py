"""The seats of workers on one port: numbered locks in the folder that they share, each held while its worker lives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from router.meter.lead import leading

LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True)
class Seat:
    """A worker's number, and the folder where it is known by that."""

    folder: Path
    number: int

    def path(self, suffix: str) -> Path:
        """A file of this worker's own."""
        return self.folder / f"{self.number}{suffix}"


@contextmanager
def seat(folder: Path | None) -> Iterator[Seat | None]:
    """The lowest number that no living worker has, until the end of the block. Raises OSError.

    None without a folder: there are no others.
    """
    if folder is None:
        yield None
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in count():
        mine = Seat(folder, number)
        with leading(mine.path(LOCK)) as free:
            if free:
                yield mine
                return


def taken(folder: Path) -> list[Seat]:
    """The seats of living workers, by their numbers. Raises OSError."""
    found = []
    for lock in folder.glob(f"*{LOCK}"):
        with leading(lock) as free:
            if not free:
                found.append(Seat(folder, int(lock.stem)))
    return sorted(found, key=lambda one: one.number)
