"""What is kept of a request, as small as it can be: its vector in one byte a number, its surface in two.

A request vector has length one, so its direction is all of it: the numbers are stored as whole ones up to 127 and the
length is put back when they are read. That costs 384 bytes a request instead of 1,536; a test holds the cosine between
a vector and what comes back to what the decision record says of it.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from router.learn.surface import NAMES
from router.meter.record import Trace

Floats = NDArray[np.float32]

LARGEST: Final = 127

TEXT_CHARS: Final = 2048
"""Characters of a text kept from either end; the encoder reads no more of it."""

_SURFACE: Final = hashlib.sha256(" ".join(NAMES).encode()).hexdigest()[:12]


def maker(encoder: str) -> str:
    """What made a trace: the encoder's fingerprint and the list of surface numbers. Others cannot be compared to it."""
    return f"{encoder[:32]}/{_SURFACE}"


def trace(encoder: str, vector: Floats, features: Floats, text: str | None) -> Trace:
    """The trace of a request: its unit vector (d,), its surface numbers (f,), and its text where that is kept."""
    return Trace(maker(encoder), pack(vector), features.astype(np.float16).tobytes(), _ends(text))


def pack(vector: Floats) -> bytes:
    """A unit vector (d,) in d bytes."""
    scale = LARGEST / max(float(np.abs(vector).max()), 1e-9)
    numbers: NDArray[np.int8] = np.rint(vector * scale).astype(np.int8)
    return numbers.tobytes()


def unpack(packed: list[bytes]) -> Floats:
    """Unit vectors (n, d) of what `pack` made of them."""
    numbers = np.frombuffer(b"".join(packed), np.int8).reshape(len(packed), -1).astype(np.float32)
    numbers /= np.maximum(np.linalg.norm(numbers, axis=1, keepdims=True), 1)
    return numbers


def unpack_surfaces(packed: list[bytes]) -> Floats:
    """Surface numbers (n, f) of traces."""
    return np.frombuffer(b"".join(packed), np.float16).reshape(len(packed), -1).astype(np.float32)


def _ends(text: str | None) -> str | None:
    if text is None or len(text) <= 2 * TEXT_CHARS:
        return text
    return text[:TEXT_CHARS] + text[-TEXT_CHARS:]
