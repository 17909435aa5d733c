"""One name for many texts: what caches and files of rows are known by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence


def digest_of(parts: Sequence[str]) -> str:
    """A hash of texts, 32 hex digits; no other texts have it, whatever characters they hold and wherever they part."""
    return hashlib.sha256(json.dumps([*parts]).encode()).hexdigest()[:32]
