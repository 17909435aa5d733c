"""A private folder for a child: its socket and its working directory, gone when its owner is."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

PREFIX = "shoal-"
LOCK_NAME = "lock"
GRACE_S = 60.0
"""A folder younger than this is left alone: its owner may be about to lock it."""


class PrivateFolder:
    """A fresh folder that only this user can enter, locked as long as this process lives."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))  # mkdtemp makes it 0700
        self._lock = os.open(self.path / LOCK_NAME, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Take it away with all that is in it; a second call does nothing."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def sweep(grace_s: float = GRACE_S) -> None:
    """Take away the folders of owners that were killed: those of ours that nobody locks any more."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK_NAME}"):
        try:
            about = lock.parent.stat()
            if about.st_uid == os.getuid() and time.time() - about.st_mtime >= grace_s and _abandoned(lock):
                shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:
            continue  # someone else has just taken it away


def _abandoned(lock: Path) -> bool:
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
