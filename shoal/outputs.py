"""What a command writes: tried before its work, which would be lost otherwise, and whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from experts.errors import ShoalError, WrongUsage
from experts.passing import passing_file
from shoal.options import NAMED_WRONGLY, named

_TRIAL = ".shoal-"
"""Begins the name of a file that is there for a moment, to see whether one can be written."""


def writable(param: typer.CallbackParam, given: Path | None) -> Path | None:
    """The file that an option names, if it can be written. Raises `WrongUsage`, or `ShoalError` of a full disk."""
    if given is not None:
        with _telling(named(param), given):
            if given.is_dir():
                raise WrongUsage(f"{named(param)}: {given} is a folder. Remedy: name a file")
            if not _is_stream(given):
                _try(given.parent)
    return given


def require_folder(said: str, folder: Path) -> None:
    """See that files can be written into a folder, or that it can be made; `said` names it. Raises as `writable`."""
    with _telling(said, folder):
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        if not there.is_dir():
            raise WrongUsage(f"{said}: {there} is a file. Remedy: name a folder")
        _try(there)


def write_whole(out: Path, blocks: Iterable[bytes]) -> None:
    """Beside it first: what is there stays until the new one is whole. A pipe or device is written to as it is.

    Raises ShoalError.
    """
    with _telling("--out", out):
        if _is_stream(out):
            with out.open("wb") as file:
                file.writelines(blocks)
            return
        draft = out.with_name(f".{out.name}.part")
        try:
            with draft.open("wb") as file:
                file.writelines(blocks)
            draft.replace(out)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)


@contextmanager
def _telling(said: str, wanted: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = WrongUsage if isinstance(error, NAMED_WRONGLY) else ShoalError
        make = "make its folder, or " * isinstance(error, FileNotFoundError)
        remedy = f"{make}choose another place"
        raise kind(f"{said}: {wanted} cannot be written: {error.strerror}. Remedy: {remedy}") from None


def _is_stream(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


def _try(folder: Path) -> None:
    with passing_file(folder, _TRIAL, b""):
        pass
