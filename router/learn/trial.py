"""What would change if the judge learnt from use: figures on requests it has not seen, before and after.

Both judges are fitted anew without a fold of requests and asked about it, also the one that serves, for what it was
fitted on may hold the same requests. Requests that are nearly alike share a fold.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from experts.spec import Registry
from router.judge import Judge
from router.learn.evidence import Outcomes, alike
from router.learn.fit import Lessons
from router.learn.harvest import Traffic
from router.learn.moves import RECENT, moves
from router.learn.surface import surfaces
from router.promises.promises import Promises

Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]

FOLDS: Final = 5
MOST_TRIED: Final = 4000
"""Requests held out in turn, the newest."""

LEAST: Final = 20
"""Groups of alike requests with a known score; fewer tell nothing about others."""

ONE_SIDED: Final = 1.645
"""Standard errors, 95 % on one side."""

_BINS: Final = 10

Progress = Callable[[str, int, int], None]
"""What is done, how much of it, of how much."""


Promise = Callable[[Judge, Promises | None], Promises]
"""What the registry's policies promise by a judge: by the one that serves, or by one in place of what serves."""

States = dict[str, dict[str, str | None]]


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
        return {"brier": round(self.brier, 5), "ece": round(self.ece, 5)}


@dataclass(frozen=True, slots=True)
class Trial:
    """The whole comparison."""

    scores: int
    """Known scores that were held out."""
    groups: int
    """Of requests that are alike."""
    before: Figures | None
    after: Figures | None
    """None when too few scores are known to hold some out."""
    change: float
    """Of the Brier score, negative is better."""
    doubt: float
    """Its standard error, over groups."""
    asked: int
    """Recent requests looked at."""
    moved: Counter[tuple[str, str]]
    """How many of them would go from one expert to another."""
    examples: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By domain and `OUTSIDE`, how many of its examples would go elsewhere under the default policy, of how many."""
    left: Mapping[str, Counter[str]] = field(default_factory=dict)
    """By domain, its experts and how many of its examples would leave each of them for one of another domain."""
    promised: tuple[States, States] = ({}, {})
    """Which policies' promises can be kept, before and after."""
    told_by: str = "requests"
    """What was held out: requests, or examples where nobody scored any request."""

    @property
    def worse(self) -> bool:
        """Whether it got worse by more than noise."""
        return self.after is not None and self.change > ONE_SIDED * self.doubt

    @property
    def refusal(self) -> str | None:
        """Why it should not be applied; None when nothing speaks against it."""
        if self.after is None:
            return (
                f"only {self.groups} different requests have a score, {LEAST} are needed to hold some out and see "
                "whether what is learnt holds"
            )
        if self.worse and self.before is not None:
            return (
                f"on {self.told_by} it had not seen, the new judge is worse by more than noise: Brier "
                f"{self.after.brier:.4f} against {self.before.brier:.4f} (difference {self.change:+.4f}, standard "
                f"error {self.doubt:.4f})"
            )
        if leaving := list(self._leaving()):
            return f"more than half of an expert's own examples would go to others: {', '.join(leaving)}"
        return None

    def _leaving(self) -> Iterator[str]:
        """Experts that would lose most of their domain's examples, and how many."""
        for label, left in self.left.items():
            of = self.examples[label][1]
            for expert, count in left.items():
                if count > of / 2:
                    yield f"{expert} loses {count:,} of {of:,} ({count / of:.0%})"

    def to_json(self) -> dict[str, Any]:
        """As `shoal learn try --json` prints it."""
        moved = [{"from": a, "to": b, "requests": n} for (a, b), n in self.moved.most_common()]
        return {
            "told_by": self.told_by,
            "scores": self.scores,
            "groups": self.groups,
            "before": self.before.to_json() if self.before else None,
            "after": self.after.to_json() if self.after else None,
            "change": {"brier": round(self.change, 5), "standard_error": round(self.doubt, 5)},
            "asked": self.asked,
            "moved": moved,
            "examples": [
                {"domain": label, "elsewhere": gone, "of": count} for label, (gone, count) in self.examples.items()
            ],
            "promises": {"before": self.promised[0], "after": self.promised[1]},
            "refusal": self.refusal,
        }


def attempt(
    registry: Registry,
    lessons: Lessons,
    named: list[Outcomes],
    serving: list[Outcomes],
    fresh: Outcomes,
    traffic: Traffic,
    promise: Promise,
    progress: Progress,
) -> Trial:
    """Compare the judge that serves, fitted on `named` and `serving`, with one fitted on `named` and `fresh`.

    `named` are the registry's own outcomes, `serving` is the edition that serves, if any. Where nobody scored any of
    the fresh requests, the examples tell whether it got worse, each judged without itself.
    """
    told, rest = fresh.of(lessons.experts), fresh.unscored(lessons.experts)
    tried = told.take(np.arange(min(len(told), MOST_TRIED)))
    groups = alike(np.concatenate([tried.vectors, *(each.vectors for each in serving)])) if len(tried) else np.empty(0)
    count, scores = len(np.unique(groups[: len(tried)])), int((~np.isnan(tried.scores)).sum())
    figures: tuple[Figures | None, Figures | None, float, float] = (None, None, 0.0, 0.0)
    if count >= LEAST:
        figures = _held_out(lessons, named, serving, (tried, told, rest), groups.astype(np.intp), progress)
    progress("choosing", 0, 2)
    before = lessons.fit([*named, *serving])
    progress("choosing", 1, 2)
    after = lessons.fit([*named, told, rest])
    told_by = "requests" if len(told) or not lessons.texts else "examples"
    if told_by == "examples":
        scores, count, figures = _of_examples(before, after)
    served = promise(before, None)
    rules = served, promise(after, served)
    moved = moves(registry, (before, after), rules, traffic)
    examples, left = {}, {}
    for label, own in _by_domain(lessons):
        gone = moves(registry, (before, after), rules, own)
        examples[label] = gone.total(), len(own.policies)
        left[label] = _left(gone, {expert for expert, theirs in lessons.experts.items() if theirs == label})
    progress("choosing", 2, 2)
    asked = min(len(traffic.policies), RECENT)
    return Trial(scores, count, *figures, asked, moved, examples, left, (rules[0].states(), rules[1].states()), told_by)


def _by_domain(lessons: Lessons) -> Iterator[tuple[str, Traffic]]:
    """Each domain with its examples as traffic of the default policy; of many, so many evenly."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, label in enumerate(lessons.labels):
        rows[label].append(row)
    for label, every in rows.items():
        own = every[:: -(-len(every) // RECENT)]
        yield label, Traffic(lessons.vectors[own], surfaces([lessons.texts[row] for row in own]), ("",) * len(own))


def _left(moved: Counter[tuple[str, str]], own: set[str]) -> Counter[str]:
    """Of a domain's examples, how many leave each of its own experts for one that is not."""
    left: Counter[str] = Counter()
    for (one, other), count in moved.items():
        if one in own and other not in own:
            left[one] += count
    return left


def _held_out(
    lessons: Lessons,
    named: list[Outcomes],
    serving: list[Outcomes],
    fresh: tuple[Outcomes, Outcomes, Outcomes],
    groups: Indices,
    progress: Progress,
) -> tuple[Figures, Figures, float, float]:
    """Figures before and after, the change of the Brier score and its standard error.

    `fresh` are the requests that are tried, all that were scored, and all that were not.
    """
    tried, told, rest = fresh
    beyond = told.take(np.arange(len(tried), len(told)))  # too many to be tried; all that is learnt from them is kept
    fold = _folds(groups)
    own, others = fold[: len(tried)], np.split(fold[len(tried) :], np.cumsum([len(each) for each in serving])[:-1])
    before, after = (np.full(tried.scores.shape, np.nan) for _ in range(2))
    taught = lessons.fit(named) if not serving else None  # has seen none of the requests, so it serves every fold
    for held in range(FOLDS):
        progress("trying", held, FOLDS)
        left = own == held
        if not left.any():
            continue
        left_out = tried.take(left)
        kept = [each.take(which != held) for each, which in zip(serving, others, strict=True)] if serving else []
        before[left] = _asked(taught or lessons.fit([*named, *kept]), left_out)
        after[left] = _asked(lessons.fit([*named, tried.take(~left), beyond, rest]), left_out)
    progress("trying", FOLDS, FOLDS)
    return _compared(before, after, tried.scores.astype(float), groups[: len(tried)])


def _of_examples(before: Judge, after: Judge) -> tuple[int, int, tuple[Figures, Figures, float, float]]:
    """How many examples say so, of how many groups of alike ones, and the same figures of them."""
    one, other = before.left_out()[0], after.left_out()[0]
    groups = alike(before.known()[0][one.rows])
    figures = _compared(
        one.probability.astype(float), other.probability.astype(float), one.scores.astype(float), groups
    )
    return len(one.rows), len(np.unique(groups)), figures


def _folds(groups: Indices) -> Indices:
    """A fold for each row, groups whole, folds about equally large."""
    names, index = np.unique(groups, return_inverse=True)
    fold: Indices = np.random.default_rng(0).permutation(len(names))[index] % FOLDS
    return fold


def _asked(judge: Judge, outcomes: Outcomes) -> Doubles:
    """What a judge says (n, m) of the experts of `outcomes`; nought for one it knows nothing of."""
    said = judge.predict_proba(outcomes.vectors, outcomes.features)
    names = judge.classes_.tolist()
    found = np.zeros(outcomes.scores.shape)
    for column, expert in enumerate(outcomes.experts):
        if expert in names:
            found[:, column] = said[:, names.index(expert)]
    return found


def _compared(
    before: Doubles, after: Doubles, scores: Doubles, groups: Indices
) -> tuple[Figures, Figures, float, float]:
    told = ~np.isnan(scores)
    one, other, score = before[told], after[told], scores[told]
    better = (other - score) ** 2 - (one - score) ** 2
    change, doubt = mean_by_group(better, np.broadcast_to(groups[:, None], scores.shape)[told])
    return Figures.of(one, score), Figures.of(other, score), change, doubt


def mean_by_group(values: Doubles, groups: Indices) -> tuple[float, float]:
    """Mean of values (n,) and its standard error when those of one group are not independent."""
    mean = float(values.mean())
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], values - mean)
    count = len(sums)
    error = float(np.sqrt((sums**2).sum() * count / max(count - 1, 1))) / len(values)
    return mean, error
