"""Which domain a request belongs to if any, and how familiar it is: all that examples alone can tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from experts.fitted import State
from experts.head import Labels, LinearHead
from experts.wire import Vector
from router.calibrate import Familiarity, Floats, near
from router.learn.effects import Indices
from router.learn.outside import OUTSIDE, Outside
from router.learn.rivals import Rivals
from router.learn.tasks import MANY, TaskHead

Doubles = NDArray[np.float64]
Look = Callable[[int], Floats]
"""Cosines (m + 1,) of one vector to the examples of a domain, and last that to its centroid."""

STRANGE: Final = 0.05
"""Share of known requests that may look stranger than one that nobody labelled and that still teaches something."""


class Domains:
    """Fitted: `classes_` (k,) sorted, and what fits without it say of each request `rows_` (n,).

    `left_out_scores_` (n, k) are its scores, `left_out_known_` (n,) its p-values, `left_out_outside_` (n,) how likely
    it takes them for what no expert should answer.
    """

    left_out_scores_: Floats
    left_out_known_: Doubles
    left_out_outside_: Doubles
    rows_: NDArray[np.intp]

    def __init__(
        self, head: LinearHead, familiarity: Familiarity, rivals: Rivals, outside: Outside | None = None
    ) -> None:
        """All fitted, on the same requests; `outside` on some more."""
        self.head, self.familiarity, self.rivals, self.classes_ = head, familiarity, rivals, head.classes_
        rivals.landmarks = familiarity.landmarks()
        self._temperature = np.array(rivals.temperature_, np.float32)
        self._outside = outside

    @classmethod
    def of_head(
        cls,
        head: LinearHead,
        vectors: Floats,
        index: NDArray[np.intp],
        rows: NDArray[np.intp],
        rivals: Rivals | None = None,
    ) -> Domains:
        """From a fitted `head`, the vectors (n, d) and classes (n,) it was fitted on, and which `rows` those are."""
        rivals = rivals or Rivals.none(head.left_out_scores_)
        left_out = rivals.left_out_
        found = cls(head, Familiarity().fit(vectors, index, left_out), rivals)
        found.rows_, found.left_out_scores_ = rows, left_out
        p_value = found.familiarity.p_value
        found.left_out_known_ = np.array([p_value(float(score)) for score in found.familiarity.left_out_])
        found.left_out_outside_ = np.zeros(len(rows))
        return found

    def state(self) -> State:
        """What was fitted, to be kept."""
        state: State = {"head": self.head.state(), "familiarity": self.familiarity.state()}
        state["rivals"] = self.rivals.state()
        return state | ({"outside": self._outside.state()} if self._outside else {})

    @classmethod
    def of(cls, state: State) -> Domains:
        """Domains with a kept state; they know nothing of the requests they were fitted on."""
        outside = Outside.of(state["outside"]) if "outside" in state else None
        rivals = Rivals.of(state["rivals"])
        return cls(LinearHead.of(state["head"]), Familiarity.of(state["familiarity"]), rivals, outside)

    @classmethod
    def of_examples(
        cls,
        vectors: Floats,
        labels: Sequence[str] | Labels,
        names: Mapping[str, Vector] | None = None,
        sureness: float = 1.0,
        unlabelled: Floats | None = None,
        *,
        rivals: bool = True,
    ) -> Domains:
        """From examples (n, d), their labels (n,), not all of them `OUTSIDE`, and vectors of the domains' names.

        Requests whose domain nobody told, `unlabelled` (u, d), teach the head where they are familiar. Only an ablation
        does without the second look of `rivals`. Scores are multiplied by the encoder's `sureness` at last:
        temperatures are fitted on left-out examples, and these a tuned encoder has seen.
        """
        labels = np.asarray(labels, np.str_)
        inside = np.flatnonzero(labels != OUTSIDE)
        if unlabelled is not None and len(unlabelled):
            alone = cls.of_examples(vectors, labels, names, sureness, rivals=rivals)
            unlabelled = unlabelled[alone._familiar(unlabelled)]
        head = LinearHead().fit(vectors[inside], labels[inside], names, unlabelled)
        index = np.searchsorted(head.classes_, labels[inside])
        left_out = head.left_out_scores_
        looked = Rivals.fit(vectors[inside], index, left_out, sureness) if rivals else Rivals.none(left_out, sureness)
        found = cls.of_head(head, vectors[inside], index, inside, looked)
        if len(inside) < len(labels):
            found._learn_outside(vectors, index, np.flatnonzero(labels == OUTSIDE))
        return found

    @classmethod
    def of_tasks(cls, tasks: TaskHead | None, vectors: Floats) -> Domains:
        """From requests (n, d) and what is known of their tasks; one nameless domain when that is nothing."""
        if tasks is not None:
            return cls.of_head(tasks.head_, vectors[tasks.rows_], tasks.index_[tasks.rows_], tasks.rows_)
        rows = np.arange(0, len(vectors), -(-len(vectors) // MANY))
        head = LinearHead().fit(vectors[rows], np.full(len(rows), ""))
        return cls.of_head(head, vectors[rows], np.zeros(len(rows), np.intp), rows)

    def _learn_outside(self, vectors: Floats, index: NDArray[np.intp], outside: NDArray[np.intp]) -> None:
        """Learn what no expert should answer, some rows of `vectors` (n, d); all others are of the domains `index`."""
        scores = self.scores(vectors[outside])
        near = np.concatenate([self.familiarity.left_out_near_, self._near(vectors[outside], scores)])
        known = [self._p_value(*each) for each in zip(vectors[outside], scores, strict=True)]
        self.rows_ = np.concatenate([self.rows_, outside])
        self._outside = Outside().fit(vectors[self.rows_], index, near)
        self.left_out_outside_ = self._outside.left_out_
        self.left_out_scores_ = np.concatenate([self.left_out_scores_, scores])
        self.left_out_known_ = np.concatenate([self.left_out_known_, known])

    def scores(self, vectors: Floats) -> Floats:
        """Scores (n, k) of the domains for vectors (n, d), of which the probabilities are the softmax."""
        return self.rivals.settled(vectors, self.head.decision_function(vectors))

    def rows(self) -> tuple[Floats, Floats]:
        """What the vector (d,) of one request is multiplied with, (k, d), and what is less, (k,), before `settle`."""
        return self.head.weights_, -self.head.bias_

    def outside(self, vectors: Floats, scores: Floats) -> Doubles:
        """Probability (n,) that no expert should answer vectors (n, d) with domain scores (n, k)."""
        if self._outside is None:
            return np.zeros(len(vectors))
        return self._outside.predict_proba(vectors, self._near(vectors, scores))

    def _familiar(self, vectors: Floats) -> NDArray[np.bool_]:
        """Which of the vectors (n, d) look like requests that an expert should answer."""
        scores = self.scores(vectors)
        known = [self._p_value(*each) for each in zip(vectors, scores, strict=True)]
        return (np.array(known) >= STRANGE) & (self.outside(vectors, scores) < 0.5)

    def p_values(self, vectors: Floats, scores: Floats, *, without: Indices | None = None) -> Doubles:
        """How likely a request of a known domain looks no more at home than each vector (n, d) with scores (n, k).

        `without` (n,) are the numbers of rows that made these domains: theirs are the p-values without them.
        """
        known = [self._p_value(*each) for each in zip(vectors, scores, strict=True)]
        at = dict(zip(self.rows_.tolist(), self.left_out_known_.tolist(), strict=True)) if without is not None else {}
        rows = range(len(known)) if without is None else without.tolist()
        return np.array([at.get(row, p) for row, p in zip(rows, known, strict=True)])

    def _p_value(self, vector: Floats, scores: Floats) -> float:
        return self.familiarity.p_value(sum(self.looks(vector, scores)))

    def _near(self, vectors: Floats, scores: Floats) -> Floats:
        return self.familiarity.all_near(vectors, scores.argmax(axis=1))

    def settle(self, vector: Floats, scores: Floats, look: Look | None = None) -> tuple[int, Floats]:
        """`scores` for one vector (d,), in place, from those (k,) of the head.

        Which domain is the likeliest, and the cosines to its examples and its centroid, as `look` sees them.
        """
        look, best = look or partial(self.familiarity.seen, vector), int(scores.argmax())
        seen = look(best)
        if self.rivals.weight_:
            own, scores[best] = scores.item(best), -np.inf
            rival, scores[best] = int(scores.argmax()), own
            theirs = look(rival)
            nearer = seen.item(seen[:-1].argmax()) - theirs.item(theirs[:-1].argmax())
            if not self.rivals.settle(scores, best, rival, nearer):
                best, seen = rival, theirs
        if self.rivals.temperature_ != 1:
            scores *= self._temperature
        return best, seen

    def familiar(self, vector: Floats, score: float, best: int, seen: Floats) -> tuple[float, float, float]:
        """Of a vector (d,): how familiar, the p-value of that, and what `outside` says.

        `best` is its likeliest domain, `score` that one's, and `seen` the cosines to what is known of it.
        """
        nearest, centre = near(seen)
        found = sum(self.familiarity.looks(best, score, nearest, centre))
        known = self.familiarity.p_value(found)
        if self._outside is None:
            return found, known, 0.0
        return found, known, self._outside.chance(vector, self.familiarity.nearer(nearest, best))

    def looks(self, vector: Floats, scores: Floats) -> list[float]:
        """What each look at a vector (d,) with domain scores (k,) sees, in standard deviations."""
        best = int(scores.argmax())
        return self.familiarity.looks(best, float(scores[best]), *near(self.familiarity.seen(vector, best)))
