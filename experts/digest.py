"""One name for many texts, or for a file: what caches, weights and records are known by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path


def digest_of(parts: Sequence[str]) -> str:
    """A hash of texts, 32 hex digits; no other texts have it, whatever characters they hold and wherever they part."""
    return hashlib.sha256(json.dumps([*parts]).encode()).hexdigest()[:32]


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, 64 hex digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
