"""From how much traffic on keeping an expert in memory saves energy. Pure."""

from __future__ import annotations

from typing import Any, Final

RAM_W_PER_GB: Final = 0.392
"""Of memory that is merely kept filled (Cloud Carbon Footprint's coefficient, 10^9 bytes)."""

_MIB: Final = 1_048_576


def idle_w(memory_mb: int) -> float:
    """Watts of keeping so many MiB of a model in memory."""
    return memory_mb * _MIB / 1e9 * RAM_W_PER_GB


def break_even(memory_mb: int, requests: int, saved_uj: int, hours: float) -> dict[str, Any]:
    """Requests an hour from which an expert saves more than keeping it in memory takes.

    `saved_uj` is what its `requests` of the last `hours` saved beside the fallback alone, before the memory. None where
    nothing can be said yet (no requests) or there is no such rate (a request at it takes more than at the fallback).
    """
    watts = idle_w(memory_mb)
    saved_j = saved_uj / requests / 1e6 if requests else None
    needed = watts * 3600 / saved_j if saved_j is not None and saved_j > 0 else None
    now = requests / hours if hours > 0 else 0.0
    return {
        "idle_w": watts,
        "saved_j_per_request": saved_j,
        "needed_per_hour": needed,
        "requests_per_hour": now,
        "pays": None if saved_j is None else needed is not None and now >= needed,
    }
