"""Files that are there for a while only. One whose process was killed meanwhile is cleared away at the next start."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def passing_file(folder: Path, prefix: str, content: bytes, suffix: str = "") -> Iterator[Path]:
    """A new file with this content, on the disk, readable by its owner only; gone afterwards unless it was moved.

    Its process holds a lock on it, which ends with the process however that ends. Raises OSError.
    """
    handle, name = tempfile.mkstemp(dir=folder, prefix=prefix, suffix=suffix)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            with suppress(OSError):  # where there are no locks, `clear` gets none either and deletes nothing
                fcntl.flock(file, fcntl.LOCK_EX)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            yield path
    finally:
        path.unlink(missing_ok=True)


def clear(folder: Path, *patterns: str) -> None:
    """Delete the passing files that no process holds; the log tells of each, and of what cannot be deleted."""
    for path in [path for pattern in patterns for path in folder.glob(pattern)]:
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except (BlockingIOError, FileNotFoundError):  # another process is at work with it, or just was
            continue
        except OSError as error:
            log.warning("%s: was left by a process that was killed, and stays: %s", path, error.strerror)
        else:
            log.info("%s: was left by a process that was killed, and is deleted", path)
