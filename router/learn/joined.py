"""Domains that others have joined with few examples: they take what is theirs, and nothing else changes.

Planes, temperature and the second look are fitted on all examples, so a domain that joins moves every probability a
little, and what stands near a threshold crosses it either way, whoever joins. So whoever has far fewer examples than
the others joins domains that were fitted without it. How likely a request is its own is what domains fitted with all
say; the rest is shared among the others as it was before, and as familiar to them as it was. ADR 0057.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Self, TypeVar

import numpy as np

from experts.fitted import State
from experts.head import Labels
from experts.regression import log_total
from router.calibrate import Floats
from router.learn.domains import Domains, Doubles, Look
from router.learn.outside import OUTSIDE, Bools

Fit = Callable[[Floats, Labels], Domains]
"""Makes domains of examples, vectors (n, d) and their labels (n,)."""

_Each = TypeVar("_Each", Floats, Doubles)

FEW: Final = 4
"""A domain joins the others while so many times its examples are fewer than the middle one of all has. With as many as
that a plane through them is as good as the others', and it is better that all are fitted together."""

SURER: Final = 1.5
"""The power that the odds of a domain that joined are raised to. Few examples say little of what is theirs and a little
of all that is near, which takes what is hardly sure from the others. The least of 1, 1.25, 1.5, 2 and 3 with which a
domain added by twenty examples drawn at random costs the default registry less than .3 points, one that lies close to
its experts (one of them, put back) too. More makes the domain surer than it is right (ADR 0057)."""


def domains_of_examples(vectors: Floats, labels: Labels, fit: Fit = Domains.of_examples) -> Domains:
    """What `fit` makes of examples (n, d) with labels (n,), those of few joined to the others if these are two or more.

    `fit` is asked twice then, the second time without those of few.
    """
    whole = fit(vectors, labels)
    stay = ~np.isin(labels, of_few(labels[labels != OUTSIDE]))
    if stay.all() or len(np.unique(labels[stay & (labels != OUTSIDE)])) < 2:
        return whole
    before = fit(vectors[stay], labels[stay])
    return Joined(whole, before).fitted_on(vectors, stay)


def domains_of(state: State) -> Domains:
    """Domains with a kept state; they know nothing of the requests they were fitted on."""
    whole = Domains.of(state)
    return Joined(whole, Domains.of(state["before"])) if "before" in state else whole


def of_few(labels: Labels) -> Labels:
    """Those of the labels (n,) that far fewer have than the middle one."""
    classes, counts = np.unique(labels, return_counts=True)
    found: Labels = classes[counts * FEW < np.median(counts)]
    return found


class Joined(Domains):
    """Fitted on all, `before` without those that joined.

    Scores are on the scale of what knows the likeliest domain: all, if it joined, else `before`.
    """

    def __init__(self, whole: Domains, before: Domains) -> None:
        """Both fitted; what `whole` has in more are the domains that joined."""
        super().__init__(whole.head, whole.familiarity, whole.rivals, whole._outside)
        self._whole, self._before = whole, before
        here = np.isin(self.classes_, before.classes_)
        self._there, self._new = np.flatnonzero(here), np.flatnonzero(~here)
        self._at = {at: place for place, at in enumerate(self._there.tolist())}

    def fitted_on(self, vectors: Floats, stay: Bools) -> Self:
        """Know what is said of each of the vectors (n, d) without it; `before` was fitted on those that `stay`."""
        whole, before, self.rows_ = self._whole, self._before, self._whole.rows_
        told = stay[self.rows_]
        unseen = vectors[self.rows_[~told]]
        scores = before.scores(unseen)

        self.left_out_scores_ = self._joined(_filled(told, before.left_out_scores_, scores), whole.left_out_scores_)
        new = np.isin(self.left_out_scores_.argmax(axis=1), self._new)
        known = _filled(told, before.left_out_known_, before.p_values(unseen, scores))
        outside = _filled(told, before.left_out_outside_, before.outside(unseen, scores))
        self.left_out_known_ = np.where(new, whole.left_out_known_, known)
        self.left_out_outside_ = np.where(new, whole.left_out_outside_, outside)
        return self

    def state(self) -> State:
        """What was fitted, to be kept."""
        return super().state() | {"before": self._before.state()}

    def scores(self, vectors: Floats) -> Floats:
        """Scores (n, k) of the domains for vectors (n, d), of which the probabilities are the softmax."""
        return self._joined(self._before.scores(vectors), super().scores(vectors))

    def outside(self, vectors: Floats, scores: Floats) -> Doubles:
        """Probability (n,) that no expert should answer vectors (n, d) with domain scores (n, k)."""
        new = np.isin(scores.argmax(axis=1), self._new)
        before = self._before.outside(vectors, scores[:, self._there])
        return np.where(new, super().outside(vectors, scores), before)

    def settle(self, vector: Floats, scores: Floats, _: Look | None = None) -> tuple[int, Floats]:
        """`scores` for one vector (d,), in place, from those (k,) of the head fitted on all.

        Which domain is the likeliest, and the cosines to its examples and its centroid; no domain is looked at twice.
        """
        looked: dict[int, Floats] = {}

        def once(at: int) -> Floats:
            if (seen := looked.get(at)) is None:
                seen = looked[at] = self.familiarity.seen(vector, at)
            return seen

        rows, less = self._before.rows()
        theirs = rows.dot(vector)
        theirs -= less
        there = self._before.settle(vector, theirs, lambda place: once(self._there.item(place)))[0]
        super().settle(vector, scores, once)
        whole, new = scores.take(self._there), scores.take(self._new)
        taken = SURER * (new - np.logaddexp.reduce(whole)) + np.logaddexp.reduce(theirs)
        scores[self._there], scores[self._new] = theirs, taken
        place = int(taken.argmax())
        if taken.item(place) <= theirs.item(there):
            likeliest = self._there.item(there)
        else:
            likeliest = self._new.item(place)
            scores += new.item(place) - taken.item(place)
        return likeliest, once(likeliest)

    def familiar(self, vector: Floats, score: float, best: int, seen: Floats) -> tuple[float, float, float]:
        """Of a vector (d,): how familiar, the p-value of that, and what `outside` says, by who knows its `best`."""
        if (place := self._at.get(best)) is None:
            return super().familiar(vector, score, best, seen)
        return self._before.familiar(vector, score, place, seen)

    def looks(self, vector: Floats, scores: Floats) -> list[float]:
        """What each look at a vector (d,) with domain scores (k,) sees, in standard deviations."""
        if int(scores.argmax()) in self._at:
            return self._before.looks(vector, scores[self._there])
        return super().looks(vector, scores)

    def _p_value(self, vector: Floats, scores: Floats) -> float:
        if int(scores.argmax()) in self._at:
            return self._before._p_value(vector, scores[self._there])
        return super()._p_value(vector, scores)

    def _joined(self, before: Floats, whole: Floats) -> Floats:
        """Scores (n, k) of all domains from those of the ones there `before` (n, j) and of the `whole` (n, k)."""
        found: Floats = whole.copy()
        found[:, self._there] = before
        found[:, self._new] -= log_total(whole[:, self._there])[:, None]
        found[:, self._new] *= np.float32(SURER)
        found[:, self._new] += log_total(before)[:, None]
        rows, best = np.arange(len(found)), found.argmax(axis=1)
        found -= np.where(np.isin(best, self._new), found[rows, best] - whole[rows, best], 0)[:, None]
        return found


def _filled(told: Bools, seen: _Each, fresh: _Each) -> _Each:
    """Rows `seen` where it is `told` (n,), `fresh` ones elsewhere."""
    found = np.empty((len(told), *seen.shape[1:]), seen.dtype)
    found[told], found[~told] = seen, fresh
    return found
