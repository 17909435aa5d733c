"""What is fitted on and what is scored, without leaks: near-duplicates never stand on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experts.alike import Bools, Indices


@dataclass(frozen=True, slots=True)
class Fold:
    """One fit and what it is scored on; (n,) each, never both true."""

    train: Bools
    test: Bools


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
