"""llama.cpp: a GGUF file served by a child process over a Unix socket."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from experts.process.address import Address
from experts.process.recipe import Recipe
from experts.spec import LlamaCppSpec

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = "experts.engines.launch_llama_cpp"


def recipe(spec: LlamaCppSpec, weights: Path) -> Recipe:
    """How to serve `weights` as `spec` says."""
    model = weights.resolve()

    def command(address: Address) -> list[str]:
        options: dict[str, object] = {
            "engine": spec.engine,
            "model": model,
            "alias": spec.id,
            "socket": address.unix_socket,
            "context": spec.context,
            "slots": slots(spec),
            "threads": spec.threads or _spare_cores(),
            "memory-mb": spec.memory_mb,
        }
        # -P: nothing is imported from the working directory
        return [sys.executable, "-P", "-m", LAUNCHER, *(f"--{key}={value}" for key, value in options.items())]

    return Recipe(command=command, environ={"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"})


def fingerprint(spec: LlamaCppSpec) -> str:
    """What `system_fingerprint` says: another one when the weights, the engine or the context are others."""
    shaping = f"{spec.weights.sha256} {spec.engine} {spec.context}"
    return f"fp_{hashlib.sha256(shaping.encode()).hexdigest()[:10]}"


def slots(spec: LlamaCppSpec) -> int:
    """Requests the child decodes side by side; llama-cpp-python knows only one at a time."""
    return 1 if spec.engine == "llama-cpp-python" else spec.slots


def _spare_cores() -> int:
    """Cores this process may use, less one for the router.

    llama.cpp's threads spin while they wait for each other: when one of them has lost its core to someone else, all
    burn time and the answer is many times slower than with a thread less.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, cores - 1)
