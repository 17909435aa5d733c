"""Where and on what a measurement was made."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any, Final

REPEATS: Final = 40
"""Of which the medians are told."""

TURNS: Final = 10_000
"""Of a loop that tells how fast the processor is now."""


def machine() -> dict[str, Any]:
    """Processor, whether it has VNNI, cores we may use, memory in GB of 10^9 bytes, kernel and Python.

    Without VNNI the encoder takes another form of the same products (`experts.onnx_runtime`), whose vectors round
    otherwise.
    """
    return {
        "cpu": _field("/proc/cpuinfo", "model name"),
        "vnni": "vnni" in _field("/proc/cpuinfo", "flags"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(_field("/proc/meminfo", "MemTotal").split()[0]) * 1024 / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def disk(folder: Path) -> dict[str, Any]:
    """The file system that holds `folder`, and how long it takes to make 4 kB durable, as a median in microseconds."""
    draft, taken = folder / "fsync", []
    with draft.open("wb") as file:
        for _ in range(REPEATS):
            begun_ns = time.perf_counter_ns()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            taken.append((time.perf_counter_ns() - begun_ns) / 1000)
    draft.unlink()
    return {"filesystem": _filesystem(folder), "fsync_us": round(statistics.median(taken), 1)}


def yardstick() -> dict[str, float]:
    """By how much two machines, or two hours of one, differ whatever is measured on them: medians of CPU nanoseconds.

    A look at this thread's CPU clock asks the system, a turn of a loop that adds two numbers only the interpreter.
    """
    looks, turns = [], []
    for _ in range(REPEATS):
        begun_ns, total = time.thread_time_ns(), 0
        for _ in range(TURNS // 10):
            time.thread_time_ns()
        between_ns = time.thread_time_ns()
        for turn in range(TURNS):
            total += turn
        looks.append((between_ns - begun_ns) / (TURNS // 10))
        turns.append((time.thread_time_ns() - between_ns) / TURNS)
    return {"clock_ns": round(statistics.median(looks), 1), "turn_ns": round(statistics.median(turns), 2)}


def commit(root: Path) -> tuple[str | None, bool]:
    """The commit of the clone at `root`, None where there is none, and whether the tree differs from it.

    What `make bench` writes itself does not count as a difference.
    """
    head = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", ".", ":!eval/results", ":!README.md", ":!docs/figures.md")
    return head or None, changed != ""


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603, S607
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _field(path: str, name: str) -> str:
    lines = Path(path).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), platform.machine())


def _filesystem(folder: Path) -> str:
    """The type of the mount with the longest path above `folder`."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = [(len(point), kind) for _, point, kind, *_ in mounts if folder.resolve().is_relative_to(point)]
    return max(above)[1]
