"""Where something is to be written: tried before the work that makes it, which would be lost otherwise; then whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from experts.errors import NAMED_WRONGLY, ShoalError, WrongUsage
from experts.passing import passing_file

_TRIAL: Final = ".shoal-"
"""Begins the name of a file that is there for a moment, to see whether one can be written."""


def require_file(said: str, path: Path) -> None:
    """See that a file can be written; `said` names it. Raises `WrongUsage`, or `ShoalError` of a full disk."""
    with telling(said, path):
        if path.is_dir():
            raise WrongUsage(f"{said}: {path} is a folder. Remedy: name a file")
        if not is_stream(path):
            _try(_linked(path).parent)


def require_folder(said: str, folder: Path) -> None:
    """See that files can be written into a folder, or that it can be made. Raises as `require_file`."""
    with telling(said, folder):
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        if not there.is_dir():
            raise WrongUsage(f"{said}: {there} is a file. Remedy: name a folder")
        _try(there)


def write_there(said: str, path: Path, blocks: Iterable[bytes]) -> None:
    """Write a file that was tried: what is there stays until the new one is whole, and may be one that is only to read.

    A pipe or device is written to as it is. Raises `WrongUsage` or `ShoalError`.
    """
    with telling(said, path):
        if is_stream(path):
            with path.open("wb") as file:
                file.writelines(blocks)
            return
        named = _linked(path)
        draft = named.with_name(f".{named.name}.part")
        try:
            with draft.open("wb") as file:
                file.writelines(blocks)
            draft.replace(named)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)


@contextmanager
def telling(said: str, wanted: Path) -> Iterator[None]:
    """What the system has against writing what is `wanted`, as one line that begins with `said`. Raises as above."""
    try:
        yield
    except OSError as error:
        kind = WrongUsage if isinstance(error, NAMED_WRONGLY) or is_stream(wanted) else ShoalError
        make = "make its folder, or " * isinstance(error, FileNotFoundError)
        remedy = f"{make}choose another place"
        raise kind(f"{said}: {wanted} cannot be written: {error.strerror}. Remedy: {remedy}") from None


def is_stream(path: Path) -> bool:
    """Whether it is a pipe or device, which is written to as it is."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _linked(path: Path) -> Path:
    """The file that a path leads to: a link stays one, and its file is replaced."""
    return Path(os.path.realpath(path))


def _try(folder: Path) -> None:
    with passing_file(folder, _TRIAL, b""):
        pass
