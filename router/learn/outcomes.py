"""Which model answered how well -> for a new request, how well each model will answer it.

`Effects` says what to expect, `Platt` what that is worth as a probability. The penalty is a constant: found on held-out
folds it moved with the noise and chose worse. What is chosen by the data is whether the surface of a text tells more
than its vector: only where the difference is beyond doubt, for it misleads on tasks never seen.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from router.learn.effects import Bools, Effects, Indices, Rows
from router.learn.platt import Calibration, Held
from router.learn.ridge import Floats
from router.learn.similarity import Shape, Similarity
from router.learn.tasks import Labels, TaskHead, softmax

PENALTY: Final = 5.0
LOOSE: Final = 0.2
"""The penalty when shrinkage is turned off: enough to solve the equations."""

PLAIN: Final = Shape(vector=0.7, surface=0.0)
RICH: Final = Shape(vector=1.0, surface=1.0)

BEYOND_DOUBT: Final = 3.0
"""Standard errors by which the rich shape must win."""

LANDMARKS: Final = 1024
"""As many as a judgement has time for."""

FEW_LANDMARKS: Final = 256
ROWS_A_LANDMARK: Final = 3

SAMPLE: Final = 10_000
"""Rows that calibration looks at; the choice of a shape looks at a fifth of them."""

LEAST_TASKS: Final = 5
"""Fewer tasks say nothing about unseen ones."""

FOLDS: Final = 3
TASK_FOLDS: Final = 4


@dataclass(frozen=True, slots=True)
class Parts:
    """What the model is made of; an ablation turns off one at a time."""

    tasks: bool = True
    surface: bool = True
    neighbours: bool = True
    shrinkage: bool = True
    calibration: bool = True


class OutcomeModel:
    """Fitted on outcomes, with scikit-learn's contract: `decision_function` to compare models, `predict_proba`."""

    shape_: Shape

    def __init__(self, *, seed: int = 0, parts: Parts | None = None) -> None:
        self._seed = seed
        self._parts = parts or Parts()
        self._penalty = PENALTY if self._parts.shrinkage else LOOSE

    def fit(
        self, vectors: Floats, features: Floats, scores: Floats, tasks: Sequence[str] | Labels | None = None
    ) -> Self:
        """Learn from request vectors (n, d), surface numbers (n, f) and scores (n, m) in [0, 1], NaN where unknown.

        `tasks` (n,) say where the requests come from. Raises ValueError when a model has no score at all.
        """
        if not len(scores) or np.isnan(scores).all(axis=0).any():
            raise ValueError("every model needs at least one outcome")
        rows = self._rows(vectors, features, scores, tasks)
        order = np.random.default_rng(self._seed).permutation(len(rows))
        self.shape_ = self._best_shape(rows.take(order[: SAMPLE // 5]))
        similarity = self._similarity(self.shape_, rows, min(LANDMARKS, len(rows) // ROWS_A_LANDMARK))
        self._effects = Effects(similarity, self._penalty).fit(rows)
        self._calibration = self._calibrated(similarity, rows.take(order[:SAMPLE])) if self._parts.calibration else None
        return self

    def decision_function(self, vectors: Floats, features: Floats) -> Floats:
        """Expected scores (n, m), not held to [0, 1]: what models are compared by."""
        return self._effects.expected(vectors, features, softmax(self._task_scores(vectors)))

    def predict_proba(self, vectors: Floats, features: Floats) -> Floats:
        """Calibrated probability (n, m) that each model answers well; the expectation where scores are fractions."""
        return self.judge(vectors, features)[1]

    def judge(self, vectors: Floats, features: Floats) -> tuple[Floats, Floats]:
        """What `decision_function` and `predict_proba` say, at the price of one."""
        tasks = self._task_scores(vectors)
        expected = self._effects.expected(vectors, features, softmax(tasks))
        if self._calibration is None:
            return expected, np.clip(expected, 0, 1)
        return expected, self._calibration.transform(expected, _signs(tasks))

    def _rows(self, vectors: Floats, features: Floats, scores: Floats, tasks: Sequence[str] | Labels | None) -> Rows:
        self._tasks: TaskHead | None = None
        if not self._parts.tasks or tasks is None or len(set(tasks)) < 2:
            untold = np.empty((len(scores), 0), np.float32)
            return Rows(vectors, features, scores, untold, untold)
        self._tasks = TaskHead().fit(vectors, tasks)
        members = np.eye(len(self._tasks.classes_), dtype=np.float32)[self._tasks.index_]
        return Rows(vectors, features, scores, members, self._tasks.left_out_)

    def _task_scores(self, vectors: Floats) -> Floats:
        return self._tasks.scores(vectors) if self._tasks else np.empty((len(vectors), 0), np.float32)

    def _similarity(self, shape: Shape, rows: Rows, landmarks: int) -> Similarity:
        count = max(landmarks, FEW_LANDMARKS) if self._parts.neighbours else 0
        return Similarity(shape, count, self._seed).fit(rows.vectors, rows.features)

    def _best_shape(self, rows: Rows) -> Shape:
        if not self._parts.surface:
            return PLAIN
        plain, rich = (self._errors(shape, rows) for shape in (PLAIN, RICH))
        better = plain - rich
        doubt = better.std() / len(better) ** 0.5
        return RICH if better.mean() > BEYOND_DOUBT * doubt else PLAIN

    def _errors(self, shape: Shape, rows: Rows) -> Floats:
        """Squared error (n,) about how models differ on a held-out request; about the score where one was asked."""
        similarity = self._similarity(shape, rows, FEW_LANDMARKS)
        held = _left_out(similarity, self._penalty, rows, _by_content(rows.vectors))
        if held is None:
            return np.zeros(1, np.float32)
        missed = held.scores - held.expected
        told = ~np.isnan(missed)
        count = told.sum(axis=1, keepdims=True)
        missed = np.where(told, missed, 0)
        middle = np.where(count > 1, missed.sum(axis=1, keepdims=True) / np.maximum(count, 1), 0)
        errors: Floats = np.where(told, (missed - middle) ** 2, 0).sum(axis=1) / np.maximum(count[:, 0], 1)
        return errors

    def _calibrated(self, similarity: Similarity, rows: Rows) -> Calibration | None:
        known = _left_out(similarity, self._penalty, rows, _by_content(rows.vectors))
        if known is None:
            return None
        few = rows.members.shape[1] < LEAST_TASKS
        unknown = None if few else _left_out(similarity, self._penalty, rows, self._by_task(rows), unseen=True)
        return Calibration().fit(known, unknown)

    def _by_task(self, rows: Rows) -> Indices:
        """A fold for each row, whole tasks together."""
        shuffled = np.random.default_rng(self._seed).permutation(rows.members.shape[1])
        fold: Indices = (shuffled % TASK_FOLDS)[rows.members.argmax(axis=1)]
        return fold


def _left_out(
    similarity: Similarity, penalty: float, rows: Rows, fold: Indices, *, unseen: bool = False
) -> Held | None:
    """What fits that have not seen a row's fold say of it; None when no fold can be spared.

    `unseen`: the folds hold whole tasks, which a fit without them knows nothing of.
    """
    expected = np.full(rows.scores.shape, np.nan, np.float32)
    scores = rows.left_out.copy()
    for held in _folds(fold):
        seen, left = rows.take(~held), rows.take(held)
        if not len(seen) or np.isnan(seen.scores).all(axis=0).any():
            continue
        if unseen:
            scores[held] = np.where(seen.members.any(axis=0), left.left_out, -np.inf)
        likely = softmax(scores[held])
        expected[held] = Effects(similarity, penalty).fit(seen).expected(left.vectors, left.features, likely)
    told = ~np.isnan(expected[:, 0])
    return Held(expected[told], rows.scores[told], _signs(scores[told])) if told.any() else None


def _folds(fold: Indices) -> Iterator[Bools]:
    for each in np.unique(fold):
        yield fold == each


def _by_content(vectors: Floats) -> Indices:
    """A fold for each row; what is repeated stays in one."""
    return np.array([zlib.crc32(vector.tobytes()) % FOLDS for vector in vectors], np.intp)


def _signs(scores: Floats) -> Floats:
    """How sure a task head is of its best task (n, 2): its probability and its score; (n, 0) where no task is known."""
    if not scores.shape[1]:
        return scores
    return np.stack([softmax(scores).max(axis=1), scores.max(axis=1)], axis=1)
