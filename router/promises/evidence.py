"""What a promise rests on: judgements of requests that the judge had not seen, and what was lost by each choice. Pure.

Outcomes of the fallback and of others on the same requests say what is lost; without enough of them the labelled
examples stand in, where an expert loses everything on a request that is not of its domain and nothing on one that is.
Scores from use stand beside these, against a fallback taken to be perfect: whoever says that an expert answers badly is
heard, though nobody asked the fallback. Praise of nearly the same request counts once, wherever it is from; beside
outcomes it counts only where the fallback was asked too. What is counted is what traffic has to be like, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from experts.spec import Registry
from router.judge import Judge
from router.ladder import Bulk, Ladder
from router.learn.certify import GRID, LITTLE, Tally
from router.learn.evidence import LeftOut, sample
from router.rule import PLACES

Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]
Bools = NDArray[np.bool_]

SURE: Final = 1 / (1 + np.exp(-np.linspace(9, -3, 241)))
"""Probabilities that are tried as thresholds, strict first; the finest steps are where experts are sure."""


def thresholds(beyond: str | None) -> Doubles:
    """Thresholds to try, strict first; fixed, whatever the requests are. With `beyond`, on how far beyond P(beyond)."""
    return np.unique(np.round(GRID if beyond else SURE, PLACES))[::-1]


def laxest(beyond: str | None) -> float:
    """The threshold beyond which `LITTLE` lets no promise go; without outcomes the fallback is taken as perfect."""
    return -LITTLE if beyond else 1 - LITTLE


def capped(threshold: float, beyond: str | None) -> str | None:
    """Why a laxer threshold was not even tried; None where one was, and failed."""
    tried = thresholds(beyond)
    if threshold > tried[tried >= laxest(beyond)].min():
        return None
    if beyond is None:
        return f"no lower than {laxest(beyond):g}: made from examples alone, which count the fallback as perfect"
    return f"no further below P({beyond}) than {LITTLE:g}, whatever others make good"


@dataclass(frozen=True, slots=True)
class Evidence:
    """n requests and m experts, from small to large."""

    source: Literal["outcomes", "examples"]
    experts: tuple[str, ...]
    bulks: tuple[Bulk, ...]
    """(m,), the same for experts that are equally small: of those the most probable is chosen."""
    fallback: str
    probability: Doubles
    """(n, m), of a judge that had not seen the request."""
    known: Doubles
    """(n,)."""
    losses: Doubles
    """(n, m) in [-1, 1], what is lost when an expert answers instead of the fallback; nought for the fallback."""
    vectors: NDArray[np.float32]
    """(k, d), a sample of the vectors of these very requests: what is promised holds for requests like them."""
    learnt_by_heart: bool = False
    """Whether the encoder was tuned on them, so that it tells them apart better than requests to come."""

    def __len__(self) -> int:
        return len(self.known)

    @property
    def beyond(self) -> str | None:
        """The fallback, where an expert's probability is weighed against the fallback's own."""
        return self.fallback if self.source == "outcomes" else None

    @property
    def laxest(self) -> float:
        """The laxest threshold that may be promised."""
        return laxest(self.beyond)

    @property
    def grid(self) -> Doubles:
        """Thresholds to try, strict first."""
        return thresholds(self.beyond)

    def take(self, rows: Indices) -> Evidence:
        """Some of the requests; what traffic shall be like stays."""
        return replace(self, probability=self.probability[rows], known=self.known[rows], losses=self.losses[rows])

    def choices(self, out_of_domain: float) -> Iterator[tuple[float, Indices]]:
        """Each threshold of the grid with the column (n,) that it chooses, m where nobody reaches it."""
        choose = self.chooser(out_of_domain)
        for threshold in self.grid:
            yield float(threshold), choose(float(threshold))

    def chooser(self, out_of_domain: float) -> Callable[[float], Indices]:
        """From a threshold to the column (n,) that it chooses, m where nobody reaches it: as `decide` does."""
        margin = self.probability
        if self.beyond:
            margin = margin - self.probability[:, [self.experts.index(self.fallback)]]
        margin = np.where(self.known[:, None] >= out_of_domain, margin, -np.inf)
        starts = [at for at, bulk_ in enumerate(self.bulks) if at == 0 or bulk_ != self.bulks[at - 1]]
        reach = np.maximum.accumulate(np.maximum.reduceat(margin, starts, axis=1), axis=1)
        best = [
            start + self.probability[:, start:end].argmax(axis=1)
            for start, end in zip(starts, [*starts[1:], len(self.experts)], strict=True)
        ]
        columns = np.stack([*best, np.full(len(self), len(self.experts))], axis=1)
        rows = np.arange(len(self))
        return lambda threshold: columns[rows, (reach < threshold).sum(axis=1)]

    def tallies(self, out_of_domain: float, seed: int = 0) -> Iterator[Tally]:
        """What each threshold keeps and loses, with losses between -1, 0 and 1 rounded at random."""
        n, own = len(self), [*(name != self.fallback for name in self.experts), False]
        lost = np.hstack([self.losses, np.zeros((n, 1))])
        down = np.floor(lost)
        whole = down + (np.random.default_rng(seed).random((n, 1)) < lost - down)
        rows = np.arange(n)
        for threshold, chosen in self.choices(out_of_domain):
            taken = whole[rows, chosen]
            yield Tally(
                threshold,
                int(np.asarray(own)[chosen].sum()),
                int((taken == 1).sum()),
                int((taken == -1).sum()),
                float(lost[rows, chosen].sum()),
            )


def losses_of(scores: Doubles, experts: Sequence[str], fallback: str, *, perfect: bool = False) -> Doubles:
    """What is lost (n, m) when an expert answers instead of the fallback, whose own scores are a column or `perfect`.

    An expert whose score (n, m) is unknown scored nothing, and a fallback whose is unknown would have been perfect.
    """
    own = np.array([name == fallback for name in experts], bool)
    base = np.ones((len(scores), 1)) if perfect else np.nan_to_num(scores[:, own], nan=1)
    losses: Doubles = np.where(own, 0.0, base - np.nan_to_num(scores))
    return losses


def evidence_of(judge: Judge, registry: Registry, least: int, *, blame: bool = True) -> Evidence:
    """The evidence for a registry's promises: paired outcomes where so many differ, else examples and scores.

    Beside outcomes, scores below 1 of requests that nobody asked the fallback count too; not without `blame`, for who
    asks how many requests go where, and not what is lost by it, wants no requests picked by how they were answered.
    """
    examples, outcomes = judge.left_out()
    names = judge.classes_.tolist()
    small = [at for at, name in enumerate(names) if name != registry.fallback]
    scored = np.asarray(~np.isnan(outcomes.scores[:, small]).all(axis=1))
    if registry.fallback in names:
        compared = ~np.isnan(outcomes.scores[:, names.index(registry.fallback)])
        paired = scored & compared
        if (paired & outcomes.once).sum() >= least:
            blamed = (outcomes.scores[:, small] < 1).any(axis=1) & ~compared & outcomes.once
            return _evidence("outcomes", _of(outcomes, paired | (blamed & blame)), names, registry)
    told = _beside(_of(examples, examples.once), _of(outcomes, scored & outcomes.once))
    return replace(_evidence("examples", told, names, registry), learnt_by_heart=judge.sureness != 1)


def _of(told: LeftOut, which: Bools) -> LeftOut:
    """What some of the rows (r,) tell."""
    return LeftOut(**{name: each[which] for name, each in told.state().items()})


def _beside(examples: LeftOut, scored: LeftOut) -> LeftOut:
    """Both together."""
    one, other = examples.state(), scored.state()
    return LeftOut(**{name: np.concatenate([one[name], other[name]]) for name in one})


def _evidence(source: Literal["outcomes", "examples"], told: LeftOut, names: list[str], registry: Registry) -> Evidence:
    """What it tells, experts from small to large."""
    ladder = Ladder.of(registry)
    order = [names.index(name) for name in ladder.experts if name in names]
    experts = tuple(names[at] for at in order)
    scores = told.scores[:, order].astype(float)
    return Evidence(
        source,
        experts,
        tuple(ladder.bulk[name] for name in experts),
        registry.fallback,
        told.probability[:, order].astype(float),
        told.known,
        losses_of(scores, experts, registry.fallback, perfect=source == "examples"),
        sample(told.vectors).astype(np.float32),
    )
