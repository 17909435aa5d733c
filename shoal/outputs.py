"""What a command writes, tried before its work."""

from __future__ import annotations

from pathlib import Path

import typer

from experts.destination import require_file
from shoal.options import named


def writable(param: typer.CallbackParam, given: Path | None) -> Path | None:
    """The file that an option names, if it can be written. Raises as `require_file`."""
    if given is not None:
        require_file(named(param), given)
    return given
