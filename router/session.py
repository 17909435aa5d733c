"""The encoder's files, checked against their pins, and the session that runs its model."""

from __future__ import annotations

import hashlib
import math
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experts.errors import WeightsError
from experts.onnx_runtime import onnxruntime
from experts.reading.problems import Problem
from experts.reading.yaml_nodes import Unusable, understood

if TYPE_CHECKING:
    from experts.onnx_runtime import InferenceSession


def pinned(path: Path, found: str, said: str, key: str) -> None:
    """Raises WeightsError when a file is not the one the registry names by its sha256."""
    if found != said:
        raise WeightsError(
            f"{path}: sha256 is {found}, the registry says {said}. Remedy: restore the file,"
            f" or write its sha256 under encoder.{key} if you changed it on purpose."
        )


def sha256_of(path: Path) -> str:
    """In hexadecimal. Raises WeightsError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def read(path: Path) -> bytes:
    """All of it. Raises WeightsError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def sureness_of(card: Path) -> float:
    """What scores of heads are multiplied by, from a tuned encoder's card; 1 where there is none, or it does not say.

    Heads are calibrated on examples that they had not seen, but a tuned encoder had, so they would be too sure. Raises
    WeightsError.
    """
    try:
        said: Any = understood(card.read_bytes()).data if card.exists() else {}
        times = float(said.get("trained", {}).get("sureness", {}).get("times", 1))
        if not 0 < times < math.inf:
            raise ValueError(f"trained.sureness.times is {times}, not above 0")
    except (OSError, Unusable, AttributeError, TypeError, ValueError) as error:
        reason = _where(error.problem) if isinstance(error, Unusable) else " ".join(str(error).split())
        raise WeightsError(f"{card}: cannot be used ({reason}). Remedy: restore the file.") from error
    return times


def _where(problem: Problem) -> str:
    return f"line {problem.line}, {problem.what}" if problem.line else problem.what


def _unreadable(path: Path, error: OSError) -> WeightsError:
    remedy = "Restore it, or point encoder.path of the registry to the folder that holds it."
    return WeightsError(f"{path}: cannot be read ({error.strerror}). {remedy}")


def session(model: Path) -> InferenceSession:
    """`model` on the calling thread alone. Given as a path, for its bytes would stay resident (28 MB)."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # keeps 11 MB more and is no faster
    options.log_severity_level = 3
    if _multiplies_int8_exactly():
        # The nodes are final. Fused, SkipLayerNormalization would take ten times as long: it is not vectorised.
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    else:
        options.add_session_config_entry("session.x64quantprecision", "1")  # an optimiser makes the exact form
    off = ["SkipLayerNormFusion"]
    try:
        return runtime.InferenceSession(str(model), options, ["CPUExecutionProvider"], disabled_optimizers=off)
    except Exception as error:  # it names no narrower one
        raise WeightsError(f"{model}: onnxruntime cannot load it ({error}). Remedy: restore the file.") from error


def _multiplies_int8_exactly() -> bool:
    """False on x86-64 without VNNI, whose int8 products may saturate at 16 bits; onnxruntime then has an exact form."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False  # not Linux: slower, and right on every processor
