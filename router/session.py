"""The encoder's files, checked against their pins, and what its card says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experts import digest, onnx_runtime
from experts.errors import WeightsError
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
        return digest.sha256_of(path)
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
    """`model` on the calling thread alone. Raises WeightsError where onnxruntime cannot load it."""
    try:
        return onnx_runtime.session(model)
    except Exception as error:  # it names no narrower one
        raise WeightsError(f"{model}: onnxruntime cannot load it ({error}). Remedy: restore the file.") from error
