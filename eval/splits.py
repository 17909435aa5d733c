"""What is fitted on and what is scored, without leaks: near-duplicates never stand on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]
Floats = NDArray[np.float32]

ALIKE: Final = 0.9
"""Cosine above which two requests count as one asked twice."""

_BLOCK: Final = 1024


@dataclass(frozen=True, slots=True)
class Fold:
    """One fit and what it is scored on; (n,) each, never both true."""

    train: Bools
    test: Bools


def near_duplicates(vectors: Floats) -> Indices:
    """A group (n,) for each unit vector (n, d): two that are alike, directly or through others, share one."""
    group = np.arange(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        alike = vectors[start : start + _BLOCK] @ vectors[: start + _BLOCK].T > ALIKE
        for row in np.flatnonzero(alike.sum(axis=1) > 1):
            own = np.unique(group[: start + _BLOCK][alike[row]])
            if len(own) > 1:
                group[np.isin(group, own)] = own[0]
    return group


def near_any(vectors: Floats, others: Floats) -> Bools:
    """Whether each unit vector (n, d) is alike to any of the others (m, d): (n,)."""
    blocks = [vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK)]
    return np.concatenate([np.zeros(0, bool), *((block @ others.T > ALIKE).any(axis=1) for block in blocks)])


def by_folds(group: Indices, folds: int, seed: int) -> list[Fold]:
    """Every request tested once, groups kept whole, folds of about the same size."""
    names, index, sizes = np.unique(group, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]  # large groups first, so that small ones even out
    filled, fold = np.zeros(folds), np.empty(len(names), np.intp)
    for name in order:
        fold[name] = filled.argmin()
        filled[fold[name]] += sizes[name]
    return [_apart(fold[index] == each, group) for each in range(folds)]


def by_count(group: Indices, train: int, seed: int) -> list[Fold]:
    """As near to `train` requests to fit on as whole groups allow, never more; the rest is tested."""
    names, index, sizes = np.unique(group, return_inverse=True, return_counts=True)
    chosen, room = np.zeros(len(names), bool), train
    for name in np.random.default_rng(seed).permutation(len(names)):
        if sizes[name] <= room:
            chosen[name] = True
            room -= sizes[name]
    return [_apart(~chosen[index], group)]


def by_task(tasks: Sequence[str], group: Indices, folds: int, seed: int) -> list[Fold]:
    """Whole tasks left out: every request is judged by a fit that has seen nothing of its task."""
    names, index = np.unique(np.asarray(tasks, np.str_), return_inverse=True)
    fold = (np.random.default_rng(seed).permutation(len(names)) % folds)[index]
    return [_apart(fold == each, group) for each in range(min(folds, len(names)))]


def as_given(test: Bools, group: Indices) -> list[Fold]:
    """The file's own split."""
    return [_apart(test, group)]


def _apart(test: Bools, group: Indices) -> Fold:
    """Everything that is not tested and has no near-duplicate among what is."""
    return Fold(~np.isin(group, group[test]), test)
