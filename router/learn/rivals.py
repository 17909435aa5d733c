"""Among a request's likeliest domains, the one with the nearer example is likelier than the head alone says.

The head draws one plane a domain, which blurs what is told apart by a word. So its likeliest domains are looked at once
more, each by the one example that is most like the request. How much that counts is learnt from the examples, each
judged without itself: much where domains lie close together, nothing where the head sees all there is to see. The
rivals share among themselves what the head gave them, so the other domains keep their probabilities. ADR 0053.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from experts.fitted import State
from experts.head import misfit, temperature
from router.calibrate import thinned
from router.learn.repeats import written_once

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

MOST: Final = 3
"""Domains looked at again; with five, BANKING77 and CLINC150 are judged just the same."""

WEIGHTS: Final = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0)
"""Tried for the cosine to the nearest example, in units of the head's scores. With ten examples a domain BANKING77
wants 6 and CLINC150 about 2, with eighty 12 and 8."""

ENOUGH: Final = 3000
"""Examples that tell the weight; more make the fit slower, not better."""

ROUNDS: Final = 2
"""The weight, then the temperature, then both again."""

_NOWHERE: Final = np.float32(-1)
"""Cosine to the nearest example of a domain that has no other."""


class Rivals:
    """Fitted: `weight_` of the cosine, `temperature_` that all scores are multiplied by then.

    `left_out_` (n, k) are the scores of the examples, settled without themselves; set by `fit`, not by `of`.
    """

    weight_: float = 0.0
    temperature_: float = 1.0
    left_out_: Floats
    landmarks: Sequence[Floats] = ()
    """The examples (m, d) kept of every class, as `Familiarity` has them."""

    @classmethod
    def none(cls, scores: Floats) -> Self:
        """No second look; `scores` (n, k) are the examples'."""
        found = cls()
        found.left_out_ = scores
        return found

    @classmethod
    def fit(cls, vectors: Floats, index: Indices, scores: Floats) -> Self:
        """Learn from examples (n, d), their classes (n,), and the scores (n, k) of heads without each of them."""
        found = cls.none(scores)
        kept = [thinned(np.flatnonzero(index == at)) for at in range(scores.shape[1])]
        told = np.flatnonzero(written_once(vectors, index.astype(np.str_)) & (np.bincount(index)[index] > 1))
        if len(kept) < 2 or not len(told):
            return found
        likeliest = _likeliest(scores)
        near = _left_out_near(vectors, likeliest, kept)
        some = told[:: -(-len(told) // ENOUGH)]
        tried = {each: _shared(scores[some], likeliest[some], near[some], each) for each in WEIGHTS}
        for _ in range(ROUNDS):
            sharpness = np.float32(found.temperature_)
            misfits = [misfit(each * sharpness, index[some]) for each in tried.values()]
            found.weight_ = WEIGHTS[int(np.argmin(misfits))]
            if found.weight_:
                found.temperature_ = float(temperature(tried[found.weight_], index[some]))
        found.left_out_ = _shared(scores, likeliest, near, found.weight_) * np.float32(found.temperature_)
        return found

    def state(self) -> State:
        """What was fitted, to be kept, but for the examples."""
        return {"weight": self.weight_, "temperature": self.temperature_}

    @classmethod
    def of(cls, state: State) -> Self:
        """With a kept state."""
        found = cls()
        found.weight_, found.temperature_ = state["weight"], state["temperature"]
        return found

    def settled(self, vectors: Floats, scores: Floats) -> Floats:
        """The scores (n, k) of vectors (n, d) after a second look."""
        if not self.weight_:
            return scores
        likeliest = _likeliest(scores)
        near = np.empty(likeliest.shape, np.float32)
        for at in np.unique(likeliest):
            rows, place = np.nonzero(likeliest == at)
            near[rows, place] = (vectors[rows] @ self.landmarks[at].T).max(axis=1)
        return _shared(scores, likeliest, near, self.weight_) * np.float32(self.temperature_)

    def settle(self, vector: Floats, scores: Floats) -> Floats:
        """The same of one vector (d,), in place of its scores (k,)."""
        if not self.weight_:
            return scores
        likeliest = _likeliest(scores)
        before = scores[likeliest].tolist()
        near = [float(np.maximum.reduce(self.landmarks[at].dot(vector))) for at in likeliest.tolist()]
        after = [own + self.weight_ * cosine for own, cosine in zip(before, near, strict=True)]
        most = max(after)
        lead = max(before)
        odds = sum(math.exp(own - lead) for own in before) / sum(math.exp(own - most) for own in after)
        lead += math.log(odds)
        scores[likeliest] = [own - most + lead for own in after]
        scores *= np.float32(self.temperature_)
        return scores


def _likeliest(scores: Floats) -> Indices:
    """The domains (..., r) with the greatest scores (..., k)."""
    most = min(MOST, scores.shape[-1])
    return np.argpartition(scores, -most, axis=-1)[..., -most:]


def _left_out_near(vectors: Floats, likeliest: Indices, kept: Sequence[Indices]) -> Floats:
    """Cosine of examples (n, d) to the nearest other example of their likeliest domains (n, r); `kept` by domain."""
    near = np.full(likeliest.shape, _NOWHERE)
    for at in np.unique(likeliest):
        rows, place = np.nonzero(likeliest == at)
        cosines = vectors[rows] @ vectors[kept[at]].T
        cosines[rows[:, None] == kept[at]] = _NOWHERE
        near[rows, place] = cosines.max(axis=1)
    return near


def _shared(scores: Floats, likeliest: Indices, near: Floats, weight: float) -> Floats:
    """Scores (..., k) with those of the likeliest (..., r) moved by how `near` they are; their odds in sum stay."""
    before = np.take_along_axis(scores, likeliest, -1)
    after = before + np.float32(weight) * near
    after += _log_sum(before) - _log_sum(after)
    found = scores.copy()
    np.put_along_axis(found, likeliest, after, -1)
    return found


def _log_sum(scores: Floats) -> Floats:
    """Logarithm of the sum of the odds over the last axis, which stays."""
    most = scores.max(axis=-1, keepdims=True)
    found: Floats = most + np.log(np.exp(scores - most).sum(axis=-1, keepdims=True))
    return found
