"""Vectors of texts, kept by content in a folder, so that a refit encodes only what is new.

A kept file says what it holds and has a hash over it: one in which a bit has flipped is made again, with a word. What
nobody has asked for in a long time is deleted when something new is kept.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from experts.digest import digest_of
from experts.disk import unkept
from experts.errors import WeightsError
from experts.fitted import load_fitted, reason, save_fitted
from router.calibrate import Floats
from router.encode import Encoder

log = logging.getLogger("shoal.judge")

KIND: Final = "vectors"

CHUNK: Final = 512
"""Texts whose vectors are kept in one file, so that a longer list encodes its end only."""

UNREAD_DAYS: Final = 30
"""Days after which what nobody asked for is deleted."""

MOST_BYTES: Final = 10**9
"""Kept at most, beside what was asked for within a day."""

DAY_S: Final = 86_400


def vectors_of(
    texts: Sequence[str], encoder: Encoder, cache: Path, done: Callable[[int, int], None] = lambda _done, _of: None
) -> Floats:
    """Unit vectors (n, d) of `texts`, from `cache` where this encoder made them before.

    `done` is told how many there are so far, and of how many.
    """
    kept = False
    parts = []
    for start in range(0, len(texts), CHUNK):
        own = texts[start : start + CHUNK]
        path = cache / f"{KIND}-{digest_of([encoder.fingerprint, *own])}.safetensors"
        vectors = _kept(path, encoder)
        if vectors is None:
            vectors = encoder.encode_all(own)
            with unkept(cache, "these vectors are made again when they are asked for next"):
                save_fitted(path, KIND, {"vectors": vectors}, encoder=encoder.fingerprint, data=path.stem)
                kept = True
        parts.append(vectors)
        done(start + len(own), len(texts))
    if kept:
        prune(cache, time.time())
    return np.concatenate(parts) if parts else np.empty((0, encoder.dimensions), np.float32)


def _kept(path: Path, encoder: Encoder) -> Floats | None:
    """What a file holds, which from now on counts as just asked for; None when it is to be made."""
    if not os.access(path, os.F_OK):
        return None
    try:
        found: Floats = load_fitted(path, KIND, encoder=encoder.fingerprint, data=path.stem)["vectors"]
        with suppress(OSError):  # in a folder that may only be read
            os.utime(path)
    except WeightsError as error:
        log.warning("kept vectors are not used, they are made again: %s", reason(error))
        return None
    return found


def prune(cache: Path, now_s: float) -> None:
    """Delete files that were not asked for in `UNREAD_DAYS`, and beyond `MOST_BYTES` those longest not asked for."""
    found = []
    with unkept(cache, "old vectors stay"):
        for path in cache.iterdir():
            with suppress(FileNotFoundError):  # another process may prune too
                stat = path.stat()
                found.append((now_s - stat.st_mtime, stat.st_size, path))
        kept = 0
        for unread_s, size, path in sorted(found):
            kept += size
            if unread_s > UNREAD_DAYS * DAY_S or (kept > MOST_BYTES and unread_s > DAY_S):
                path.unlink(missing_ok=True)
