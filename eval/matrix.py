"""Outcome matrices: which model answered which request how well, at what cost. One JSON object a line or gzipped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeGuard

import numpy as np
from numpy.typing import NDArray

from eval.samples import NotInFile, SamplesError, json_rows

Doubles = NDArray[np.float64]

MOST_COST: Final = 1e100
"""No cost in any unit is as large, and sums of costs and of their squares stay finite."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """n different requests and m models, in the order of the file."""

    inputs: tuple[str, ...]
    tasks: tuple[str, ...] | None
    """None when no row names one."""
    test: NDArray[np.bool_] | None
    """(n,), which rows the file keeps for testing; None when it does not say."""
    models: tuple[str, ...]
    """Cheapest first, by mean cost."""
    scores: Doubles
    """(n, m) in [0, 1], NaN where a model was not asked."""
    costs: Doubles
    """(n, m), NaN where a model was not asked."""
    dropped: int
    """Rows whose input had been seen before."""
    rescored: int = 0
    """Of these, rows that tell of a model with another score than a row before. That counts, unless this is tested."""


@dataclass(frozen=True, slots=True)
class _Row:
    input: str
    task: str
    split: str | None
    outcomes: Mapping[str, tuple[float, float]]


def read_matrix(path: Path, objective: str) -> Matrix:
    """The outcomes of a file with the cost called `objective`.

    Repeats of an input, blanks at its end aside, are dropped; what they tell of models that no row before told of is
    kept, so a file may have a row for each model. One that is in train too is tested and not taught. Raises
    `SamplesError`.
    """
    if objective == "score":
        raise NotInFile(f"{path}: 'score' is the quality, no cost. Remedy: --objective KEY of a cost beside it")
    rows: dict[str, _Row] = {}
    count = rescored = 0
    for number, row in json_rows(path):
        read = _row(f"{path}:{number}", row, objective)
        text = read.input.rstrip()
        if known := rows.get(text):
            rescored += any(told[0] != known.outcomes.get(name, told)[0] for name, told in read.outcomes.items())
            read = _once(known, read)
        rows[text] = read
        count += 1
    if not rows:
        raise SamplesError(f"{path}: holds no rows. Remedy: one JSON object a line")
    return _matrix(list(rows.values()), count - len(rows), rescored)


def _once(known: _Row, again: _Row) -> _Row:
    """One row of two with the same input: the first of them counts, or the one that is tested where that one is not."""
    tested = known.split == "train" and again.split not in (None, "train")
    counts, other = (again, known) if tested else (known, again)
    # Models keep the order in which they were first told of.
    return replace(counts, outcomes={**known.outcomes, **other.outcomes, **counts.outcomes})


def _matrix(rows: list[_Row], dropped: int, rescored: int) -> Matrix:
    names = list(dict.fromkeys(name for row in rows for name in row.outcomes))
    missing = (math.nan, math.nan)
    cells = np.array([[row.outcomes.get(name, missing) for name in names] for row in rows], float)
    order = np.argsort(np.nanmean(cells[:, :, 1], axis=0), kind="stable")
    told = any(row.task for row in rows)
    split = all(row.split is not None for row in rows)
    return Matrix(
        inputs=tuple(row.input for row in rows),
        tasks=tuple(row.task for row in rows) if told else None,
        test=np.array([row.split != "train" for row in rows]) if split else None,
        models=tuple(names[index] for index in order),
        scores=cells[:, order, 0],
        costs=cells[:, order, 1],
        dropped=dropped,
        rescored=rescored,
    )


def _row(place: str, row: Mapping[str, object], objective: str) -> _Row:
    text, task, split, outcomes = row.get("input"), row.get("task"), row.get("split"), row.get("outcomes")
    if not isinstance(text, str):
        raise SamplesError(f"{place}: 'input' must be a text. Remedy: give every row an input")
    if task is not None and not isinstance(task, str):
        raise SamplesError(f"{place}: 'task' must be a text. Remedy: name it, or leave it out")
    if split not in (None, "train", "validation", "test"):
        raise SamplesError(f"{place}: split {split!r} is not known. Remedy: train or test, or leave it out")
    if not isinstance(outcomes, dict) or not outcomes:
        raise SamplesError(
            f"{place}: 'outcomes' must name at least one model. Remedy: {{MODEL: {{\"score\": 0..1, COST: x}}}}"
        )
    found = {name: _outcome(f"{place}: model {name!r}", said, objective) for name, said in outcomes.items()}
    return _Row(text, task or "", split, found)


def _outcome(place: str, said: object, objective: str) -> tuple[float, float]:
    if not isinstance(said, dict):
        raise SamplesError(f'{place}: not an object. Remedy: {{"score": 0..1, {objective!r}: x}}')
    score, cost = said.get("score"), said.get(objective)
    if not _number(score) or not 0 <= score <= 1:
        remedy = "a number from 0 to 1" + ", or leave out a model that was not asked" * (score is None)
        raise SamplesError(f"{place}: score {score!r} is not usable. Remedy: {remedy}")
    if not _number(cost) or not 0 <= cost <= MOST_COST:
        numeric = [key for key, value in said.items() if key not in ("score", objective) and _number(value)]
        problem = f"{place}: {objective!r} is {cost!r}, no cost. Remedy:"
        if cost is None and numeric:
            raise NotInFile(f"{problem} --objective one of {', '.join(numeric)}")
        raise SamplesError(f"{problem} give every outcome a cost, 0 or more and at most {MOST_COST:g}")
    return float(score), float(cost)


def _number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
