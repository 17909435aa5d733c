"""What was learnt from use, in numbered editions: a folder of files, and a pointer to the one that serves.

An edition is a set of outcomes, some of them of requests that nobody scored, vectors in bytes as the ledger keeps them,
and what was known of it when it was made.
The pointer is swapped whole, so a server that reads it while it changes sees the one or the other. Edition 0 is none.
"""

from __future__ import annotations

import fcntl
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from experts.errors import RegistryError, ShoalError, WrongUsage
from experts.fitted import digest
from experts.state_file import StateDamaged, read_state, whole_number
from experts.whole import write_whole
from router.learn.evidence import Outcomes
from router.learn.trace import pack, unpack

log = logging.getLogger("shoal.learn")

FOLDER: Final = "learned"
POINTER: Final = "current.json"

_FORMAT: Final = "shoal-edition-2"

_NAME: Final = re.compile(r"(\d{4}|[1-9]\d{4,})\.safetensors", re.ASCII)

Days = NDArray[np.int32]
"""(n,) UTC days since 1970 a request was made on; 0 for what comes from a file and is never too old."""


class EditionError(ShoalError):
    """An edition that is not there, or cannot be read; the message names the file and the remedy."""


class NoSuchEdition(EditionError, WrongUsage):
    """No edition has this number."""


@dataclass(frozen=True, slots=True)
class Edition:
    """One of the files, without its numbers."""

    number: int
    rows: int
    """Requests, those that nobody scored included."""
    scored: int
    said: Mapping[str, Any]
    """What was known when it was made: experts, date, registry, sources, figures."""


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
        return _outcomes(*self._opened(number, maker))

    def add(self, outcomes: Outcomes, days: Days, said: Mapping[str, Any]) -> int:
        """Write a new edition, at once or not at all; its number. It does not serve before `use`."""
        with self._alone():
            return self._added(outcomes, days, said)

    def serve(self, outcomes: Outcomes, days: Days, said: Mapping[str, Any]) -> int:
        """Write a new edition and let it serve, in the place of what serves at that moment; its number.

        `said` names its `maker`; one that this maker cannot use counts as none.
        """
        with self._alone():
            number = self._added(outcomes, days, {**said, "replaces": usable(self, said["maker"])[0]})
            self.use(number)
        return number

    def _added(self, outcomes: Outcomes, days: Days, said: Mapping[str, Any]) -> int:
        number = 1 + max(self._numbers(), default=0)
        write_whole(self.path(number), _file(outcomes, days, {**said, "experts": list(outcomes.experts)}))
        return number

    def holds(self, number: int, outcomes: Outcomes, days: Days) -> bool:
        """Whether an edition tells just this, so that another would be no other. Raises `EditionError`."""
        if number == 0:
            return False
        edition, kept = self._opened(number)
        tensors = _tensors(outcomes, days)
        alike = all(np.array_equal(kept[name], tensors[name], equal_nan=name == "scores") for name in tensors)
        return alike and list(edition.said["experts"]) == list(outcomes.experts)

    def use(self, number: int, maker: str | None = None) -> None:
        """Let an edition serve; 0 for none. Raises `EditionError` when there is none, or it cannot be used."""
        if number and not self.path(number).exists():
            sound = [str(edition.number) for edition in self.all() if isinstance(edition, Edition)]
            known = ", ".join(["0", *sound])
            raise NoSuchEdition(f"there is no edition {number}. Remedy: one of {known}; shoal learn list tells them")
        replaced = int(self._opened(number, maker)[0].said["replaces"]) if number else None
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.pointer, json.dumps({"edition": number, "replaces": replaced}).encode())

    def forget(self, before_day: int) -> int:
        """Take requests made before a UTC day out of every edition; how many rows that were.

        Raises `EditionError` about damaged ones, after all others were seen to.
        """
        if not self.folder.exists():
            return 0
        removed = 0
        with self._alone():
            editions = self.all()
            for edition in editions:
                if isinstance(edition, EditionError):
                    continue
                _, tensors = self._opened(edition.number)
                old = (tensors["days"] > 0) & (tensors["days"] < before_day)
                if old.any():
                    kept = _outcomes(edition, tensors).take(~old)
                    write_whole(self.path(edition.number), _file(kept, tensors["days"][~old], edition.said))
                    removed += int(old.sum())
        for edition in editions:
            if isinstance(edition, EditionError):
                raise edition
        return removed

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else writes editions meanwhile, in this process or another."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _opened(self, number: int, maker: str | None = None) -> tuple[Edition, dict[str, NDArray[Any]]]:
        """An edition and its numbers. Raises `EditionError` when damaged, or not made by `maker` where one is named."""
        path = self.path(number)
        try:
            with safe_open(path, "numpy") as file:
                header = dict(file.metadata() or {})
                tensors = {name: file.get_tensor(name) for name in ("vectors", "features", "scores", "days")}
            kept = header.pop("sha256")
            said = json.loads(header[_FORMAT])
            if digest(header, tensors) != kept:
                raise ValueError("its content does not have the sha256 it was written with")
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise EditionError(
                f"{path}: no edition, or a damaged one ({error}). Remedy: restore it, or delete it and let another "
                "serve: shoal learn rollback NUMBER, 0 for nothing learnt; shoal learn list tells them"
            ) from error
        if maker not in (None, said["maker"]):
            raise EditionError(
                f"{path}: its vectors were made by {said['maker']}, but {maker} is in use. Remedy: shoal learn apply, "
                "to learn anew, with --outcomes FILE where no request since was scored; shoal learn rollback 0, to use "
                "nothing learnt; or restore the encoder"
            )
        scored = int((~np.isnan(tensors["scores"])).any(axis=1).sum())
        return Edition(number, len(tensors["days"]), scored, said), tensors


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


def _outcomes(edition: Edition, tensors: Mapping[str, NDArray[Any]]) -> Outcomes:
    vectors = unpack([row.tobytes() for row in tensors["vectors"]]) if edition.rows else tensors["vectors"]
    features = tensors["features"].astype(np.float32)
    return Outcomes(tuple(edition.said["experts"]), vectors.astype(np.float32), features, tensors["scores"])


def _tensors(outcomes: Outcomes, days: Days) -> dict[str, NDArray[Any]]:
    packed = b"".join(map(pack, outcomes.vectors))
    return {
        "vectors": np.frombuffer(packed, np.int8).reshape(outcomes.vectors.shape),
        "features": outcomes.features.astype(np.float16),
        "scores": outcomes.scores.astype(np.float32),
        "days": days.astype(np.int32),
    }


def _file(outcomes: Outcomes, days: Days, said: Mapping[str, Any]) -> bytes:
    tensors = _tensors(outcomes, days)
    header = {_FORMAT: json.dumps(said)}
    return save(tensors, header | {"sha256": digest(header, tensors)})
