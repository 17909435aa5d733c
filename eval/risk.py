"""Does the promise hold? Thresholds certified on half of the held-out requests, tried on the others, again and again.

A promise counts as broken when the loss seen on the others is larger than promised. What is seen on a finite number of
requests strays from what is true of all, so what is promised here is the mean of just so many (`certify.stricter`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from eval.judged import Doubles, Judged
from router.learn.certify import choose_threshold, stricter

EPSILON: Final = 0.02
DELTA: Final = 0.1
RESPLITS: Final = 200

CURVE: Final = 101
"""Points of the risk curve."""


@dataclass(frozen=True, slots=True)
class Risk:
    """How often the promise was broken, and what it allowed."""

    epsilon: float
    delta: float
    violations: float
    """Share of resplits in which the loss on the rest was larger than `epsilon`."""
    resplits: int
    kept_small: float
    """Mean share of the rest that small models kept."""
    calibration: int
    refused: float
    """Share of resplits in which nothing could be promised, so that the fallback answered everything."""

    def to_json(self) -> dict[str, Any]:
        """Everything by name."""
        return asdict(self)


def resplit(judged: Judged, fallback: int, seed: int, times: int = RESPLITS) -> Risk | None:
    """Certify and try `times` times; None when no model is cheaper than the fallback, or there is one request."""
    small = smaller(judged, fallback)
    if small is None or len(judged.scores) < 2:
        return None
    losses, keep = small
    size = len(losses) // 2
    sure = stricter(1 - DELTA, size, len(losses) - size)
    rng = np.random.default_rng(seed)
    broken, kept, refused = 0, 0.0, 0
    for again in range(times):
        order = rng.permutation(len(losses))
        seen, rest = order[:size], order[size:]
        found = choose_threshold(losses[seen], keep[seen], EPSILON, sure, seed=seed + again)
        taken = keep[rest] >= found.at if found else np.zeros(len(rest), bool)
        refused += found is None
        broken += bool((losses[rest] * taken).mean() > EPSILON)
        kept += float(taken.mean())
    return Risk(EPSILON, DELTA, broken / times, times, kept / times, size, refused / times)


def risk_curve(judged: Judged, fallback: int) -> list[dict[str, float]]:
    """What is lost against the fallback when so large a share is kept by smaller models, most promising first.

    In points of quality, over all requests; empty when no model is cheaper.
    """
    small = smaller(judged, fallback)
    if small is None:
        return []
    losses, keep = small
    lost = np.concatenate([[0.0], np.cumsum(losses[np.argsort(-keep, kind="stable")])]) / len(losses)
    at = np.unique(np.linspace(0, len(losses), CURVE).round().astype(int))
    return [{"kept_small": float(count / len(losses)), "loss": float(lost[count])} for count in at]


def smaller(judged: Judged, fallback: int) -> tuple[Doubles, Doubles] | None:
    """For each request what its best cheaper model loses against the fallback (n,), and what speaks for it (n,).

    What speaks for it is the calibrated probability less the fallback's. None when no model is cheaper.
    """
    cheaper = judged.costs_known < judged.costs_known[:, [fallback]]
    if not cheaper.any():
        return None
    likely = np.where(cheaper, judged.probability, -np.inf)
    best, rows = likely.argmax(axis=1), np.arange(len(likely))
    losses = judged.scores[:, fallback] - judged.scores[rows, best]
    return losses, (likely[rows, best] - judged.probability[:, fallback]).astype(float)
