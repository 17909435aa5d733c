"""What the experts would bring and take -> what every way to choose brings and takes. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.bootstrap import drawn
from eval.drawn import APART, SHARE, Drawn

Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]

COSTS = ("cost_usd", "energy_j", "latency_s")


@dataclass(frozen=True, slots=True)
class Answers:
    """n questions, m experts, smallest first."""

    experts: tuple[str, ...]
    scores: Doubles
    """(n, m), 0 where an expert failed, nan where no score could be had."""
    failed: NDArray[np.bool_]
    """(n, m)."""
    costs: Mapping[str, Doubles]
    """(n, m) by name, of every one of `COSTS`; nan where it is not known."""
    tasks: NDArray[np.str_]

    def of(self, rows: Indices) -> Answers:
        """Some of the questions."""
        costs = {name: each[rows] for name, each in self.costs.items()}
        return Answers(self.experts, self.scores[rows], self.failed[rows], costs, self.tasks[rows])


@dataclass(frozen=True, slots=True)
class Way:
    """What one way to choose brings and takes for each question (n,)."""

    scores: Doubles
    costs: Mapping[str, Doubles]
    share: Mapping[str, float]
    """Of the questions each expert answered."""


def one_each(answers: Answers, choice: Indices) -> Way:
    """One expert for each question (n,), whatever it says."""
    rows = np.arange(len(choice))
    share = np.bincount(choice, minlength=len(answers.experts)) / len(choice)
    costs = {name: each[rows, choice] for name, each in answers.costs.items()}
    return Way(answers.scores[rows, choice], costs, _share(answers, share))


def mixed(answers: Answers, share: Doubles) -> Way:
    """Experts (m,) drawn by their share, whatever the question: what that brings on average."""
    asked = share > 0  # what nobody pays need not be known
    costs = {name: each[:, asked] @ share[asked] for name, each in answers.costs.items()}
    return Way(answers.scores @ share, costs, _share(answers, share))


def in_turn(answers: Answers, steps: Sequence[Sequence[int]], router: Mapping[str, Doubles]) -> tuple[Way, Indices]:
    """Experts asked in order until one does not fail, everyone asked paid for, and the router's own work on top.

    Also who answered (n,); the last one asked where all failed.
    """
    answered = np.array(
        [next((at for at in tried if not answers.failed[row, at]), tried[-1]) for row, tried in enumerate(steps)],
        np.intp,
    )
    way = one_each(answers, answered)
    costs = {name: router[name].copy() for name in answers.costs}
    for row, tried in enumerate(steps):
        for at in tried[: list(tried).index(answered[row]) + 1]:
            for name, each in answers.costs.items():
                costs[name][row] += each[row, at]
    return Way(way.scores, costs, way.share), answered


def baselines(answers: Answers, fallback: int, answered: Indices) -> dict[str, Way]:
    """Ways that need no judge or know too much, and each expert alone; `answered` (n,) are a judge's decisions."""
    size, models = answers.scores.shape
    alike = np.full(models, 1 / models)
    energy = answers.costs["energy_j"]
    best = answers.scores >= answers.scores.max(axis=1, keepdims=True)
    return {
        "best_single": one_each(answers, np.full(size, answers.scores.mean(axis=0).argmax())),
        "always_fallback": one_each(answers, np.full(size, fallback)),
        "all_cheapest": one_each(answers, np.zeros(size, np.intp)),
        "random": mixed(answers, alike),
        "shuffled": mixed(answers, np.bincount(answered, minlength=models) / size),
        "task_mean": one_each(answers, _task_best(answers)),
        "oracle": one_each(answers, np.where(best, energy, np.inf).argmin(axis=1)),
        **{f"only {name}": one_each(answers, np.full(size, at)) for at, name in enumerate(answers.experts)},
    }


def shown(way: Way) -> dict[str, Any]:
    """Quality with its interval, mean costs (None for one that is not known of every answer), shares."""
    quality = _mean(way.scores, SHARE)
    costs = {name: known(each.mean()) for name, each in way.costs.items()}
    said = quality.to_json()
    return {"quality": said["value"], "low": said["low"], "high": said["high"], **costs, "share": dict(way.share)}


def known(cost: float) -> float | None:
    """A cost, None where it is not known."""
    return None if math.isnan(cost) else float(cost)


def gained(way: Way, other: Way) -> dict[str, Any]:
    """By how much one way brings more than another on the same questions, and whether that is beyond doubt."""
    found = _mean(way.scores - other.scores, APART)
    return {**found.to_json(), "beats": found.low > 0}


def _mean(values: Doubles, possible: tuple[float, float]) -> Drawn:
    return drawn(lambda weights: float(weights @ values), len(values), 0, possible)


def _task_best(answers: Answers) -> Indices:
    """For each question (n,) the best expert on the other questions of its task; smaller first among equals."""
    found = np.zeros(len(answers.tasks), np.intp)
    for task in np.unique(answers.tasks):
        own = answers.tasks == task
        rest = answers.scores[own].sum(axis=0) - answers.scores[own]
        found[own] = rest.argmax(axis=1)
    return found


def _share(answers: Answers, share: Doubles) -> dict[str, float]:
    return {name: float(part) for name, part in zip(answers.experts, share, strict=True) if part}
