"""What a command writes: tried before its work, and whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import typer

from experts.destination import is_stream, require_file, telling
from shoal.options import named


def writable(param: typer.CallbackParam, given: Path | None) -> Path | None:
    """The file that an option names, if it can be written. Raises as `require_file`."""
    if given is not None:
        require_file(named(param), given)
    return given


def write_whole(out: Path, blocks: Iterable[bytes]) -> None:
    """Beside it first: what is there stays until the new one is whole. A pipe or device is written to as it is.

    Raises ShoalError.
    """
    with telling("--out", out):
        if is_stream(out):
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
