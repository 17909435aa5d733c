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
from experts.lbfgs import Floats, minimise

STRENGTH = 30.0
"""Inverse of the ridge penalty, scikit-learn's C. Between 10 and 100, accuracy on BANKING77 and CLINC150 with 5, 10 and
all examples a class moves by less than a point, once the temperature is fitted; so it is no option."""

FOLDS = 5
FOLDS_OF_MANY = 3
MANY = 5000
"""Examples from which on fewer folds tell as much and cost less."""

_TOLERANCE = 0.003
"""Gradient norm, per example of a class, at which more steps no longer change how sure it is; ten times as much leaves
easy problems half learned, and the temperature of the left-out scores then fits the others badly."""

_CURVATURE = 0.1
"""Of the softmax, as a share of its bound at the start; only the speed depends on it."""

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
        self, vectors: Floats, labels: Sequence[str] | Labels, hints: Mapping[str, NDArray[np.float32]] | None = None
    ) -> Self:
        """Learn from unit vectors (n, d) and their labels (n,). Raises ValueError when there are none.

        `hints`, a vector by label, are learnt from as examples are, but never scored: no request looks like them.
        """
        if not len(labels) or len(vectors) != len(labels):
            raise ValueError(f"{len(vectors)} vectors and {len(labels)} labels: a head needs examples, one label each")
        self.classes_, index = np.unique(np.asarray(labels, dtype=np.str_), return_inverse=True)
        own = len(index)
        hinted = [at for at, label in enumerate(self.classes_) if hints and label in hints]
        if hints and hinted:
            vectors = np.concatenate([vectors, [hints[str(self.classes_[at])] for at in hinted]], dtype=np.float32)
            index = np.concatenate([index, hinted])
        share = _balanced(index, len(self.classes_))
        basis, spectrum = _axes(vectors, share)
        points = _with_one(vectors) @ basis
        weights = _regress(points, index, share, spectrum, len(self.classes_))
        left_out = _left_out(points, index, share, spectrum, len(self.classes_), own)
        sharpness = self.temperature_ = temperature(left_out, index[:own])
        self.left_out_scores_ = left_out * sharpness
        turned = (weights @ basis.T) * sharpness
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


def _balanced(index: _Indices, classes: int) -> Floats:
    """A weight for each example (n,), n in sum, such that every class weighs the same."""
    counts = np.bincount(index, minlength=classes)
    return (len(index) / (classes * counts))[index].astype(np.float32)


def _axes(vectors: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Principal axes (d + 1, d + 1) of the weighted examples and the weight along each: there, steps scale well."""
    points = _with_one(vectors)
    spectrum, basis = np.linalg.eigh(((points * share[:, None]).T @ points).astype(np.float64))
    return basis.astype(np.float32), np.maximum(spectrum, 0).astype(np.float32)


def _with_one(vectors: Floats) -> Floats:
    return np.hstack([vectors, np.ones((len(vectors), 1), np.float32)], dtype=np.float32)


def _regress(points: Floats, index: _Indices, share: Floats, spectrum: Floats, classes: int) -> Floats:
    """Weights (k, d) of the ridge-penalised multinomial regression."""
    rows = np.arange(len(index))

    def objective(weights: Floats) -> tuple[float, Floats]:
        logs = _log_softmax(points @ weights.T)
        misfit = -float((share * logs[rows, index]).sum(dtype=np.float64))
        value = misfit + float(np.vdot(weights, weights)) / (2 * STRENGTH)
        slopes = np.exp(logs)
        slopes[rows, index] -= 1
        slopes *= share[:, None]
        return value, slopes.T @ points + weights / np.float32(STRENGTH)

    flattest = np.float32(_CURVATURE / classes)
    scale = np.reciprocal(spectrum * flattest + np.float32(1 / STRENGTH), dtype=np.float32)
    start = np.zeros((classes, points.shape[1]), np.float32)
    return minimise(objective, start, scale[None, :], _TOLERANCE * len(index) / classes)


def _left_out(points: Floats, index: _Indices, share: Floats, spectrum: Floats, classes: int, own: int) -> Floats:
    """Scores (own, k) of each example by a fit that has not seen its fold; every class is spread over the folds.

    Points from `own` on are hints, which every fit sees.
    """
    folds = FOLDS if own < MANY else FOLDS_OF_MANY
    fold = np.full(len(index), folds)
    fold[np.argsort(index[:own], kind="stable")] = np.arange(own) % folds
    scores = np.zeros((own, classes), np.float32)
    for left in range(min(folds, own) if own > 1 else 0):
        seen, held = fold != left, fold == left
        weights = _regress(points[seen], index[seen], share[seen], spectrum, classes)
        scores[held[:own]] = points[held] @ weights.T
    return scores


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
    logs = _log_softmax(scores)
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


def _log_softmax(scores: Floats) -> Floats:
    shifted: Floats = scores - scores.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def softmax(scores: Floats) -> Floats:
    """Probabilities over the last axis; a score of minus infinity is impossible. No scores stay none."""
    if not scores.shape[-1]:
        return scores
    odds: Floats = scores - np.maximum.reduce(scores, axis=-1, keepdims=True)
    np.exp(odds, out=odds)
    odds /= np.add.reduce(odds, axis=-1, keepdims=True)
    return odds
