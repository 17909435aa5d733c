"""A file of outcomes -> what a judge is told: which expert answered which request how well.

One JSON object a line: {"input": text, "task"?: text, "outcomes": {EXPERT: {"score": 0..1, ...}}}. Costs may stand
beside the scores; the judge does not read them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experts.errors import RegistryError
from experts.rows import Row, numbered_rows, wrong_row
from router.learn.evidence import Floats, Outcomes
from router.learn.surface import surfaces


def read_outcomes(path: Path, experts: Collection[str], vectors_of: Callable[[Sequence[str]], Floats]) -> Outcomes:
    """The outcomes of `experts` in a file; those of others are checked and left out.

    Raises `RegistryError` with every line that is unusable.
    """
    texts: list[str] = []
    tasks: list[str] = []
    told: list[dict[str, float]] = []
    for row in outcome_rows(path):
        own = {expert: said["score"] for expert, said in row["outcomes"].items() if expert in experts}
        if own:
            texts.append(row["input"])
            tasks.append(row.get("task") or "")
            told.append(own)
    names = tuple(dict.fromkeys(expert for own in told for expert in own))
    scores = np.array([[own.get(name, np.nan) for name in names] for own in told], np.float32)
    named = np.array(tasks, np.str_) if any(tasks) else None
    return Outcomes(names, vectors_of(texts), surfaces(texts), scores.reshape(len(texts), len(names)), named)


def models_in(path: Path) -> list[str]:
    """Every model that a file of outcomes tells of. Raises `RegistryError` as `outcome_rows` does."""
    return list(dict.fromkeys(name for row in outcome_rows(path) for name in row["outcomes"]))


def left_out(path: Path, experts: Collection[str]) -> str | None:
    """Whose outcomes in a file nothing is learnt from, in words; None where there are none. Raises `RegistryError`."""
    others = ", ".join(name for name in models_in(path) if name not in experts)
    return f"{path}: outcomes of {others} are left out, for the registry has no such expert" if others else None


def outcome_rows(path: Path) -> list[Row]:
    """The rows of a file of outcomes. Raises `RegistryError` with every line that is unusable."""
    rows = numbered_rows(path, {"input": str})
    problems = [wrong_row(path, line, what) for line, row in rows for what in _wrong(row)]
    if problems:
        raise RegistryError(problems)
    return [row for _, row in rows]


def _wrong(row: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a row, in words."""
    outcomes = row.get("outcomes")
    if not isinstance(row.get("task"), str | None):
        yield "task must be a text"
    if not isinstance(outcomes, dict) or not outcomes:
        yield 'outcomes must name an expert: {"EXPERT": {"score": 0..1}}'
        return
    for expert, said in outcomes.items():
        score = said.get("score") if isinstance(said, dict) else None
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            yield f"outcomes.{expert}.score must be a number from 0 to 1, got {score!r}"
