"""Vector -> for every expert the calibrated probability that it answers this well, and how familiar the request is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from experts.head import LinearHead, softmax
from experts.wire import Vector
from router.calibrate import Familiarity, Floats


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is believed of one request."""

    label: str | None
    """The most probable domain."""
    probability: Mapping[str, float]
    """By expert id."""
    known: float
    """Conformal p-value that the request belongs to a known domain, in (0, 1]."""
    familiarity: float
    """What `known` is the p-value of; finer where p-values tie."""


@dataclass(frozen=True, slots=True)
class Near:
    """A known example close to a request."""

    text: str
    label: str
    similarity: float


REMEMBERED: Final = 1024
"""Judgements kept by vector, the oldest given up first: a repeated request is not judged twice."""

NOTHING_KNOWN = Judgement(None, {}, 0.0, -np.inf)
"""What is believed without any examples: nothing, so the fallback answers."""


class Judge:
    """Fitted from the registry's examples; cheap to ask, safe to share between tasks."""

    def __init__(self, experts: Mapping[str, str]) -> None:
        """`experts` gives each judged expert's domain label by its id."""
        self._experts = dict(experts)
        self._texts: Sequence[str] = ()
        self._remembered: dict[bytes, Judgement] = {}

    def fit(self, texts: Sequence[str], vectors: Floats, labels: Sequence[str]) -> Judge:
        """Learn from examples: texts (n), their vectors (n, d) and domain labels (n)."""
        self._texts, self._labels, self._vectors = texts, np.asarray(labels), vectors
        if len(texts):
            self._head = LinearHead().fit(vectors, self._labels)
            index = np.searchsorted(self._head.classes_, self._labels)
            self._familiarity = Familiarity().fit(vectors, index, self._head.left_out_scores_)
            self._class_of = {label: at for at, label in enumerate(self._head.classes_)}
        return self

    def judge(self, vector: Vector) -> Judgement:
        """Judge one request vector (d,)."""
        if not len(self._texts):
            return NOTHING_KNOWN
        key = hashlib.blake2b(vector.data, digest_size=16).digest()
        known = self._remembered.get(key)
        if known is None:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.pop(next(iter(self._remembered)))
            known = self._remembered[key] = self._judge(vector)
        return known

    def _judge(self, vector: Vector) -> Judgement:
        scores = self._head.decision_function(vector[None, :])[0]
        probabilities = softmax(scores)
        best = int(scores.argmax())
        score = self._familiarity.score(vector, best, float(scores[best]))
        by_expert = {
            expert: float(probabilities[self._class_of[label]])
            for expert, label in self._experts.items()
            if label in self._class_of
        }
        return Judgement(str(self._head.classes_[best]), by_expert, self._familiarity.p_value(score), score)

    def nearest(self, vector: Vector, count: int) -> list[Near]:
        """The known examples most like a request vector (d,), nearest first."""
        if not len(self._texts):
            return []
        cosines = self._vectors @ vector
        order = np.argsort(-cosines, kind="stable")[:count]
        return [Near(self._texts[i], str(self._labels[i]), float(cosines[i])) for i in order]
