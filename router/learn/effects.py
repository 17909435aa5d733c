"""The mixed-effects regression under the outcome model: effects of likeness, of tasks, and the mean.

Requests that are alike have like scores: a ridge on the points of a `Similarity`. A task has an effect of its own, so
that one large task does not bend what is learnt of all others; it reaches a new request by the probability that the
request belongs to it. All models get the same smoother, so the difference of two predictions is the prediction of the
difference: what is learnt is the uplift.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from experts.fitted import State
from router.cacheline import stacked
from router.learn.ridge import Floats, ridge
from router.learn.similarity import Shape, Similarity

Indices = NDArray[np.intp]
Bools = NDArray[np.bool_]

DOUBT: Final = 20.0
"""Outcomes of a model that count as much as what was believed of it before: what its examples said, else nought."""

OWN_AXES: Final = 128
"""Axes of likeness by which models differ, where each was asked of other requests."""

_BLOCK: Final = 4096
"""Rows worked on at a time."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Outcomes to learn from: n requests, m models, t tasks (nought when nobody told them)."""

    vectors: Floats
    """(n, d)."""
    features: Floats
    """(n, f)."""
    scores: Floats
    """(n, m), NaN where a model was not asked."""
    members: Floats
    """(n, t), one for the task of a request."""
    left_out: Floats
    """(n, t), what a task head that has not seen the request scores its tasks with."""
    prior: Floats
    """(n, m), what is believed of a score before any outcome; nought where that is nothing."""

    def __len__(self) -> int:
        return len(self.scores)

    def tasks(self) -> Indices:
        """The likeliest task (n,) of each; nought where none is known."""
        return self.members.argmax(axis=1) if self.members.shape[1] else np.zeros(len(self), np.intp)

    def take(self, which: Indices | Bools) -> Rows:
        """Some of the rows."""
        parts = (self.vectors, self.features, self.scores, self.members, self.left_out, self.prior)
        return Rows(*(part[which] for part in parts))


def trust(scores: Floats) -> Floats:
    """How far outcomes (n, m) may move each model from its prior, and from nought where it has none: (m,)."""
    count = (~np.isnan(scores)).sum(axis=0)
    found: Floats = (count / (count + DOUBT)).astype(np.float32)
    return found


class Effects:
    """Fitted: `by_look_` (l, m), `by_task_` (t, m) and `constant_` (m,), whose sum a score lies above its prior by."""

    by_look_: Floats
    by_task_: Floats
    constant_: Floats

    def __init__(self, similarity: Similarity, penalty: float, backed: Bools) -> None:
        """`similarity` is fitted; `penalty` is a score's noise over what likeness explains of it, as variances.

        `backed` (m,) says which models have a prior: few outcomes draw those to it, and others to the mean of all.
        """
        self._similarity = similarity
        self._penalty = penalty
        self._backed = backed

    def fit(self, rows: Rows) -> Self:
        """Learn from rows.

        Where scores are missing, what all models have in common is learnt first, and how each differs from it, shrunk
        towards not at all, second; so an expert with few outcomes borrows from the others.
        """
        above = rows.scores - rows.prior
        complete = not np.isnan(above).any()
        weights = self._regress(rows, above) if complete else self._stepwise(rows, above)
        weights *= trust(rows.scores)
        likeness = self._similarity.axes_.shape[1]
        return self._with(self._similarity.axes_ @ weights[:likeness], weights[likeness:-1], weights[-1])

    def expected(self, vectors: Floats, features: Floats, likely: Floats) -> Floats:
        """What scores (n, m) of requests (n, d), (n, f) lie above their priors by.

        `likely` (n, t): how probable their tasks are.
        """
        looks = self._similarity.looks(vectors, features)
        found: Floats = looks @ self.by_look_ + likely @ self.by_task_ + self.constant_
        return found

    @property
    def surface_width(self) -> int:
        """Surface numbers of a request."""
        return self._similarity.surface_width

    def rows(self, dimensions: int) -> tuple[Floats, Floats]:
        """What the vector (d,) of one request is multiplied with, (l + 1, d), and what is less, (l + 1,), then."""
        rows, less = self._similarity.rows(dimensions)
        nothing = np.zeros((1, dimensions), np.float32)
        return np.concatenate([rows, nothing]), np.append(less, np.float32(0 if self._similarity.curved else -1))

    def look(self, seen: Floats, first: int, features: Floats) -> None:
        """Make the product from its `first` on, and exponents before it, what they stand for: looks and a one.

        `features` (f,) are the surface numbers.
        """
        if self._similarity.by_surface:
            self._similarity.surface(seen[first:-1], features)
        powers = seen if self._similarity.curved else seen[:first]
        np.exp(powers, out=powers)

    def expected_of(self, seen: Floats) -> Floats:
        """The same (m,) of one request, by how probable its tasks are, its looks and a one (t + l + 1,)."""
        found: Floats = self._every.dot(seen)
        return found

    def parts(self, vectors: Floats, features: Floats, likely: Floats) -> dict[str, Floats]:
        """The same (n, m), taken apart: what a model is like on the whole, on the task, on requests that are alike."""
        neighbours: Floats = self._similarity.looks(vectors, features) @ self.by_look_
        return {
            "level": np.broadcast_to(self.constant_, neighbours.shape),
            "task": likely @ self.by_task_,
            "neighbours": neighbours,
        }

    def state(self) -> State:
        """What was fitted, to be kept."""
        return {
            "similarity": self._similarity.state(),
            "by_look": np.ascontiguousarray(self.by_look_),
            "by_task": np.ascontiguousarray(self.by_task_),
            "constant": np.ascontiguousarray(self.constant_),
        }

    @classmethod
    def of(cls, state: State, shape: Shape, penalty: float, backed: Bools) -> Self:
        """Effects with a kept state."""
        found = cls(Similarity.of(state["similarity"], shape), penalty, backed)
        return found._with(state["by_look"], state["by_task"], state["constant"])

    def _with(self, by_look: Floats, by_task: Floats, constant: Floats) -> Self:
        """Keep what was learnt (l, m), (t, m), (m,) in one piece (m, t + l + 1): one product judges a request."""
        self._every = stacked([np.vstack([by_task, by_look, constant]).T])
        self.by_task_, self.by_look_ = self._every.T[: len(by_task)], self._every.T[len(by_task) : -1]
        self.constant_ = self._every[:, -1]
        return self

    def _stepwise(self, rows: Rows, above: Floats) -> Floats:
        models = above.shape[1]
        asked = ~np.isnan(above)
        count = asked.sum(axis=1, keepdims=True)
        means = self._means(above)
        apart = np.where(asked, above - means, 0).astype(np.float32)
        shared = apart.sum(axis=1, keepdims=True) / np.maximum(count, 1)
        common = self._regress(rows, shared)
        # A row that asked every model shows what they have in common; one that asked a single model does not.
        trust = np.maximum(count - 1, 0) / max(models - 1, 1)
        own = apart - trust * shared - (1 - trust) * self._applied(rows, common)
        weights: Floats = np.repeat(common, models, axis=1)
        weights[-1] += means
        few, kept = self._few_points(rows)
        for pattern in np.unique(asked[:, asked.any(axis=0)], axis=1).T:
            alike = np.flatnonzero((asked == pattern[:, None]).all(axis=0))
            targets = own[pattern][:, alike].astype(np.float32)
            weights[np.ix_(kept, alike)] += ridge([(few[pattern], targets)], self._penalty, self._penalty)
        return weights

    def _few_points(self, rows: Rows) -> tuple[Floats, Indices]:
        """Points (n, q) of fewer axes, which tell models apart as well, and which of all points they are (q,)."""
        axes = self._similarity.axes_.shape[1]
        size = axes + rows.members.shape[1] + 1
        kept = np.concatenate([np.arange(min(axes, OWN_AXES)), np.arange(axes, size)])
        return np.concatenate([points[:, kept] for _, points in self._points(rows)]), kept

    def _means(self, above: Floats) -> Floats:
        """Mean of every model (m,), those of few outcomes drawn to their prior, or to the mean of those without one."""
        count = (~np.isnan(above)).sum(axis=0)
        bare = above[:, ~self._backed]
        usual = 0.0 if np.isnan(bare).all() else np.nanmean(bare)
        drawn = np.nansum(above, axis=0) + self._penalty * np.where(self._backed, 0.0, usual)
        means: Floats = (drawn / (count + self._penalty)).astype(np.float32)
        return means

    def _regress(self, rows: Rows, targets: Floats) -> Floats:
        return ridge(((points, targets[block]) for block, points in self._points(rows)), self._penalty)

    def _applied(self, rows: Rows, weights: Floats) -> Floats:
        applied: Floats = np.concatenate([points @ weights for _, points in self._points(rows)])
        return applied

    def _points(self, rows: Rows) -> Iterator[tuple[slice, Floats]]:
        """Blocks of rows as points: likeness, task, one."""
        for start in range(0, len(rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            likeness = self._similarity.looks(rows.vectors[block], rows.features[block]) @ self._similarity.axes_
            one = np.ones((len(likeness), 1), np.float32)
            yield block, np.hstack([likeness, rows.members[block], one], dtype=np.float32)
