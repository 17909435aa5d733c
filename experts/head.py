"""A small calibrated classifier on unit vectors: multinomial logistic regression in plain numpy.

Scikit-learn's contract (`fit`, `predict_proba`, `classes_`) without scikit-learn. Every class weighs the same, however
many examples it has. One temperature, fitted on examples scored by folds that had not seen them (Guo et al., On
Calibration of Modern Neural Networks, 2017), makes the probabilities honest from five examples a class on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from experts.fitted import State
from experts.lbfgs import Floats
from experts.regression import Lesson, log_softmax, softmax, with_one

FOLDS = 5
FOLDS_OF_MANY = 3
MANY = 5000
"""Examples from which on fewer folds tell as much and cost less."""

Labels = NDArray[np.str_]
_Indices = NDArray[np.intp]


class LinearHead:
    """Fitted: `classes_` (k,) sorted, `weights_` (k, d) with the temperature in, `bias_` (k,).

    `left_out_scores_` (n, k) is what heads fitted without an example's fold say of it, `temperature_` what all scores
    were multiplied by; both are set by `fit`, not by `of`.
    """

    classes_: Labels
    weights_: Floats
    bias_: Floats
    left_out_scores_: Floats
    temperature_: np.float32

    def fit(
        self,
        vectors: Floats,
        labels: Sequence[str] | Labels,
        hints: Mapping[str, NDArray[np.float32]] | None = None,
        unlabelled: Floats | None = None,
    ) -> Self:
        """Learn from unit vectors (n, d) and their labels (n,). Raises ValueError when there are none.

        `hints`, a vector by label, are learnt from as examples are, but never scored: no request looks like them. Nor
        are the `unlabelled` (u, d): what a first fit is sure of, a second one learns as it was told (`Lesson.wider`).
        What scores an example is taught by a first fit that had not seen it either: else its own label would come back
        to it by the rows around it, and the head would be too sure.
        """
        if not len(labels) or len(vectors) != len(labels):
            raise ValueError(f"{len(vectors)} vectors and {len(labels)} labels: a head needs examples, one label each")
        self.classes_, index = np.unique(np.asarray(labels, dtype=np.str_), return_inverse=True)
        own = len(index)
        hinted = [at for at, label in enumerate(self.classes_) if hints and label in hints]
        if hints and hinted:
            vectors = np.concatenate([vectors, [hints[str(self.classes_[at])] for at in hinted]], dtype=np.float32)
            index = np.concatenate([index, hinted])
        lesson, basis = Lesson.of(vectors, index)
        fold = _folds(index, own)
        seen = [lesson, *(lesson.take(fold != left) for left in range(fold.max() + 1))]
        taught = [each.weights() for each in seen]
        sharpness, left_out = _left_out(lesson, fold, taught)
        if unlabelled is not None and len(unlabelled):
            more = with_one(unlabelled) @ basis
            wider = [each.wider(more, weights * sharpness) for each, weights in zip(seen, taught, strict=True)]
            taught = [each.weights(start) for each, start in zip(wider, taught, strict=True)]
            sharpness, left_out = _left_out(lesson, fold, taught)
        self.temperature_, self.left_out_scores_ = sharpness, left_out * sharpness
        turned = (taught[0] @ basis.T) * sharpness
        self.weights_, self.bias_ = np.ascontiguousarray(turned[:, :-1]), np.ascontiguousarray(turned[:, -1])
        return self

    def predict_proba(self, vectors: Floats) -> Floats:
        """Probabilities (n, k) of the classes for unit vectors (n, d)."""
        return softmax(self.decision_function(vectors))

    def decision_function(self, vectors: Floats) -> Floats:
        """Scores (n, k) for unit vectors (n, d), or those of one, of which the probabilities are the softmax.

        The ridge penalty makes them sum to nothing over the classes, so what is like no class has only low ones.
        """
        scores: Floats = vectors.dot(self.weights_.T)
        scores += self.bias_
        return scores

    def state(self) -> State:
        """What was fitted, to be kept."""
        return {"classes": self.classes_.tolist(), "weights": self.weights_, "bias": self.bias_}

    @classmethod
    def of(cls, state: State) -> Self:
        """The head with a kept state; it answers with the same bits."""
        head = cls()
        head.classes_ = np.asarray(state["classes"], np.str_)
        head.weights_, head.bias_ = state["weights"], state["bias"]
        return head


def _folds(index: _Indices, own: int) -> _Indices:
    """The fold of each of the first `own` examples (n,), every class spread over them; -1 for none."""
    fold = np.full(len(index), -1)
    if own > 1:
        fold[np.argsort(index[:own], kind="stable")] = np.arange(own) % (FOLDS if own < MANY else FOLDS_OF_MANY)
    return fold


def _left_out(lesson: Lesson, fold: _Indices, taught: Sequence[Floats]) -> tuple[np.float32, Floats]:
    """The temperature, and before it scores (own, k) of each example by the weights that had not seen its fold (n,).

    The first of the weights have seen all, the next not the first fold, and so on. What is in none is never scored.
    """
    own = int((fold >= 0).sum()) or 1
    scores = np.zeros((own, lesson.classes), np.float32)
    for left, weights in enumerate(taught[1:]):
        held = np.flatnonzero(fold == left)
        scores[held] = lesson.points[held] @ weights.T
    return temperature(scores, lesson.index[:own]), scores


def temperature(scores: Floats, index: _Indices) -> np.float32:
    """What to multiply scores (n, k) by, so that their softmax is as sure as it is right.

    Least negative log-likelihood, by golden section. A pinch of Platt's smoothing (one doubt in n + 2) keeps the answer
    finite where every example is right. A class of one example was never seen when it was scored, so it has no say.
    Every example has the same say here: a new class of few, most of them taken for others, makes nobody else unsure.
    """
    counts = np.bincount(index, minlength=scores.shape[1])
    told = counts[index] > 1
    if scores.shape[1] < 2 or not told.any():
        return np.float32(1)
    scores, index = scores[told], index[told]

    def loss(log_temperature: float) -> float:
        return misfit(scores * np.float32(np.exp(log_temperature)), index)

    return np.float32(np.exp(_golden_section(loss, np.log(0.1), np.log(100.0))))


def misfit(scores: Floats, index: _Indices) -> float:
    """Negative log-likelihood of classes (n,) by the softmax of scores (n, k), with a pinch of doubt."""
    doubt = 1 / (len(index) + 2)
    logs = log_softmax(scores)
    right = (1 - doubt) * logs[np.arange(len(index)), index] + doubt * logs.mean(axis=1)
    return -float(right.sum(dtype=np.float64))


def _golden_section(loss: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one valley between `low` and `high` is least, to half a hundredth."""
    ratio = (5**0.5 - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > 0.005:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = loss(right)
    return (low + high) / 2
