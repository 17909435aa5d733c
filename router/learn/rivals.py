"""Of a request's two likeliest domains, the one with the nearer example is likelier than the head alone says.

The head draws one plane a domain, which blurs what is told apart by a word. So the domain it likes best and its rival
are looked at once more, each by the one example that is most like the request. How much that counts is learnt from the
examples, each judged without itself: much where domains lie close together, nothing where the head sees all there is to
see. A domain of many examples has one that is nearer for that alone, and that does not count. The two share among
themselves what the head gave them, so the others keep their probabilities. ADR 0053.
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
Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]

WEIGHTS: Final = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0)
"""Tried for the cosine to the nearest example, in units of the head's scores. With ten examples a domain BANKING77
wants 6 and CLINC150 about 2, with eighty 12 and 8. Examples that were written alike would ask for more than is good."""

ENOUGH: Final = 3000
"""Examples that tell the weight; more make the fit slower, not better."""

ROUNDS: Final = 2
"""The weight, then the temperature, then both again."""

GIVEN_BACK: Final = 0.75
"""Share given back of what a domain's nearest example is farther by for having fewer: the greatest quarter with which
domains added to the default registry with 20 examples cost the others less than .3 points (ADR 0053)."""

TOSSES: Final = 8
"""Nearest examples of which half are left by chance: that none of them is comes to pass once in 256 times."""

_NOWHERE: Final = np.float32(-1)
"""Cosine to the nearest example of a domain that has no other."""


class Rivals:
    """Fitted: `weight_` of the cosine, `temperature_` that all scores are multiplied by then.

    `by_size_` (k,) is the part of a domain's cosine that its number of examples explains. `left_out_` (n, k) are the
    scores of the examples, settled without themselves; set by `fit`, not by `of`.
    """

    weight_: float = 0.0
    temperature_: float = 1.0
    by_size_: Doubles
    left_out_: Floats
    landmarks: Sequence[Floats] = ()
    """The examples (m, d) kept of every class, as `Familiarity` has them."""

    @classmethod
    def none(cls, scores: Floats, sureness: float = 1.0) -> Self:
        """No second look; `scores` (n, k) are the examples', which a `sureness` multiplies as it does all others."""
        found = cls()
        found.temperature_, found.by_size_ = sureness, np.zeros(scores.shape[1])
        found.left_out_ = scores if sureness == 1 else scores * np.float32(sureness)
        return found

    @classmethod
    def fit(cls, vectors: Floats, index: Indices, scores: Floats, sureness: float = 1.0) -> Self:
        """Learn from examples (n, d), their classes (n,), and the scores (n, k) of heads without each of them.

        The temperature is found on these, so what multiplies scores of an encoder that has seen them comes last.
        """
        found = cls.none(scores, sureness)
        kept = [thinned(np.flatnonzero(index == at)) for at in range(scores.shape[1])]
        told = np.flatnonzero(written_once(vectors, index.astype(np.str_)) & (np.bincount(index)[index] > 1))
        if len(kept) < 2 or not len(told):
            return found
        found.by_size_ = _by_size(told, vectors, index, scores, kept)
        pairs = _pairs(scores)
        nearer = found._nearer(_left_out_nearest(vectors, pairs, kept), pairs)
        some = told[:: -(-len(told) // ENOUGH)]
        tried = [_shared(scores[some], pairs[some], each * nearer[some]) for each in WEIGHTS]
        own = 1.0
        for _ in range(ROUNDS):
            misfits = [misfit(each * np.float32(own), index[some]) for each in tried]
            best = int(np.argmin(misfits))
            found.weight_ = WEIGHTS[best]
            own = float(temperature(tried[best], index[some])) if found.weight_ else 1.0
        found.temperature_ = own * sureness
        found.left_out_ = _shared(scores, pairs, found.weight_ * nearer) * np.float32(found.temperature_)
        return found

    def state(self) -> State:
        """What was fitted, to be kept, but for the examples."""
        return {"weight": self.weight_, "temperature": self.temperature_, "by_size": self.by_size_}

    @classmethod
    def of(cls, state: State) -> Self:
        """With a kept state."""
        found = cls()
        found.weight_, found.temperature_, found.by_size_ = state["weight"], state["temperature"], state["by_size"]
        return found

    def settled(self, vectors: Floats, scores: Floats) -> Floats:
        """The scores (n, k) of vectors (n, d) after a second look."""
        if not self.weight_:
            return scores if self.temperature_ == 1 else scores * np.float32(self.temperature_)
        pairs = _pairs(scores)
        near = np.empty(pairs.shape, np.float32)
        for at in np.unique(pairs):
            rows, place = np.nonzero(pairs == at)
            near[rows, place] = (vectors[rows] @ self.landmarks[at].T).max(axis=1)
        return _shared(scores, pairs, self.weight_ * self._nearer(near, pairs)) * np.float32(self.temperature_)

    def settle(self, scores: Floats, best: int, rival: int, nearer: float) -> bool:
        """The same in place for one request's scores (k,), but for the temperature; whether its `best` is still that.

        Else it is its `rival`. `nearer` is by how much the cosine to the nearest example of the best is greater.
        """
        own, other = scores.item(best), scores.item(rival)
        nearer -= self.by_size_.item(best) - self.by_size_.item(rival)
        total, lead = other + _log_one_more(own - other), own - other + self.weight_ * nearer
        less = _log_one_more(-abs(lead))
        scores[best], scores[rival] = total - (max(-lead, 0.0) + less), total - (max(lead, 0.0) + less)
        return lead >= 0

    def _nearer(self, near: Floats, pairs: Indices) -> Doubles:
        """By how much the first of two classes (n, 2) is nearer (n,), size aside, by cosines `near` (n, 2)."""
        apart = near - self.by_size_[pairs]
        found: Doubles = apart[:, 0] - apart[:, 1]
        return found


def _log_one_more(exponent: float) -> float:
    """Logarithm of 1 + exp(exponent)."""
    return max(exponent, 0.0) + math.log1p(math.exp(-abs(exponent)))


def _pairs(scores: Floats) -> Indices:
    """The two classes (n, 2) with the greatest scores (n, k)."""
    return np.argpartition(scores, -2, axis=1)[:, -2:]


def _left_out_nearest(vectors: Floats, pairs: Indices, kept: Sequence[Indices]) -> Floats:
    """Cosine to the nearest other example of both classes (n, 2), of examples (n, d).

    `kept` are the rows of each class that are looked among.
    """
    near = np.full(pairs.shape, _NOWHERE)
    for at in np.unique(pairs):
        rows, place = np.nonzero(pairs == at)
        cosines = vectors[rows] @ vectors[kept[at]].T
        cosines[rows[:, None] == kept[at]] = _NOWHERE
        near[rows, place] = cosines.max(axis=1)
    return near


def _by_size(told: Indices, vectors: Floats, index: Indices, scores: Floats, kept: Sequence[Indices]) -> Doubles:
    """What is not counted of the cosine to the nearest example of a class (k,), for how many of it are `kept`.

    It grows with the logarithm of their number: our registry's domains, thinned from 512 examples to 8, lost much the
    same with every halving. How much is seen on the examples `told`, each at its likeliest other class by `scores`
    (n, k): were each of its examples there by the toss of a coin, the nearest would be the first of them with one half,
    the second with a quarter, and so on.
    """
    rest = scores[told]
    rest[np.arange(len(told)), index[told]] = -np.inf
    other, fallen = rest.argmax(axis=1), []
    for at, rows in enumerate(kept):
        nearest = -np.sort(-(vectors[told[other == at]] @ vectors[rows].T), axis=1)[:, :TOSSES]
        chance = 0.5 ** np.arange(1, nearest.shape[1] + 1)
        chance[-1] *= 2
        fallen.append(nearest[:, 0] - nearest @ chance)
    found: Doubles = GIVEN_BACK * np.concatenate(fallen).mean() * np.log2([len(rows) for rows in kept])
    return found


def _shared(scores: Floats, pairs: Indices, moved: Doubles) -> Floats:
    """Scores (n, k) with the lead of the first of two classes (n, 2) `moved` (n,); their odds in sum stay."""
    own, other = np.take_along_axis(scores, pairs, 1).T
    total, lead = np.logaddexp(own, other), own - other + moved
    found = scores.copy()
    settled = np.stack([total - np.logaddexp(0, -lead), total - np.logaddexp(0, lead)], axis=1)
    np.put_along_axis(found, pairs, settled.astype(np.float32), 1)
    return found
