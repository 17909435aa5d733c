"""Requests that are known twice: as examples and from outcomes, or as two examples that differ in a word. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from router.learn.evidence import ALIKE, Floats

Indices = NDArray[np.intp]

FOLDS: Final = 3

MOST: Final = 10_000
"""Outcomes that are enough to learn from when many are apart."""

TWICE: Final = 0.9
"""Cosine above which two examples of one label are one request written twice, as the harness has it too."""

FEWEST: Final = 5
"""Examples that differ, below which an expert's requests cannot be told from others with any certainty."""

PRAISE: Final = 0.5
"""The least score that speaks for an expert."""

_BLOCK: Final = 512


def written_once(vectors: Floats, labels: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Whether each of the examples (n, d) is like none before it of its label (n,).

    A thousand lines made from one template say no more about requests to come than a few of them do.
    """
    found = np.ones(len(vectors), bool)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        for start in range(0, len(own), _BLOCK):
            block = own[start : start + _BLOCK]
            cosines = vectors[block] @ vectors[own[: start + len(block)]].T
            found[block] = ~(np.tril(cosines, start - 1) > TWICE).any(axis=1)
    return found


def praised_once(vectors: Floats, scores: Floats, examples: Floats, said: Floats) -> NDArray[np.bool_]:
    """Whether each of the outcomes (n, d), (n, m) is no praise that was given before for nearly the same request.

    A template praised a thousand times is praised once, and not at all where an example (k, d) tells the same, whose
    scores are `said` (k, m). Who says that no expert answered well is heard every time. NaN is what nobody asked.
    """
    found = np.ones(len(vectors), bool)
    praise = np.flatnonzero((np.nan_to_num(scores) >= PRAISE).any(axis=1))
    tenths = np.nan_to_num(np.round(scores[praise] * 10), nan=-1)
    same = np.unique(tenths, axis=0, return_inverse=True)[1].ravel()
    found[praise] = written_once(vectors[praise], same.astype(np.str_))
    rows = praise[found[praise]]
    told = np.nan_to_num(said, nan=-1)
    for one in np.unique(told, axis=0):
        telling = examples[(told == one).all(axis=1)]
        agree = rows[((np.round(scores[rows], 1) == one) | np.isnan(scores[rows])).all(axis=1)]
        for start in range(0, len(agree), _BLOCK):
            block = agree[start : start + _BLOCK]
            found[block] &= ~(vectors[block] @ telling.T > TWICE).any(axis=1)
    return found


def too_few(vectors: Floats) -> str | None:
    """What is to be said of an expert's examples (n, d) where too few of them differ; None where enough do."""
    different = int(written_once(vectors, np.zeros(len(vectors), np.str_)).sum())
    if different >= FEWEST:
        return None
    return few_told(len(vectors), different)


def few_told(examples: int, different: int) -> str:
    """What is to be said of so few."""
    if examples == 1:
        told = "1 example is"
    else:
        told = f"{examples} examples" + (f", {different} of which differ," if different < examples else "") + " are"
    return (
        f"{told} too few to tell its requests from others: hardly any that are worded differently will be sent to it. "
        "Remedy: twenty or more, as varied as the requests to come"
    )


def repeated(examples: Floats, outcomes: Floats) -> Iterator[tuple[Indices, Indices]]:
    """Examples (n, d) that are among the outcomes (r, d) too, in folds, each with outcomes that none of it is like."""
    both = np.flatnonzero(_any_alike(examples, outcomes))
    for fold in (both[start::FOLDS] for start in range(FOLDS)):
        if len(fold):
            apart = np.flatnonzero(~_any_alike(outcomes, examples[fold]))
            yield fold, apart[:: -(-len(apart) // MOST) or 1]


def _any_alike(vectors: Floats, others: Floats) -> NDArray[np.bool_]:
    """Whether each of the unit vectors (n, d) is nearly the same as any of others (m, d)."""
    blocks = (vectors[start : start + _BLOCK] @ others.T for start in range(0, len(vectors), _BLOCK))
    found = [(block >= ALIKE).any(axis=1) for block in blocks]
    return np.concatenate(found) if found else np.empty(0, bool)
