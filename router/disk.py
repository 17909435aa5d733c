"""What a disk that does not let us has against it, in words a person can act on."""

from __future__ import annotations

import errno
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SHUT: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


def blocked(error: OSError, data_dir: Path) -> str:
    """What happened, where, and the remedy; of an error that names no file the data folder stands for it."""
    where = error.filename or data_dir
    what = f"{where}: {error.strerror or error}"
    if error.errno in _FULL:
        return f"{what}{_left(data_dir)}. Remedy: make room, or name another folder in SHOAL_DATA_DIR"
    if error.errno in _SHUT:
        return f"{what}. Remedy: let this user read and write there, or name another folder in SHOAL_DATA_DIR"
    return f"{what}. Remedy: see that it is there and in order"


def _left(folder: Path) -> str:
    with suppress(OSError):
        return f" ({shutil.disk_usage(folder).free / 1e6:.1f} MB free)"
    return ""
