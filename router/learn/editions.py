"""What was learnt from use, in numbered editions: a folder of files, and a pointer to the one that serves.

An edition is a set of outcomes, some of them of requests that nobody scored, vectors in bytes as the ledger keeps them,
and what was known of it when it was made.
The pointer is swapped whole, so a server that reads it while it changes sees the one or the other. Edition 0 is none.
"""

from __future__ import annotations

import fcntl
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from experts.errors import RegistryError, WrongUsage
from experts.state_file import StateDamaged, read_state, sealed, whole_number
from experts.whole import write_whole
from router.learn.edition_file import (
    Days,
    Edition,
    EditionError,
    Tensors,
    edition_bytes,
    outcomes_of,
    read_edition,
    tensors_of,
)
from router.learn.evidence import Outcomes

log = logging.getLogger("shoal.learn")

POINTER: Final = "current.json"

_DAY_S: Final = 86_400

_NEVER: Final = np.iinfo(np.int32).max
"""A day after all others."""

_NAME: Final = re.compile(r"(\d{4}|[1-9]\d{4,})\.safetensors", re.ASCII)


class NoSuchEdition(EditionError, WrongUsage):
    """No edition has this number."""


class Editions:
    """The editions in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def pointer(self) -> Path:
        """The file that names the edition that serves."""
        return self.folder / POINTER

    def current(self) -> int:
        """The number of the edition that serves, 0 when none does.

        Raises `EditionError` when the pointer is broken, or names an edition that is not there.
        """
        number, _ = self._pointed()
        if number and not self.path(number).exists():
            raise EditionError(
                f"{self.pointer}: names edition {number}, which is not there. Remedy: restore {self.path(number)}, or "
                "shoal learn rollback NUMBER"
            )
        return number

    def _pointed(self) -> tuple[int, int | None]:
        """The edition that the pointer names, 0 for none, and the one it replaced; older pointers do not tell that."""
        try:
            said = read_state(self.pointer)
            replaced = None if said.get("replaces") is None else whole_number(said, "replaces")
            return whole_number(said, "edition"), replaced
        except FileNotFoundError:
            return 0, None
        except StateDamaged as error:
            raise EditionError(
                f"{self.pointer}: cannot be read ({error}). Remedy: shoal learn rollback NUMBER, or delete the file"
            ) from error

    def sound(self, maker: str | None = None) -> int:
        """`current`, looked at whole. Raises `EditionError` as that does, and when the edition cannot be used."""
        number = self.current()
        if number:
            self._opened(number, maker)
        return number

    def all(self) -> list[Edition | EditionError]:
        """Every edition, the oldest first; in the place of one that is damaged, what is wrong with it."""
        return [self._looked_at(number) for number in self._numbers()]

    def _numbers(self) -> list[int]:
        """Of the files that are named as editions are, sorted; others that look alike are passed over with a word."""
        found = []
        for path in sorted(self.folder.glob("[0-9]*.safetensors")):
            if _NAME.fullmatch(path.name):
                found.append(int(path.stem))
            else:
                log.warning("%s: is not named as an edition is, like %s, and is passed over", path, self.path(1).name)
        return sorted(found)

    def _looked_at(self, number: int) -> Edition | EditionError:
        try:
            return self._opened(number)[0]
        except EditionError as error:
            return error

    def before(self) -> int:
        """The edition that the one that serves took the place of, 0 for none. Raises `EditionError`.

        The pointer tells it, so one that is damaged or gone can be taken back. It is not the next smaller number: that
        one may have been taken back before this one was made.
        """
        number, replaced = self._pointed()
        if number == 0:
            raise EditionError("nothing learnt serves, so there is nothing to go back from. Remedy: shoal learn list")
        return int(self._opened(number)[0].said["replaces"]) if replaced is None else replaced

    def path(self, number: int) -> Path:
        """The file of an edition."""
        return self.folder / f"{number:04d}.safetensors"

    def outcomes(self, number: int, maker: str) -> Outcomes | None:
        """What an edition tells; None for number 0. Raises `EditionError`, also when another encoder made it."""
        if number == 0:
            return None
        return outcomes_of(*self._opened(number, maker))

    def scored(self, number: int) -> list[str]:
        """The experts that an edition has scores of; none for number 0. Raises `EditionError`."""
        return list(self._opened(number)[0].said["experts"]) if number else []

    def add(self, outcomes: Outcomes, days: Days, said: Mapping[str, Any]) -> int:
        """Write a new edition, at once or not at all; its number. It does not serve before `use`."""
        with self._alone():
            return self._added(outcomes, days, said)

    def serve(
        self, outcomes: Outcomes, days: Days, said: Mapping[str, Any], over: int | None = None
    ) -> tuple[int, bool]:
        """Let a new edition serve, in the place of what serves at that moment: its number, and whether it is new.

        Where what serves tells just this already it goes on, and nothing is written. `said` names its `maker`; what
        this maker cannot use counts as none. Raises `EditionError` when another than `over` serves, where one is named.
        """
        with self._alone():
            serves = usable(self, said["maker"])[0]
            if self.holds(serves, outcomes, days):
                return serves, False
            if over not in (None, serves):
                raise EditionError(
                    f"not applied: it was tried against edition {over}, and edition {serves} serves by now. Remedy: "
                    "shoal learn apply again, which tries it against that"
                )
            number = self._added(outcomes, days, {**said, "replaces": serves})
            self._use(number)
        return number, True

    def _added(self, outcomes: Outcomes, days: Days, said: Mapping[str, Any]) -> int:
        number = 1 + max(self._numbers(), default=0)
        write_whole(self.path(number), edition_bytes(outcomes, days, said))
        return number

    def holds(self, number: int, outcomes: Outcomes, days: Days) -> bool:
        """Whether an edition tells just this, so that another would be no other. Raises `EditionError`."""
        if number == 0:
            return False
        edition, kept = self._opened(number)
        tensors = tensors_of(outcomes, days)
        alike = all(np.array_equal(kept[name], tensors[name], equal_nan=name == "scores") for name in tensors)
        return alike and list(edition.said["experts"]) == list(outcomes.experts)

    def use(self, number: int, maker: str | None = None) -> None:
        """Let an edition serve; 0 for none. Raises `EditionError` when there is none, or it cannot be used."""
        with self._alone():
            self._use(number, maker)

    def back(self, maker: str | None = None) -> int:
        """Let the edition serve again that the one that serves took the place of; its number. Raises `EditionError`."""
        with self._alone():
            number = self.before()
            self._use(number, maker)
        return number

    def _use(self, number: int, maker: str | None = None) -> None:
        if number and not self.path(number).exists():
            sound = [str(edition.number) for edition in self.all() if isinstance(edition, Edition)]
            known = ", ".join(["0", *sound])
            raise NoSuchEdition(f"there is no edition {number}. Remedy: one of {known}; shoal learn list tells them")
        replaced = int(self._opened(number, maker)[0].said["replaces"]) if number else None
        write_whole(self.pointer, sealed({"edition": number, "replaces": replaced}))

    def forget(self, before_day: int, *, keep: bool = True) -> int:
        """Take requests made before a UTC day out of every edition, and without `keep` all of traffic; how many rows.

        A server whose judge has learnt from them fits another at once. An edition that cannot be read is deleted when
        it was written before that day, for then all in it is older. Raises `EditionError` about others that cannot,
        after all were seen to.
        """
        if not self.folder.exists():
            return 0
        removed, unread = 0, []
        with self._alone():
            for number in self._numbers():
                try:
                    removed += self._forget(number, before_day if keep else _NEVER)
                except EditionError as error:
                    if not self._deleted(number, before_day, error):
                        unread.append(error)
        if unread:
            raise unread[0]
        return removed

    def _forget(self, number: int, before_day: int) -> int:
        edition, tensors = self._opened(number)
        old = (tensors["days"] > 0) & (tensors["days"] < before_day)
        if old.any():
            kept = outcomes_of(edition, tensors).take(~old)
            write_whole(self.path(number), edition_bytes(kept, tensors["days"][~old], edition.said))
            if self._pointed()[0] == number:
                write_whole(self.pointer, self.pointer.read_bytes())  # it is this that a server watches
        return int(old.sum())

    def _deleted(self, number: int, before_day: int, error: EditionError) -> bool:
        """Whether an edition that cannot be read was written before a UTC day, and so is gone now."""
        path = self.path(number)
        if path.stat().st_mtime // _DAY_S >= before_day:
            return False
        path.unlink()
        log.warning("deleted, for all in it is too old to be kept and it cannot be read: %s", error)
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else writes editions meanwhile, in this process or another."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _opened(self, number: int, maker: str | None = None) -> tuple[Edition, Tensors]:
        """Raises `EditionError` as `read_edition` does."""
        return read_edition(self.path(number), maker)


def usable(editions: Editions, maker: str | None) -> tuple[int, str | None]:
    """The edition that serves, 0 for none, and why the one that should cannot be used; `maker` None: by any encoder."""
    try:
        return editions.sound(maker), None
    except EditionError as error:
        return 0, str(error)


def serving(editions: Editions | None, maker: str | None = None, *, strict: bool = False) -> tuple[int, str | None]:
    """`usable`, where there are editions: one that cannot be used counts as none, and the log says why.

    With `strict` it raises `RegistryError` instead: what serves already is better than nothing learnt.
    """
    if editions is None:
        return 0, None
    number, refused = usable(editions, maker)
    if refused is not None:
        if strict:
            raise RegistryError([refused])
        log.warning("nothing learnt is in use: %s", refused)
    return number, refused


def learnt(editions: Editions | None, number: int, maker: str) -> list[Outcomes]:
    """What an edition tells a judge; nothing for number 0. Raises `RegistryError` when it cannot be used."""
    if editions is None:
        return []
    try:
        found = editions.outcomes(number, maker)
    except EditionError as error:
        raise RegistryError([str(error)]) from error
    return [] if found is None else [found]
