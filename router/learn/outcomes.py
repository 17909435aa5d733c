"""Which model answered how well -> for a new request, how well each model will answer it.

`Effects` says what to expect, `Platt` what that is worth as a probability. The penalty is a constant: found on held-out
folds it moved with the noise and chose worse. What is chosen by the data is whether the surface of a text tells more
than its vector: only where the difference is beyond doubt, for it misleads on tasks never seen.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from experts.fitted import State
from experts.regression import softmax
from router.learn.effects import Bools, Effects, Indices, Rows, trust
from router.learn.platt import NOT_STRANGE, Calibration, Held
from router.learn.ridge import Floats
from router.learn.similarity import Shape, Similarity

PENALTY: Final = 5.0
LOOSE: Final = 0.2
"""The penalty when shrinkage is turned off: enough to solve the equations."""

PLAIN: Final = Shape(vector=0.7, surface=0.0)
RICH: Final = Shape(vector=1.0, surface=1.0)

BEYOND_DOUBT: Final = 3.0
"""Standard errors by which the rich shape must win."""

LANDMARKS: Final = 640
"""Centres of requests, which choose as well as 1,024 requests did; fewer lose on tasks never seen (ADR 0040)."""

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
    """What a judge is made of, the last by examples, the others by outcomes; an ablation turns off one at a time."""

    tasks: bool = True
    surface: bool = True
    neighbours: bool = True
    shrinkage: bool = True
    calibration: bool = True
    rivals: bool = True


class OutcomeModel:
    """Fitted on outcomes; `left_out_` (r, m) is what fits without them say of the rows `left_out_rows_` (r,)."""

    shape_: Shape
    left_out_: Floats
    left_out_rows_: Indices
    _calibration: Calibration | None

    def __init__(self, *, seed: int = 0, parts: Parts | None = None) -> None:
        self._seed = seed
        self._parts = parts or Parts()
        self._penalty = PENALTY if self._parts.shrinkage else LOOSE

    def fit(self, rows: Rows, backed: Bools) -> Self:
        """Learn from rows; `backed` (m,) says which models have a prior. Raises ValueError when there is no score."""
        if np.isnan(rows.scores).all():
            raise ValueError("no outcomes, nothing to learn")
        self._backed = backed
        self._trust = trust(rows.scores)
        order = np.random.default_rng(self._seed).permutation(len(rows))
        self.shape_ = self._best_shape(rows.take(order[: SAMPLE // 5]))
        similarity = self._similarity(self.shape_, rows, min(LANDMARKS, len(rows) // ROWS_A_LANDMARK))
        self._effects = Effects(similarity, self._penalty, backed).fit(rows)
        self._calibrate(similarity, rows, np.sort(order[:SAMPLE]))
        return self

    def judge(
        self, vectors: Floats, features: Floats, prior: Floats, tasks: Floats, likely: Floats
    ) -> tuple[Floats, Floats]:
        """Expected scores (n, m), not held to [0, 1], and calibrated probabilities of answering well.

        Of requests (n, d), (n, f) with priors (n, m), the scores of their tasks (n, t) and the softmax of these. Models
        are compared by what is expected; where scores are fractions, the probability is what to expect in all.
        """
        expected = prior + self._effects.expected(vectors, features, likely)
        if self._calibration is None:
            return expected, np.clip(expected, 0, 1)
        return expected, self._drawn(
            self._calibration.transform(expected, self._calibration.strange(_signs(tasks, likely))), prior
        )

    @property
    def surface_width(self) -> int:
        """Surface numbers of a request."""
        return self._effects.surface_width

    def rows(self, dimensions: int) -> tuple[Floats, Floats]:
        """What the vector (d,) of one request is multiplied with, (r, d), and what is less, (r,), before `look`."""
        return self._effects.rows(dimensions)

    def look(self, seen: Floats, first: int, features: Floats) -> None:
        """Make the product from its `first` on, and exponents before it, what they stand for (`Effects.look`)."""
        self._effects.look(seen, first, features)

    def judge_one(self, seen: Floats, prior: Floats, sure: tuple[float, float] | None) -> Floats:
        """The same probabilities (m,) of one request, by what is `seen` (t + r,): its likely tasks, then its looks.

        `sure`: the probability and the score of the likeliest task, where any is known.
        """
        expected = self._effects.expected_of(seen)
        expected += prior
        if self._calibration is None:
            return np.clip(expected, 0, 1)
        strange = self._calibration.strange_of(*sure) if sure is not None else NOT_STRANGE
        return self._drawn(self._calibration.transform(expected, strange), prior)

    def parts(
        self, vectors: Floats, features: Floats, prior: Floats, tasks: Floats, likely: Floats
    ) -> dict[str, Floats]:
        """What moves the probabilities from their priors, by name, (n, m) each: they add up to the whole way."""
        found = self._effects.parts(vectors, features, likely)
        expected, probability = self.judge(vectors, features, prior, tasks, likely)
        return found | {"calibration": probability - expected}

    def state(self) -> State:
        """What was fitted, to be kept."""
        state: State = {
            "shape": [self.shape_.vector, self.shape_.surface],
            "trust": self._trust,
            "backed": self._backed,
            "effects": self._effects.state(),
        }
        return state | ({"calibration": self._calibration.state()} if self._calibration else {})

    @classmethod
    def of(cls, state: State, *, seed: int, parts: Parts) -> Self:
        """The model with a kept state; it knows nothing of the rows it was fitted on."""
        found = cls(seed=seed, parts=parts)
        found.shape_, found._trust, found._backed = Shape(*state["shape"]), state["trust"], state["backed"]
        found._effects = Effects.of(state["effects"], found.shape_, found._penalty, found._backed)
        found._calibration = Calibration.of(state["calibration"]) if "calibration" in state else None
        return found

    def _drawn(self, probability: Floats, prior: Floats) -> Floats:
        """What few outcomes say is drawn back to what was believed without them."""
        found: Floats = probability - prior
        found *= self._trust
        found += prior
        return found

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
        held = self._left_out(similarity, rows, _by_content(rows.vectors))
        if held is None:
            return np.zeros(1, np.float32)
        missed = held.scores - held.expected
        told = ~np.isnan(missed)
        count = told.sum(axis=1, keepdims=True)
        missed = np.where(told, missed, 0)
        middle = np.where(count > 1, missed.sum(axis=1, keepdims=True) / np.maximum(count, 1), 0)
        errors: Floats = np.where(told, (missed - middle) ** 2, 0).sum(axis=1) / np.maximum(count[:, 0], 1)
        return errors

    def _calibrate(self, similarity: Similarity, rows: Rows, some: Indices) -> None:
        self._calibration, self.left_out_rows_ = None, some[:0]
        self.left_out_ = np.empty((0, rows.scores.shape[1]), np.float32)
        rows = rows.take(some)
        fold = _by_content(rows.vectors)
        known = self._left_out(similarity, rows, fold)
        if not self._parts.calibration or known is None:
            return
        few = len(np.unique(rows.tasks())) < LEAST_TASKS
        unknown = None if few else self._left_out(similarity, rows, self._by_task(rows), unseen=True)
        self._calibration = Calibration().fit(known, unknown)
        self.left_out_rows_, left = some[known.rows], np.empty_like(known.expected)
        for held in _folds(fold[known.rows]):
            apart = Calibration().fit(known.take(~held), unknown) if not held.all() else self._calibration
            left[held] = apart.transform(known.expected[held], apart.strange(known.signs[held]))
        self.left_out_ = self._drawn(left, rows.prior[known.rows])

    def _by_task(self, rows: Rows) -> Indices:
        """A fold for each row, whole tasks together."""
        shuffled = np.random.default_rng(self._seed).permutation(rows.members.shape[1])
        fold: Indices = (shuffled % TASK_FOLDS)[rows.tasks()]
        return fold

    def _left_out(self, similarity: Similarity, rows: Rows, fold: Indices, *, unseen: bool = False) -> Held | None:
        """What fits that have not seen a row's fold say of it; None when no fold can be spared.

        `unseen`: the folds hold whole tasks, which a fit without them knows nothing of.
        """
        expected = np.full(rows.scores.shape, np.nan, np.float32)
        scores = rows.left_out.copy()
        for held in _folds(fold):
            seen, left = rows.take(~held), rows.take(held)
            if np.isnan(seen.scores[:, ~self._backed]).all(axis=0).any() or np.isnan(seen.scores).all():
                continue
            if unseen:
                there = np.isin(np.arange(rows.members.shape[1]), seen.tasks())
                scores[held] = np.where(there, left.left_out, -np.inf)
            effects = Effects(similarity, self._penalty, self._backed).fit(seen)
            expected[held] = left.prior + effects.expected(left.vectors, left.features, softmax(scores[held]))
        told = np.flatnonzero(~np.isnan(expected[:, 0]))
        if not len(told):
            return None
        return Held(expected[told], rows.scores[told], _signs(scores[told], softmax(scores[told])), told)


def _folds(fold: Indices) -> Iterator[Bools]:
    for each in np.unique(fold):
        yield fold == each


def _by_content(vectors: Floats) -> Indices:
    """A fold for each row; what is repeated stays in one."""
    return np.array([zlib.crc32(vector.tobytes()) % FOLDS for vector in vectors], np.intp)


def _signs(scores: Floats, likely: Floats) -> Floats:
    """How sure a task head is of its best task (n, 2): its probability and its score; (n, 0) where no task is known."""
    if not scores.shape[1]:
        return scores
    signs = np.empty((len(scores), 2), np.float32)
    likely.max(axis=1, out=signs[:, 0])
    scores.max(axis=1, out=signs[:, 1])
    return signs
