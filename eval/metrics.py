"""Figures of merit. Pure: arrays in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BINS: Final = 15
"""Of calibration errors, as many as Guo and others (2017) take."""


def auroc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Probability that a positive scores above a negative, ties counting half (Mann-Whitney U)."""
    values, truth = np.asarray(scores, float), np.asarray(positive, bool)
    if truth.all() or not truth.any():
        return float("nan")
    ranks = _mean_ranks(values)
    n, m = int(truth.sum()), int((~truth).sum())
    return float((ranks[truth].sum() - n * (n + 1) / 2) / (n * m))


def fpr_at(scores: ArrayLike, positive: ArrayLike, kept: float = 0.95) -> float:
    """Share of negatives that pass a threshold which keeps the share `kept` of the positives."""
    values, truth = np.asarray(scores, float), np.asarray(positive, bool)
    if truth.all() or not truth.any():
        return float("nan")
    passing = np.sort(values[truth])[::-1]
    threshold = passing[int(np.ceil(kept * len(passing))) - 1]
    return float((values[~truth] >= threshold).mean())


def ece(probabilities: ArrayLike, right: ArrayLike) -> float:
    """Expected calibration error over equal-width bins (Naeini, Cooper, Hauskrecht 2015); `right` may be fractions."""
    claims = np.size(probabilities)
    bins = reliability(probabilities, right)
    return float(sum(abs(each["confidence"] - each["right"]) * (each["claims"] / claims) for each in bins))


def reliability(probabilities: ArrayLike, right: ArrayLike) -> list[dict[str, float]]:
    """What the bins of `ece` hold, the empty ones left out: mean confidence, share right, how many claims."""
    confidence, truth = np.asarray(probabilities, float), np.asarray(right, float)
    index = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    return [
        {"confidence": float(confidence[here].mean()), "right": float(truth[here].mean()), "claims": int(here.sum())}
        for here in (index == each for each in range(BINS))
        if here.any()
    ]


def mass_ece(probabilities: ArrayLike, right: ArrayLike) -> float:
    """As `ece`, over bins that hold the same number of claims."""
    confidence, truth = np.asarray(probabilities, float), np.asarray(right, float)
    parts = [here for here in np.array_split(np.argsort(confidence, kind="stable"), BINS) if len(here)]
    return float(sum(abs(confidence[here].mean() - truth[here].mean()) * len(here) for here in parts) / len(confidence))


@dataclass(frozen=True, slots=True)
class Abstention:
    """In-scope accuracy and out-of-scope recall when everything below `threshold` is sent away."""

    threshold: float
    in_scope_accuracy: float
    recall: float


def abstain_at(threshold: float, scores: Floats, right: Bools, in_scope: Bools) -> Abstention:
    """The pair at one threshold; a request kept back counts as wrong when it was in scope."""
    kept = scores >= threshold
    accuracy = float((kept & right)[in_scope].mean()) if in_scope.any() else float("nan")
    recall = float((~kept)[~in_scope].mean()) if (~in_scope).any() else float("nan")
    return Abstention(threshold, accuracy, recall)


def best_threshold(scores: Floats, right: Bools, in_scope: Bools, *, balanced: bool = False) -> float:
    """The threshold with most requests handled well; `balanced` gives in scope and out of scope equal weight."""
    order = np.argsort(scores)
    ordered, good = scores[order], np.where(in_scope, right, False)[order].astype(float)
    out = (~in_scope)[order].astype(float)
    if balanced:
        good, out = good / max(in_scope.sum(), 1), out / max((~in_scope).sum(), 1)
    # With the threshold just above the first k scores, those k are sent away and the rest are kept.
    handled = np.concatenate([[0.0], np.cumsum(out)]) + good.sum() - np.concatenate([[0.0], np.cumsum(good)])
    k = int(handled.argmax())
    if k == 0:
        return float(ordered[0])
    return float((ordered[k - 1] + ordered[k]) / 2) if k < len(ordered) else float(np.nextafter(ordered[-1], np.inf))


def _mean_ranks(values: Floats) -> Floats:
    """Ranks from 1, ties sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]
