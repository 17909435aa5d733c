"""An answer and its question -> a score from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from eval.limited import run_limited
from eval.scorers.choice import choice
from eval.scorers.code import exam
from eval.scorers.exact import exact
from eval.scorers.fields import json_fields
from eval.scorers.includes import includes
from eval.scorers.latex import boxed
from eval.scorers.numeric import numeric
from eval.scorers.overlap import coverage, f1
from eval.scorers.reasoning import spoken

if TYPE_CHECKING:
    from eval.answers.questions import Question

Scorer = Callable[[str, Any], float]

PLAIN: Final[Mapping[str, Scorer]] = {
    "exact": exact,
    "includes": includes,
    "numeric": numeric,
    "boxed": boxed,
    "json_fields": json_fields,
    "f1": f1,
    "coverage": coverage,
}
"""Scorers that look at the answer and its target only."""

RUBRIC: Final = "rubric"
"""Marked by a model: see `eval/scorers/rubric.py`."""

NAMES: Final = (*PLAIN, "choice", "code", RUBRIC)


def mark(answer: str, question: Question) -> float:
    """The score of what an answer says, whatever was reasoned before. Code is run, where it can do no harm.

    Raises ValueError for what only a model marks.
    """
    said = spoken(answer)
    if question.scorer == "choice":
        return choice(said, question.target, question.choices)
    if question.scorer == "code":
        return float(run_limited(exam(said, question.target, question.before)).passed)
    if question.scorer not in PLAIN:
        raise ValueError(f"{question.scorer} is marked by a model")
    return PLAIN[question.scorer](said, question.target)
