"""How familiar a request is: a conformal p-value that it comes from where the examples come from.

Three looks at a vector, all at the class that the head thinks it belongs to, each standardised on the examples
themselves with the example left out:

    the head's score  of that class, before any softmax (Hendrycks et al., Scaling Out-of-Distribution Detection, 2022):
                      the softmax forgets how far away everything is
    the centroid      cosine to the mean direction of the class's examples
    the neighbours    mean cosine to the nearest of the class's examples (Sun et al., Out-of-Distribution Detection with
                      Deep Nearest Neighbors, 2022) against what this class's own examples see, for some are broad

Their sum separates known from unknown better than any one of them, requests from far away and those of a class that was
held out alike. The p-value is the share of examples that look at least as strange (Vovk, Gammerman, Shafer: Algorithmic
Learning in a Random World, 2005), so a policy's `out_of_domain: 0.05` sends away one known request in twenty, whatever
the domains are.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from experts.fitted import State
from router.cacheline import stacked

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
_Indices = NDArray[np.intp]

LOOKS: Final = ("scores", "centroid", "neighbours")

NEIGHBOURS: Final = 5
LANDMARKS: Final = 512
"""Examples of a class kept for looking up neighbours; more are thinned evenly, which keeps a judgement under 100 us."""

HALVED: Final = 1.2
"""What is given back to a class for having half as many examples, in standard deviations; by 0.5, 0.4 and 1.3 its
requests look less familiar to it (classes of CLINC150, thinned from 40 to 20, 10 and 5 beside fifty of 40). With
nothing given back such classes kept 91, 85, 80 and 68 % of their requests; with this 91, 90, 90 and 88 %, and of
requests of no class .1, .3, .5 and .5 % were known and taken for theirs."""

MOST_HALVED: Final = 3
"""Times that is given back; for smaller classes it was not measured."""

PRIOR: Final = 1
"""Examples' worth of what all classes see, mixed into what a class's own examples see: one or two of them have no
spread of their own. More harms classes of five examples and more (ADR 0002)."""


@dataclass(frozen=True, slots=True)
class _Class:
    """What is known of one class, in one array (m + 1, d): its examples, thinned, and their mean direction."""

    rows: Floats

    @property
    def landmarks(self) -> Floats:
        """The examples (m, d)."""
        return self.rows[:-1]


@dataclass(frozen=True, slots=True)
class _Members:
    """The examples of a class while fitting."""

    total: Floats
    """Their sum (d,)."""
    landmarks: Floats
    rows: _Indices
    """Where the landmarks stand among all examples (m,)."""


class Familiarity:
    """Fitted on examples, of which `left_out_` (n,) are the scores without each; tells how well a vector fits.

    `left_out_near_` (n,) is how near each is to the others of the class it is taken for, as `all_near` says it.
    """

    left_out_: Floats
    left_out_near_: Floats

    def fit(self, vectors: Floats, index: _Indices, scores: Floats, prior: float = PRIOR) -> Self:
        """Learn from `vectors` (n, d), the `index` of their classes (n,), and `scores` (n, k) of heads without them.

        `prior` examples' worth of what all classes see is mixed into each; only an ablation wants another.
        """
        members = [_members(vectors, np.flatnonzero(index == at)) for at in range(scores.shape[1])]
        self._classes = [_Class(stacked([known.landmarks, _unit(known.total)[None]])) for known in members]
        best = scores.argmax(axis=1)
        centre, near = np.empty(len(index), np.float32), np.empty(len(index), np.float32)
        for at, known in enumerate(members):
            rows = np.flatnonzero(best == at)
            centre[rows] = _left_out_centre(known, vectors[rows], index[rows] == at)
            near[rows] = _left_out_near(known, vectors[rows], rows)
        counts = np.bincount(index, minlength=len(self._classes))
        self._norm, self._scatter = _seen_by_class(near, index, len(self._classes), prior)
        self._gap = (near.mean() - self._norm).astype(np.float32)
        self.left_out_near_ = near + self._gap[best]
        own = (near - self._norm[best]) / self._scatter[best]
        looks = np.stack([scores.max(axis=1), centre, own])
        self._usual = [
            (mean, max(spread, 1e-6))
            for mean, spread in zip(looks.mean(axis=1).tolist(), looks.std(axis=1).tolist(), strict=True)
        ]
        mean, spread = np.array(self._usual).T
        found = ((looks.T - mean) / spread).sum(axis=1)
        self._lift = HALVED * np.clip(np.log2(counts[index].mean() / counts), 0, MOST_HALVED)
        self.left_out_ = found + self._lift[best]
        self._scores = np.sort(self.left_out_).tolist()
        return self._prepared()

    def state(self) -> State:
        """What was fitted, to be kept; the left-out scores are not, but their order is."""
        return {
            "centres": np.stack([known.rows[-1] for known in self._classes]),
            "landmarks": np.concatenate([known.landmarks for known in self._classes]),
            "sizes": [len(known.landmarks) for known in self._classes],
            "norm": self._norm,
            "scatter": self._scatter,
            "gap": self._gap,
            "lift": self._lift,
            "usual": self._usual,
            "scores": np.array(self._scores),
        }

    @classmethod
    def of(cls, state: State) -> Self:
        """Familiarity with a kept state."""
        found = cls()
        ends = np.cumsum(state["sizes"])
        landmarks = np.split(state["landmarks"], ends[:-1])
        centres = state["centres"][:, None]
        found._classes = [_Class(stacked(each)) for each in zip(landmarks, centres, strict=True)]
        found._norm, found._scatter, found._gap = state["norm"], state["scatter"], state["gap"]
        found._lift = state["lift"]
        found._usual, found._scores = state["usual"], state["scores"].tolist()
        return found._prepared()

    def _prepared(self) -> Self:
        """Python's own numbers, by class its norm, scatter, gap and lift: one request needs one of each."""
        numbers = (self._norm, self._scatter, self._gap, self._lift)
        self._own: list[tuple[float, ...]] = list(zip(*(each.tolist() for each in numbers), strict=True))
        return self

    def landmarks(self) -> list[Floats]:
        """The examples (m, d) kept of every class."""
        return [known.landmarks for known in self._classes]

    def seen(self, vector: Floats, best: int) -> Floats:
        """Cosines (m + 1,) to the examples of a class, and last that to its centroid."""
        cosines: Floats = self._classes[best].rows.dot(vector)
        return cosines

    def looks(self, best: int, score: float, near: float, centre: float) -> list[float]:
        """What each of `LOOKS` sees, in standard deviations: how familiar a vector is, is their sum.

        Of the head's class `best` with its `score`, and what `near` says of the vector there.
        """
        norm, scatter, _, lift = self._own[best]
        (usual, spread), (usual_centre, spread_centre), (usual_near, spread_near) = self._usual
        own = (near - norm) / scatter
        return [
            (score - usual) / spread,
            (centre - usual_centre) / spread_centre,
            (own - usual_near) / spread_near + lift,
        ]

    def nearer(self, near: float, best: int) -> float:
        """How `near` its class a vector would be if that saw of its own examples what all classes see of theirs."""
        return near + self._own[best][2]

    def all_near(self, vectors: Floats, best: _Indices) -> Floats:
        """The same (n,) of vectors (n, d) and their classes `best` (n,)."""
        found = np.empty(len(vectors), np.float32)
        for at in np.unique(best):
            rows = np.flatnonzero(best == at)
            found[rows] = _nearest(vectors[rows] @ self._classes[at].landmarks.T) + self._gap[at]
        return found

    def p_value(self, score: float) -> float:
        """Probability, in (0, 1], that a known request looks at least as strange as this one."""
        return (bisect_right(self._scores, score) + 1) / (len(self._scores) + 1)


def near(seen: Floats) -> tuple[float, float]:
    """Mean cosine to the nearest examples, and that to the centroid, of what `seen` says, which is reordered."""
    return mean_of_greatest(seen[:-1], NEIGHBOURS), seen.item(-1)


def thinned(rows: _Indices) -> _Indices:
    """At most `LANDMARKS` of the rows (n,), evenly."""
    kept: _Indices = rows[np.linspace(0, len(rows) - 1, min(len(rows), LANDMARKS)).round().astype(int)]
    return kept


def _members(vectors: Floats, rows: _Indices) -> _Members:
    kept = thinned(rows)
    return _Members(vectors[rows].sum(axis=0), np.ascontiguousarray(vectors[kept]), kept)


def _unit(total: Floats) -> Floats:
    found: Floats = total / max(float(np.linalg.norm(total)), 1e-9)
    return found


def _left_out_centre(known: _Members, vectors: Floats, own: NDArray[np.bool_]) -> Floats:
    """Cosine of vectors (m, d) to the centroid (m,), taken without the vector itself where it is an `own` example."""
    without = known.total - vectors * own[:, None]
    cosines: Floats = (without * vectors).sum(axis=1) / np.maximum(np.linalg.norm(without, axis=1), 1e-6)
    return cosines


def _left_out_near(known: _Members, vectors: Floats, rows: _Indices) -> Floats:
    """Mean cosine of vectors (m, d) to the nearest landmarks (m,), themselves left out; `rows` says which they are."""
    near = vectors @ known.landmarks.T
    own = rows[:, None] == known.rows
    found: Floats = np.where(own.any(axis=1), _nearest(np.where(own, -np.inf, near), 1), _nearest(near))
    return found


def _nearest(cosines: Floats, absent: int = 0) -> Floats:
    """Mean of the greatest few over the last axis, of which `absent` are -inf; 0 where that leaves none."""
    there = cosines.shape[-1]
    count = min(NEIGHBOURS, there - absent)
    if count < 1:
        return np.zeros(cosines.shape[:-1], np.float32)
    found: Floats = np.partition(cosines, there - count, axis=-1)[..., there - count :].mean(axis=-1)
    return found


def mean_of_greatest(cosines: Floats, most: int) -> float:
    """Mean of the greatest of cosines (n,), at most so many; there is one. It reorders them."""
    first = max(len(cosines) - most, 0)
    cosines.partition(first)
    greatest: list[float] = cosines[first:].tolist()
    return sum(greatest) / len(greatest)


def _seen_by_class(near: Floats, index: _Indices, classes: int, prior: float) -> tuple[Floats, Floats]:
    """Mean and spread (k,) of `near` (n,) over each class's examples, few examples drawn to what all classes see."""
    counts = np.bincount(index, minlength=classes) + prior
    mean = (np.bincount(index, near, classes) + prior * near.mean()) / counts
    squares = (near - mean[index]) ** 2
    spread = np.sqrt((np.bincount(index, squares, classes) + prior * squares.mean()) / counts)
    return mean.astype(np.float32), np.maximum(spread, 1e-6).astype(np.float32)
