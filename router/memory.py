"""Keeping a serving process small: few heaps, and what start-up freed goes back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

M_ARENA_MAX = -8
"""glibc, malloc.h: the most heaps malloc may open."""


def one_heap() -> None:
    """Let all threads share one heap; a heap for each keeps megabytes that only start-up needed. Before any thread."""
    _libc("mallopt", M_ARENA_MAX, 1)


def settle() -> None:
    """What is here now stays: the collector need not walk it again, and what is free is given back."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    _libc("malloc_trim", 0)


def _libc(function: str, *arguments: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # musl has neither, and needs neither
            getattr(ctypes.CDLL(None), function)(*arguments)
