"""A file that appears whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from experts.passing import passing_file

DRAFT: Final = ".draft-"
"""What the name of a file that is not whole yet begins with."""

LEFT: Final = f"{DRAFT}????????"
"""What may be left in a folder by a process that was killed."""


def write_whole(path: Path, content: bytes) -> None:
    """On the disk when this returns, readable by its owner only; of a try that fails nothing is left.

    Raises OSError, which names the file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with passing_file(path.parent, DRAFT, content) as draft:
            draft.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
