"""Which domain a request belongs to, and how familiar it is: all that examples alone can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from experts.fitted import State
from experts.head import Labels, LinearHead
from experts.wire import Vector
from router.calibrate import Familiarity, Floats
from router.learn.tasks import MANY, TaskHead

Doubles = NDArray[np.float64]


class Domains:
    """Fitted: `classes_` (k,) sorted, and what fits without it say of each request `rows_` (n,).

    `left_out_scores_` (n, k) are its scores, `left_out_known_` (n,) its p-values.
    """

    left_out_scores_: Floats
    left_out_known_: Doubles
    rows_: NDArray[np.intp]

    def __init__(self, head: LinearHead, familiarity: Familiarity) -> None:
        """Both fitted, on the same requests."""
        self.head, self.familiarity, self.classes_ = head, familiarity, head.classes_

    @classmethod
    def of_head(cls, head: LinearHead, vectors: Floats, index: NDArray[np.intp], rows: NDArray[np.intp]) -> Domains:
        """From a fitted `head`, the vectors (n, d) and classes (n,) it was fitted on, and which `rows` those are."""
        found = cls(head, Familiarity().fit(vectors, index, head.left_out_scores_))
        found.rows_, found.left_out_scores_ = rows, head.left_out_scores_
        p_value = found.familiarity.p_value
        found.left_out_known_ = np.array([p_value(float(score)) for score in found.familiarity.left_out_])
        return found

    def state(self) -> State:
        """What was fitted, to be kept."""
        return {"head": self.head.state(), "familiarity": self.familiarity.state()}

    @classmethod
    def of(cls, state: State) -> Domains:
        """Domains with a kept state; they know nothing of the requests they were fitted on."""
        return cls(LinearHead.of(state["head"]), Familiarity.of(state["familiarity"]))

    @classmethod
    def of_examples(
        cls, vectors: Floats, labels: Sequence[str] | Labels, names: Mapping[str, Vector] | None = None
    ) -> Domains:
        """From examples (n, d), their labels (n,) and, by label, vectors of the domains' names."""
        head = LinearHead().fit(vectors, labels, names)
        index = np.searchsorted(head.classes_, np.asarray(labels, np.str_))
        return cls.of_head(head, vectors, index, np.arange(len(vectors)))

    @classmethod
    def of_tasks(cls, tasks: TaskHead | None, vectors: Floats) -> Domains:
        """From requests (n, d) and what is known of their tasks; one nameless domain when that is nothing."""
        if tasks is not None:
            return cls.of_head(tasks.head_, vectors[tasks.rows_], tasks.index_[tasks.rows_], tasks.rows_)
        rows = np.arange(0, len(vectors), -(-len(vectors) // MANY))
        head = LinearHead().fit(vectors[rows], np.full(len(rows), ""))
        return cls.of_head(head, vectors[rows], np.zeros(len(rows), np.intp), rows)

    def scores(self, vectors: Floats) -> Floats:
        """Scores (n, k) of the domains for vectors (n, d), of which the probabilities are the softmax."""
        return self.head.decision_function(vectors)

    def familiar(self, vector: Floats, scores: Floats) -> tuple[float, float]:
        """How familiar a vector (d,) with domain scores (k,) is, and the p-value of that."""
        best = int(scores.argmax())
        score = self.familiarity.score(vector, best, float(scores[best]))
        return score, self.familiarity.p_value(score)
