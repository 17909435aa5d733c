"""A tiny deterministic encoder for tests: a hashed bag of words. Texts that share words are near each other."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 256


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors (n, `DIMENSIONS`)."""
    vectors = np.full((len(texts), DIMENSIONS), 1e-3, np.float32)
    for vector, text in zip(vectors, texts, strict=True):
        for word in re.findall(r"\w+", text.lower()):
            vector[zlib.crc32(word.encode()) % DIMENSIONS] += 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def count_tokens(text: str) -> int:
    """Words."""
    return len(text.split())
