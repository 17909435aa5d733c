"""What a disk that does not let us has against it, in words a person can act on."""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

log = logging.getLogger("shoal.disk")

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SHUT: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


_ELSEWHERE: Final = ", or name another folder in SHOAL_DATA_DIR"


def blocked(error: OSError, folder: Path, instead: str = _ELSEWHERE) -> str:
    """What happened, where, and the remedy or what to do `instead`; `folder` stands for a file that is not named."""
    where = error.filename or folder
    what = f"{where}: {error.strerror or error}"
    if error.errno in _FULL:
        return f"{what}{_left(folder)}. Remedy: make room{instead}"
    if error.errno in _SHUT:
        return f"{what}. Remedy: let this user read and write there{instead}"
    return f"{what}. Remedy: see that it is there and in order"


@contextmanager
def unkept(folder: Path, lost: str) -> Iterator[None]:
    """Around writing what only spares work or waiting later: that the disk refuses it is told, and stops nothing.

    `lost` says what follows from it.
    """
    try:
        yield
    except OSError as error:
        log.error("cannot be kept, so %s. %s", lost, blocked(error, folder))


def _left(folder: Path) -> str:
    with suppress(OSError):
        return f" ({shutil.disk_usage(folder).free / 1e6:.1f} MB free)"
    return ""
