"""What a judge is fitted on besides examples: outcomes, which say how well each expert answered. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from experts.fitted import State

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]
Doubles = NDArray[np.float64]
Labels = NDArray[np.str_]
Which = NDArray[np.intp] | NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """n requests and how well m experts answered them. No word of a request is needed, so none is kept."""

    experts: tuple[str, ...]
    """(m,) their ids."""
    vectors: Floats
    """(n, d), unit vectors by the encoder that serves."""
    features: Floats
    """(n, f), by `router.learn.surface`."""
    scores: Floats
    """(n, m) in [0, 1], NaN where an expert was not asked; all of them where only the request is known."""
    tasks: Labels | None = None
    """(n,) where each request comes from; read when fitting only."""
    costs: Doubles | None = None
    """(n, m), NaN where unknown."""

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: Which) -> Outcomes:
        """Some of the requests."""
        return Outcomes(
            self.experts,
            self.vectors[rows],
            self.features[rows],
            self.scores[rows],
            None if self.tasks is None else self.tasks[rows],
            None if self.costs is None else self.costs[rows],
        )

    def of(self, experts: Collection[str]) -> Outcomes:
        """What is told of these experts only: one that nobody asked is left out, as is a request none of them got."""
        told = ~np.isnan(self.scores)
        columns = [at for at, name in enumerate(self.experts) if name in experts and told[:, at].any()]
        rows = np.flatnonzero(told[:, columns].any(axis=1))
        kept = self.take(rows)
        return Outcomes(
            tuple(self.experts[at] for at in columns),
            kept.vectors,
            kept.features,
            np.ascontiguousarray(kept.scores[:, columns]),
            kept.tasks,
            None if kept.costs is None else kept.costs[:, columns],
        )

    def rest(self, experts: Collection[str]) -> Outcomes:
        """The requests that `of` leaves out: nobody told how well any of these experts answered them."""
        theirs = [at for at, name in enumerate(self.experts) if name in experts]
        rows = np.flatnonzero(np.isnan(self.scores[:, theirs]).all(axis=1))
        return unscored(self.vectors[rows], self.features[rows])


def unscored(vectors: Floats, features: Floats) -> Outcomes:
    """Requests (n, d), (n, f) of which no more is known: they tell where domains lie, not how good an expert is."""
    return Outcomes((), vectors, features, np.empty((len(vectors), 0), np.float32))


ALIKE: Final = 0.95
"""Cosine from which on two requests are taken for the same one when one of them must not have been seen."""

_BLOCK: Final = 512
"""Vectors that are compared with all others at once."""

SAMPLED: Final = 2000
"""Vectors that are enough to know what requests are like."""


def sample(vectors: Halves | Floats) -> Halves | Floats:
    """As many of the vectors (n, d) as are enough, taken evenly."""
    found: Halves | Floats = vectors[np.linspace(0, len(vectors) - 1, min(len(vectors), SAMPLED)).round().astype(int)]
    return found


def alike(vectors: Floats) -> NDArray[np.intp]:
    """A group (n,) for each unit vector (n, d): that of the first earlier one it is nearly the same as, or its own."""
    group = np.arange(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        near = block @ vectors[: start + len(block)].T >= ALIKE
        near &= np.arange(start + len(block)) < np.arange(start, start + len(block))[:, None]
        first = near.argmax(axis=1)
        for row in np.flatnonzero(near.any(axis=1)):
            group[start + row] = group[first[row]]
    return group


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What judges say of r requests they have not seen: what promises about requests to come may be made on."""

    rows: NDArray[np.intp]
    """(r,) which of the requests; of very many only some are judged so."""
    probability: Floats
    """(r, m) that each of the judge's experts, in its order, answers well."""
    known: Doubles
    """(r,) conformal p-values that a request belongs to a known domain."""
    scores: Floats
    """(r, m) what was true, NaN where an expert was not asked; an example is answered well by its domain's experts."""
    once: NDArray[np.bool_]
    """(r,) whether no example before it of the same label is nearly the same; of outcomes, whether it is no praise that
    an example or an outcome before it gave already."""
    vectors: Halves | Floats
    """(r, d) of these requests, so that whatever is made of some of them can tell what is like those. Of outcomes in
    half precision: ten thousand are eight megabytes."""

    @classmethod
    def of_nobody(cls, experts: int, dimensions: int) -> LeftOut:
        """Of no request at all, by a judge of so many experts."""
        nothing = np.empty((0, experts), np.float32)
        vectors = np.empty((0, dimensions), np.float32)
        return cls(np.empty(0, np.intp), nothing, np.empty(0), nothing, np.empty(0, bool), vectors)

    def state(self) -> State:
        """Everything by name, to be kept."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def said_by(labels: Labels, domains: Labels, experts: int) -> Floats:
    """What examples of domains `labels` (r,) say of every expert (r, m): 1 of those of its domain, 0 of other domains'.

    `domains` (b,) are those of the first experts; of the rest nothing is said, NaN.
    """
    scores = np.full((len(labels), experts), np.nan, np.float32)
    scores[:, : len(domains)] = labels[:, None] == domains
    return scores


def joined(parts: list[Outcomes]) -> Outcomes | None:
    """Outcomes of several sources as one; None of none. Tasks count only where every source tells them."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return None
    experts = tuple(dict.fromkeys(expert for part in parts for expert in part.experts))
    tasks = [part.tasks for part in parts if part.tasks is not None]
    return Outcomes(
        experts,
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.features for part in parts]),
        np.concatenate([_spread(part, experts) for part in parts]),
        np.concatenate(tasks) if len(tasks) == len(parts) else None,
    )


def _spread(part: Outcomes, experts: tuple[str, ...]) -> NDArray[np.float32]:
    scores = np.full((len(part), len(experts)), np.nan, np.float32)
    scores[:, [experts.index(expert) for expert in part.experts]] = part.scores
    return scores
