"""What a judge is handed, looked at before it learns or answers: shapes, types, and at a fit every number. Pure.

One request alone, which is asked for in a hurry, is not looked at: numpy refuses a vector of another length by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experts.wire import Vector
from router.learn.evidence import Floats, Outcomes


def check_evidence(
    texts: Sequence[str],
    vectors: Floats,
    labels: Sequence[str],
    outcomes: Outcomes | None,
    names: Mapping[str, Vector] | None,
) -> None:
    """Raises `ValueError` about the first thing that no judge can learn from."""
    _check_rows("vectors", vectors)
    for name, others in (("texts", texts), ("labels", labels)):
        _check_paired("vectors", vectors, name, others)
    _check_finite("vectors", vectors)
    width = vectors.shape[1] if len(vectors) else None
    if outcomes is not None:
        _check_rows("vectors of outcomes", outcomes.vectors, width)
        _check_rows("features of outcomes", outcomes.features)
        for name, told in (("features", outcomes.features), ("scores", outcomes.scores)):
            _check_paired("vectors of outcomes", outcomes.vectors, name, told)
        _check_finite("vectors of outcomes", outcomes.vectors)
        _check_finite("features of outcomes", outcomes.features)
    for label, vector in (names or {}).items():
        _check_rows(f"vector of the name {label!r}", vector[None], width)
        _check_finite(f"vector of the name {label!r}", vector[None])


def check_requests(vectors: Floats, features: Floats, width: int | None) -> None:
    """Raises `ValueError` when these are no requests (n, d), (n, f) for a judge of vectors of a `width`."""
    _check_rows("vectors", vectors, width)
    _check_rows("features", features)
    _check_paired("vectors", vectors, "features", features)


def _check_rows(name: str, values: Any, width: int | None = None) -> None:
    if not isinstance(values, np.ndarray) or values.ndim != 2 or not np.issubdtype(values.dtype, np.floating):
        seen = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        remedy = "an array (n, d) of 32-bit floats, a row for each request"
        raise ValueError(f"{name}: {seen} is no table of numbers. Remedy: {remedy}")
    if width is not None and values.shape[1] != width:
        told = f"rows of {values.shape[1]} numbers, where examples or what was fitted have {width}"
        raise ValueError(f"{name}: {told}. Remedy: make all vectors with the same encoder")


def _check_paired(first: str, rows: Floats, second: str, others: Sequence[str] | Floats) -> None:
    if len(rows) != len(others):
        told = f"{len(rows)} {first}, {len(others)} {second}: row {min(len(rows), len(others))} has not both"
        raise ValueError(f"{told}. Remedy: one of each for every request, in the same order")


def _check_finite(name: str, values: NDArray[np.floating[Any]]) -> None:
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(wrong):
        told = f"{name}: row {wrong[0]} has a number that is NaN or infinite, as have {len(wrong)} rows in all"
        raise ValueError(f"{told}. Remedy: leave such rows out, or make their numbers again")
