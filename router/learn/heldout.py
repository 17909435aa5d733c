"""How well a judge fits what it has not seen, before and after it learns: on scored requests, or on its examples.

Both judges are fitted anew without a fold of requests and asked about it, also the one that serves, for what it was
fitted on may hold the same requests. Requests that are nearly alike share a fold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from experts.progress import Stage
from router.judge import Judge
from router.learn.evidence import Doubles, Outcomes, alike
from router.learn.fit import Lessons

Indices = NDArray[np.intp]

FOLDS: Final = 5
MOST_TRIED: Final = 4000
"""Requests held out in turn, the newest."""

LEAST: Final = 20
"""Groups of alike requests with a known score; fewer tell nothing about others."""

ONE_SIDED: Final = 1.645
"""Standard errors, 95 % on one side."""

_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Figures:
    """How well a judge's probabilities fit scores it had not seen."""

    brier: float
    """Mean squared difference."""
    ece: float
    """Mean difference of probability and score, over ten bins."""

    @classmethod
    def of(cls, probability: Doubles, score: Doubles) -> Figures:
        """Of n probabilities and scores."""
        bins = np.minimum((probability * _BINS).astype(int), _BINS - 1)
        gap = np.bincount(bins, probability - score, _BINS)
        return cls(float(((probability - score) ** 2).mean()), float(np.abs(gap).sum() / len(score)))

    def to_json(self) -> dict[str, float]:
        """Plain values."""
        return {"brier": self.brier, "ece": self.ece}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two judges on what neither had seen."""

    told_by: str
    """What was held out: requests, or examples."""
    scores: int
    """Known scores that were held out."""
    groups: int
    """Of requests that are alike."""
    before: Figures | None = None
    after: Figures | None = None
    """None when too few scores are known to hold some out."""
    change: float = 0.0
    """Of the Brier score, negative is better."""
    doubt: float = 0.0
    """Its standard error, over groups."""
    unsaid: Mapping[str, int] = field(default_factory=dict)
    """Scores of experts of which what serves says nothing, by their ids: there is nothing to compare them with."""

    @classmethod
    def of(cls, told_by: str, before: Doubles, after: Doubles, scores: Doubles, groups: Indices) -> Comparison:
        """Of what two judges said (n, m) and what was true, NaN where unknown; `groups` (n,) are of alike ones."""
        told = ~np.isnan(scores)
        one, other, score = before[told], after[told], scores[told]
        better = (other - score) ** 2 - (one - score) ** 2
        change, doubt = mean_by_group(better, np.broadcast_to(groups[:, None], scores.shape)[told])
        figures = Figures.of(one, score), Figures.of(other, score)
        return cls(told_by, len(score), len(np.unique(groups[told.any(axis=1)])), *figures, change, doubt)

    @classmethod
    def of_examples(cls, before: Judge, after: Judge) -> Comparison:
        """On the examples, each judged without itself."""
        one, other = before.left_out()[0], after.left_out()[0]
        groups = alike(before.known()[0][one.rows])
        said, now, true = (each.astype(float) for each in (one.probability, other.probability, one.scores))
        return replace(cls.of("examples", said, now, true, groups), scores=len(one.rows))

    @property
    def worse(self) -> bool:
        """Whether it got worse by more than noise."""
        return self.after is not None and self.change > ONE_SIDED * self.doubt

    @property
    def refusal(self) -> str | None:
        """Why what was compared should not be applied; None when nothing speaks against it."""
        if self.before is None or self.after is None:
            requests = "1 request has" if self.groups == 1 else f"{self.groups} different requests have"
            return f"only {requests} a score, {LEAST} are needed, so that some can be held out to test what is learnt"
        if not self.worse:
            return None
        return (
            f"on held-out {self.told_by} the new judge is worse by more than noise: Brier "
            f"{self.after.brier:.4f} against {self.before.brier:.4f} (difference {self.change:+.4f}, standard "
            f"error {self.doubt:.4f})"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "told_by": self.told_by,
            "scores": self.scores,
            "groups": self.groups,
            "before": self.before.to_json() if self.before else None,
            "after": self.after.to_json() if self.after else None,
            "change": {"brier": self.change, "standard_error": self.doubt},
            "unsaid": dict(self.unsaid),
        }


@dataclass(frozen=True)  # without slots, for what is worked out once
class HeldOut:
    """Scored requests in folds, each of which is asked about by judges that have not seen it."""

    lessons: Lessons
    named: list[Outcomes]
    """The registry's own outcomes."""
    serving: list[Outcomes]
    """The edition that serves, if any."""
    told: Outcomes
    """All fresh requests that were scored."""
    progress: Stage

    @property
    def enough(self) -> bool:
        """Whether they tell anything about others."""
        return self.count >= LEAST

    @property
    def count(self) -> int:
        """How many groups of alike ones there are."""
        return len(np.unique(self._groups[: len(self._tried)]))

    def compared(self, learnt: Outcomes, rest: Outcomes) -> Comparison:
        """Before and after learning from `learnt`, which is all of `told` or none of it, and from `rest`.

        To learn of an expert of which what serves says nothing is no gain, and would hide what gets worse; nought is
        what was said of it only where there is too little else to compare.
        """
        tried = self._tried
        if not self.enough:
            return Comparison("requests", int((~np.isnan(tried.scores)).sum()), self.count)
        after, own = np.full(tried.scores.shape, np.nan), self._folds[0]
        beyond = self.told.take(np.arange(len(tried), len(self.told)))  # too many to be tried: all are learnt from
        taught = None if len(learnt) else self.lessons.fit([*self.named, rest])  # has seen none of them
        for held in self._asked_folds("trying"):
            left = own == held
            parts = [*self.named, tried.take(~left), beyond, rest]
            after[left] = _asked(taught or self.lessons.fit(parts), tried.take(left))
        groups, scores, unsaid = self._groups[: len(tried)], tried.scores.astype(float), dict[str, int]()
        said = np.where(np.isnan(self._before), np.nan, scores)
        if len(np.unique(groups[~np.isnan(said).all(axis=1)])) >= LEAST:
            lost = (~np.isnan(scores) & np.isnan(said)).sum(axis=0).tolist()
            unsaid = {expert: count for expert, count in zip(tried.experts, lost, strict=True) if count}
            scores = said
        before = np.nan_to_num(self._before)
        return replace(Comparison.of("requests", before, np.nan_to_num(after), scores, groups), unsaid=unsaid)

    @cached_property
    def _before(self) -> Doubles:
        """What the judge that serves says (n, m) of those that are tried; NaN where that is nothing."""
        own, others = self._folds
        before = np.full(self._tried.scores.shape, np.nan)
        taught = None if self.serving else self.lessons.fit(self.named)  # has seen none of them
        for held in self._asked_folds("asking what serves"):
            left = own == held
            kept = [each.take(which != held) for each, which in zip(self.serving, others, strict=True)]
            before[left] = _asked(taught or self.lessons.fit([*self.named, *kept]), self._tried.take(left))
        return before

    @cached_property
    def _tried(self) -> Outcomes:
        return self.told.take(np.arange(min(len(self.told), MOST_TRIED)))

    @cached_property
    def _groups(self) -> Indices:
        """(n + s,) of those that are tried and those of the edition that serves."""
        if not len(self._tried):
            return np.empty(0, np.intp)
        return alike(np.concatenate([self._tried.vectors, *(each.vectors for each in self.serving)]))

    @cached_property
    def _folds(self) -> tuple[Indices, list[Indices]]:
        """Of those that are tried (n,), and of each part of the edition; groups whole, folds about equally large."""
        names, index = np.unique(self._groups, return_inverse=True)
        fold: Indices = np.random.default_rng(0).permutation(len(names))[index] % FOLDS
        ends = np.cumsum([len(self._tried), *(len(each) for each in self.serving)])[:-1]
        own, *others = np.split(fold, ends)
        return own, others

    def _asked_folds(self, what: str) -> Iterator[int]:
        """The folds that hold any of those that are tried."""
        for held in range(FOLDS):
            self.progress(what, held, FOLDS)
            if (self._folds[0] == held).any():
                yield held
        self.progress(what, FOLDS, FOLDS)


def _asked(judge: Judge, outcomes: Outcomes) -> Doubles:
    """What a judge says (n, m) of the experts of `outcomes`; NaN of one it knows nothing of."""
    said = judge.predict_proba(outcomes.vectors, outcomes.features)
    names = judge.classes_.tolist()
    found = np.full(outcomes.scores.shape, np.nan)
    for column, expert in enumerate(outcomes.experts):
        if expert in names:
            found[:, column] = said[:, names.index(expert)]
    return found


def mean_by_group(values: Doubles, groups: Indices) -> tuple[float, float]:
    """Mean of values (n,) and its standard error when those of one group are not independent."""
    mean = float(values.mean())
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], values - mean)
    count = len(sums)
    error = float(np.sqrt((sums**2).sum() * count / max(count - 1, 1))) / len(values)
    return mean, error
