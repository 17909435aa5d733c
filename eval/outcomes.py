"""`shoal eval outcomes`: fit the product's own judge on part of an outcome matrix, let it choose on the rest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from eval.drawn import Drawn
from eval.judged import Doubles, Judged
from eval.matrix import Matrix, read_matrix
from eval.outcomes_report import drawn_figures, report
from eval.samples import NotInFile, SamplesError
from eval.splits import Fold, as_given, by_count, by_folds, by_task
from experts.alike import Bools, Indices, near_duplicates
from experts.progress import Stage
from router.encode import Encoder
from router.judge import Judge
from router.learn.evidence import Outcomes
from router.learn.outcomes import Parts
from router.learn.preamble import preamble
from router.learn.ridge import Floats
from router.learn.surface import surfaces
from router.learn.vectors import vectors_of

Split = Literal["folds", "given", "count", "task"]

PARTS: Final = ("tasks", "surface", "neighbours", "shrinkage", "calibration")
"""Of the judge of outcomes, each of which an ablation can leave out."""

TASK_FOLDS: Final = 10
"""Folds of whole tasks, when nobody says how many."""

TIMED: Final = 500
"""Requests judged one by one for the timing figures."""

_DRAWN: Final = 5.0
"""Outcomes of all tasks that a task's mean is drawn towards; the control knows too that few tell little."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is evaluated, and how."""

    fallback: str
    objective: str
    split: Split = "folds"
    folds: int = 5
    train: int = 0
    seed: int = 0
    parts: Parts = field(default_factory=Parts)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A matrix with all that a judge may see of its requests."""

    matrix: Matrix
    vectors: Floats
    features: Floats
    group: Indices
    """(n,), near-duplicates share one."""


def evaluate_outcomes(path: Path, encoder: Encoder, cache: Path, plan: Plan, progress: Stage) -> dict[str, Any]:
    """The figures of the contract. Raises `SamplesError`."""
    matrix = read_matrix(path, plan.objective)
    _check_fallback(matrix, plan, path)
    encoded = encode(matrix, encoder, cache, progress)
    return {"file": path.name, **evaluate(encoded, plan, path, progress)[0]}


def _check_fallback(matrix: Matrix, plan: Plan, path: Path) -> None:
    if plan.fallback not in matrix.models:
        remedy = f"--fallback one of {', '.join(matrix.models)}"
        raise NotInFile(f"{path}: no outcome names the fallback {plan.fallback!r}. Remedy: {remedy}")


def encode(matrix: Matrix, encoder: Encoder, cache: Path, progress: Stage) -> Encoded:
    """Encode the requests of a matrix, from `cache` where that was done before."""
    vectors = vectors_of(matrix.inputs, encoder, cache, partial(progress, "encoding"))
    group = near_duplicates(vectors, partial(progress, "comparing rows"))
    return Encoded(matrix, vectors, surfaces(matrix.inputs), group)


def evaluate(encoded: Encoded, plan: Plan, path: Path, progress: Stage) -> tuple[dict[str, Any], dict[str, Drawn]]:
    """The figures of one plan, and those with draws. Raises `SamplesError` naming `path`."""
    matrix = encoded.matrix
    folds = folds_of(encoded, plan, path)
    judged, timing = judge(encoded, folds, plan, progress)
    progress("scoring", 0, 1)
    figures, sure = report(judged, matrix.models, matrix.models.index(plan.fallback), plan.seed)
    found = {
        "rows": len(matrix.inputs),
        "dropped": matrix.dropped,
        "rescored": matrix.rescored,
        "preamble": preamble(path.name, matrix.inputs),
        "near_duplicates": len(matrix.inputs) - len(np.unique(encoded.group)),
        "train": int(np.mean([fold.train.sum() for fold in folds])),
        "test": len(judged.scores),
        "unscored": sum(int(fold.test.sum()) for fold in _divided(encoded, plan, path)) - len(judged.scores),
        "split": plan.split,
        "seed": plan.seed,
        "objective": plan.objective,
        "fallback": plan.fallback,
        "models": list(matrix.models),
        **figures,
        **timing,
    }
    progress("scoring", 1, 1)
    return found, sure


def without(encoded: Encoded, plan: Plan, part: str, path: Path, progress: Stage) -> dict[str, Drawn]:
    """The figures with one part of the judge turned off, drawn as `evaluate` draws them: compare draw by draw."""
    lesser = replace(plan, parts=replace(plan.parts, **{part: False}))
    judged, _ = judge(encoded, folds_of(encoded, lesser, path), lesser, progress)
    return drawn_figures(judged, plan.seed)


def folds_of(encoded: Encoded, plan: Plan, path: Path) -> list[Fold]:
    """What is fitted on and what is scored. Raises `SamplesError` when the file cannot be split so."""
    matrix = encoded.matrix
    _check_fallback(matrix, plan, path)
    found = _divided(encoded, plan, path)
    scored = [fold for fold in found if (fold.test & whole_rows(matrix)).any()]
    if not scored:
        needed = "no row to be scored tells how every model answered"
        raise SamplesError(f"{path}: {needed}. Remedy: give the outcomes of all {len(matrix.models)} in some rows")
    for fold in scored:
        unseen = np.isnan(matrix.scores[fold.train]).all(axis=0)
        if unseen.any():
            rare = matrix.models[int(unseen.argmax())]
            told = f"no row that is fitted on tells how {rare!r} answered, while others are scored"
            raise SamplesError(f"{path}: {told}. Remedy: give its outcomes of more requests, or leave it out")
    return scored


def _divided(encoded: Encoded, plan: Plan, path: Path) -> list[Fold]:
    """The folds, also those in which no request was answered by every model. Raises `SamplesError`."""
    matrix, group = encoded.matrix, encoded.group
    if plan.split == "given":
        if matrix.test is None:
            raise SamplesError(f"{path}: not every row has a split. Remedy: name it, or use --folds")
        found = as_given(matrix.test, group)
        for kind, rows in (("train", found[0].train), ("test", found[0].test)):
            if not rows.any():
                what = f"no row says '{kind}'" + " and is unlike all that are scored" * (kind == "train")
                raise SamplesError(f"{path}: {what}. Remedy: name it in some rows, or use --folds")
    elif plan.split == "count":
        found = by_count(group, plan.train, plan.seed)
    elif plan.split == "task":
        if matrix.tasks is None or len(set(matrix.tasks)) < 2:
            raise SamplesError(
                f"{path}: rows of two tasks are needed to leave one out. Remedy: name 'task' in the rows"
            )
        found = by_task(matrix.tasks, group, plan.folds, plan.seed)
    else:
        found = by_folds(group, plan.folds, plan.seed)
    if not all(fold.train.any() and fold.test.any() for fold in found):
        different = len(np.unique(group))
        remedy = {
            "folds": f"{plan.folds} different requests or more, or fewer --folds",
            "count": f"more rows, or a --train below {different:,}",
        }.get(plan.split, "more rows")
        told = f"{different} different request{'s are' if different != 1 else ' is'} too few"
        raise SamplesError(f"{path}: {told} to fit on some and score others. Remedy: {remedy}")
    return found


def whole_rows(matrix: Matrix) -> Bools:
    """(n,), the requests that every model was asked."""
    return np.logical_not(np.isnan(matrix.scores).any(axis=1))


def judge(encoded: Encoded, folds: Sequence[Fold], plan: Plan, progress: Stage) -> tuple[Judged, dict[str, Any]]:
    """Fit without each fold and judge it: every held-out request whose outcomes are all known, and the time it took."""
    matrix = encoded.matrix
    whole = whole_rows(matrix)
    tasks = np.array(matrix.tasks if matrix.tasks is not None else [""] * len(matrix.inputs), np.str_)
    pieces, fit_s, taken_us = [], 0.0, np.empty(0)
    for done, fold in enumerate(folds):
        progress("fitting", done, len(folds))
        begun = time.perf_counter()
        seen = outcomes_of(encoded).take(fold.train)
        model = Judge(dict.fromkeys(matrix.models, ""), seed=plan.seed, parts=plan.parts)
        model.fit((), seen.vectors[:0], (), seen)
        fit_s += time.perf_counter() - begun
        test = fold.test & whole
        # Before they are judged: a judge remembers a request, and a memory tells nothing of what judging takes.
        taken_us = taken_us if len(taken_us) else _timed_us(model, encoded.vectors[test], encoded.features[test])
        pieces.append(_judged(encoded, model, fold.train, test, tasks))
    progress("fitting", len(folds), len(folds))
    joined = [np.concatenate([getattr(piece, name) for piece in pieces]) for name in Judged.__slots__]
    timing = {
        "fit_s": fit_s / len(folds),
        "judge_us": {"p50": float(np.percentile(taken_us, 50)), "p99": float(np.percentile(taken_us, 99))},
    }
    return Judged(*joined), timing


def outcomes_of(encoded: Encoded) -> Outcomes:
    """What the product's judge is told of a matrix; costs are not judged."""
    matrix = encoded.matrix
    tasks = None if matrix.tasks is None else np.array(matrix.tasks, np.str_)
    return Outcomes(matrix.models, encoded.vectors, encoded.features, matrix.scores.astype(np.float32), tasks)


def _judged(encoded: Encoded, model: Judge, train: np.ndarray, test: np.ndarray, tasks: np.ndarray) -> Judged:
    matrix = encoded.matrix
    requests = encoded.vectors[test], encoded.features[test]
    columns = [matrix.models.index(name) for name in model.classes_]
    expected, probability = np.zeros((2, test.sum(), len(matrix.models)), np.float32)
    expected[:, columns], probability[:, columns] = model.decision_function(*requests), model.predict_proba(*requests)
    means = task_means(matrix.scores[train], tasks[train], tasks[test])
    size = len(expected)
    return Judged(
        expected=expected.astype(float),
        probability=probability,
        known=np.array([model.judge(*each).known for each in zip(*requests, strict=True)], float),
        by_task_mean=means,
        best_single=np.full(size, np.nanmean(matrix.scores[train], axis=0).argmax()),
        costs_known=np.tile(np.nanmean(matrix.costs[train], axis=0), (size, 1)),
        scores=matrix.scores[test],
        costs=matrix.costs[test],
        tasks=tasks[test],
    )


def task_means(scores: Doubles, tasks: np.ndarray, wanted: np.ndarray) -> Doubles:
    """Mean training score (n, m) of the task each request is from, drawn to the mean of all where it has few rows."""
    overall = np.nanmean(scores, axis=0)
    found = np.tile(overall, (len(wanted), 1))
    for task in np.unique(wanted):
        own = scores[tasks == task]
        count = (~np.isnan(own)).sum(axis=0)
        found[wanted == task] = (np.nansum(own, axis=0) + _DRAWN * overall) / (count + _DRAWN)
    return found


def _timed_us(model: Judge, vectors: Floats, features: Floats) -> np.ndarray:
    taken = []
    for at in range(min(TIMED, len(vectors))):
        vector, feature = vectors[at], features[at]
        begun = time.perf_counter_ns()
        model.judge(vector, feature)
        taken.append((time.perf_counter_ns() - begun) / 1000)
    return np.array(taken or [np.nan])
