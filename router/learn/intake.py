"""What a judge is handed, looked at before it learns or answers: shapes, types, and at a fit every number. Pure.

One request alone, which is asked for in a hurry, is not looked at: numpy refuses a vector of another length by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experts.wire import Vector
from router.learn.evidence import Floats, Labels, Outcomes

if TYPE_CHECKING:
    from router.learn.domains import Domains
    from router.learn.outcomes import OutcomeModel


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
    _check_labels(labels)
    _check_finite("vectors", vectors)
    width = vectors.shape[1] if len(vectors) else None
    if outcomes is not None:
        _check_outcomes(outcomes, width)
    for label, vector in (names or {}).items():
        _check_rows(f"vector of the name {label!r}", vector[None], width)
        _check_finite(f"vector of the name {label!r}", vector[None])


def check_requests(vectors: Floats, features: Floats, domains: Domains | None, model: OutcomeModel | None) -> None:
    """Raises `ValueError` when these are no requests (n, d), (n, f) for a judge of such parts, as many as it has."""
    _check_rows("vectors", vectors, domains.head.weights_.shape[1] if domains is not None else None)
    surface_width = model.surface_width if model is not None else None
    _check_rows("features", features, surface_width, "make them by router.learn.surface")
    _check_paired("vectors", vectors, "features", features)
    _check_finite("vectors", vectors)
    _check_finite("features", features)


def check_somebody(experts: Labels) -> None:
    """Raises `ValueError` where there is no expert to name."""
    if not len(experts):
        raise ValueError("nothing is known of any expert. Remedy: fit on examples or outcomes of one")


def _check_labels(labels: Sequence[Any]) -> None:
    """Numpy would make a label "None" of None, and of 1 a "1" that no expert has."""
    wrong = next((at for at, label in enumerate(labels) if not isinstance(label, str)), None)
    if wrong is not None:
        told = f"labels: row {wrong} is {labels[wrong]!r}, no text"
        raise ValueError(f'{told}. Remedy: the name of a domain, or "" for what no expert should answer')
    if len(labels) and not any(labels):
        raise ValueError('labels: all are "". Remedy: examples of a domain too, or none at all')


def _check_outcomes(told: Outcomes, width: int | None) -> None:
    _check_rows("vectors of outcomes", told.vectors, width)
    for name, values in (("features of outcomes", told.features), ("scores of outcomes", told.scores)):
        _check_rows(name, values)
    for name, each in (("features", told.features), ("scores", told.scores), ("tasks", told.tasks)):
        if each is not None:
            _check_paired("vectors of outcomes", told.vectors, name, each)
    if told.scores.shape[1] != len(told.experts):
        seen = f"scores of outcomes: {told.scores.shape[1]} columns for {len(told.experts)} experts"
        raise ValueError(f"{seen}. Remedy: one for each, in their order")
    _check_finite("vectors of outcomes", told.vectors)
    _check_finite("features of outcomes", told.features)
    wrong = np.argwhere(~((told.scores >= 0) & (told.scores <= 1)) & ~np.isnan(told.scores))
    if len(wrong):
        row, column = wrong[0]
        seen = f"scores of outcomes: row {row} says {told.scores[row, column]:g} of {told.experts[column]!r}"
        raise ValueError(f"{seen}. Remedy: a number from 0 to 1, NaN where it was not asked")


def _check_rows(
    name: str, values: Any, width: int | None = None, remedy: str = "make all vectors with the same encoder"
) -> None:
    if not isinstance(values, np.ndarray) or values.ndim != 2 or not np.issubdtype(values.dtype, np.floating):
        seen = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        table = "an array (n, d) of 32-bit floats, a row for each request"
        raise ValueError(f"{name}: {seen} is no table of numbers. Remedy: {table}")
    if width is not None and values.shape[1] != width:
        told = f"rows of {values.shape[1]} numbers, where examples or what was fitted have {width}"
        raise ValueError(f"{name}: {told}. Remedy: {remedy}")


def _check_paired(first: str, rows: Floats, second: str, others: Sequence[str] | Floats | Labels) -> None:
    if len(rows) != len(others):
        told = f"{len(rows)} {first}, {len(others)} {second}: row {min(len(rows), len(others))} has not both"
        raise ValueError(f"{told}. Remedy: one of each for every request, in the same order")


def _check_finite(name: str, values: NDArray[np.floating[Any]]) -> None:
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(wrong):
        told = f"{name}: row {wrong[0]} has a number that is NaN or infinite, as have {len(wrong)} rows in all"
        raise ValueError(f"{told}. Remedy: leave such rows out, or make their numbers again")
