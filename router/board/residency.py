"""What is loaded, and the memory it takes: declared by the registry, and resident as the system counts it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experts.pooling.readiness import Readiness


def residency(readiness: Mapping[str, Readiness], budget_mb: int) -> dict[str, Any]:
    """Every expert's state and memory in MiB, and the router's own; resident is None where it cannot be read.

    Experts without a process of their own live in the router's. Reasons are left out: they may hold paths.
    """
    return {
        "budget_mb": budget_mb,
        "known": len(readiness),
        "ready": sum(state.loaded for state in readiness.values()),
        "declared_mb": sum(state.memory_mb for state in readiness.values()),
        "router": {"resident_mb": resident_mb(os.getpid())},
        "experts": {name: _one(state) for name, state in readiness.items()},
    }


def resident_mb(pid: int) -> float | None:
    """Resident memory of a process in MiB; None when it has ended, or where there is no /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1_048_576, 1)


def _one(state: Readiness) -> dict[str, Any]:
    return {
        "state": state.state,
        "loaded": state.loaded,
        "in_flight": state.in_flight,
        "waiting": state.waiting,
        "declared_mb": state.memory_mb,
        "resident_mb": None if state.pid is None else resident_mb(state.pid),
    }
