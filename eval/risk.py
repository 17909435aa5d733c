"""Does the promise hold? Policies certified on half of the held-out requests, tried on the others, again and again.

The test is the product's own (`router.learn.certify`), and so are the choices. A promise counts as broken when the loss
seen on the others is larger than promised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any, Final

import numpy as np

from eval.drawn import SHARE, Drawn
from eval.few import FEW
from eval.judged import Judged
from experts.policy import Policy
from router.learn.certify import Tally, error_spent, last_passing, least_n, p_value
from router.promises.evidence import Bools, Doubles, Evidence, Indices, losses_of

EPSILON: Final = 0.02
DELTA: Final = 0.1
RESPLITS: Final = 200

DRAWS: Final = 100
"""Fewer than other figures have, for each is as many resplits; those of all seeds are pooled."""

POLICY: Final = Policy(max_risk=EPSILON, confidence=1 - DELTA)
"""What is promised, as a registry would say it."""


@dataclass(frozen=True, slots=True)
class Risk:
    """How often the promise was broken, and what it allowed."""

    epsilon: float
    delta: float
    violations: float
    """Share of resplits in which the loss on the rest was larger than `epsilon`."""
    resplits: int
    kept_small: float
    """Mean share of the rest that models cheaper than the fallback kept."""
    calibration: int
    refused: float
    """Share of resplits in which nothing could be promised, so that the fallback answered everything."""

    def to_json(self) -> dict[str, Any]:
        """Everything by name."""
        return asdict(self)


class Trial:
    """A promise certified on halves of n requests and tried on the others. What each of T thresholds does is laid out.

    So a half is a count of requests, and many of them are one product of matrices.
    """

    def __init__(self, evidence: Evidence) -> None:
        tried = [(at, chosen) for at, chosen in evidence.choices(POLICY.out_of_domain) if at >= evidence.laxest]
        own, cheaper = np.array([*(name != evidence.fallback for name in evidence.experts), False]), _cheaper(evidence)
        self._at = [at for at, _ in tried]
        self._small = np.stack([cheaper[chosen] for _, chosen in tried])
        self._loss = np.stack([_lost(evidence, chosen) for _, chosen in tried])
        self._between = (self._loss != np.round(self._loss)).any(axis=0)
        harms, gains = (np.where(self._between, False, self._loss == each) for each in (1, -1))
        self._counted = np.concatenate([[own[chosen] for _, chosen in tried], harms, gains]).astype(np.float32)
        self._size = len(evidence) // 2

    def resplit(self, seed: int, times: int = RESPLITS) -> Risk:
        """Certify and try `times` times."""
        return self._resplit(np.arange(self._loss.shape[1]), np.random.default_rng(seed), times)

    def drawn(self, risk: Risk, seed: int, draws: int = DRAWS) -> dict[str, Drawn]:
        """The figures of `risk`, which `resplit` gave, by their name in a plan; each draw of requests is resplit too.

        The interval covers which requests are held out and how they are split. It does not cover which judge is
        fitted: only pooled seeds do, as far as theirs differ. Nor does it cover requests of another kind.
        """
        figures = {"broken": risk.violations, "kept_small": risk.kept_small}
        size = self._loss.shape[1]
        if size < FEW:
            return {name: Drawn.of_few(value, SHARE) for name, value in figures.items()}
        rng = np.random.default_rng(seed)
        redrawn = rng.integers(0, size, (draws, size))
        again = [self._resplit(requests, rng, risk.resplits) for requests in redrawn]
        told = {"broken": [each.violations for each in again], "kept_small": [each.kept_small for each in again]}
        return {name: Drawn(value, np.array(told[name]), SHARE) for name, value in figures.items()}

    def _resplit(self, requests: Indices, rng: np.random.Generator, times: int) -> Risk:
        if self._size < least_n(EPSILON, 1 - DELTA):
            return Risk(EPSILON, DELTA, 0.0, times, 0.0, self._size, 1.0)
        orders = [requests[rng.permutation(len(requests))] for _ in range(times)]
        broken, kept, refused = 0, 0.0, 0
        for order, tallies in zip(orders, self._tallies([each[: self._size] for each in orders]), strict=True):
            found = last_passing(tallies, partial(_certifies, self._size), self._at[-1])
            if found is None:
                refused += 1
                continue
            at, rest = self._at.index(found.at), order[self._size :]
            broken += bool(self._loss[at, rest].mean() > EPSILON)
            kept += float(self._small[at, rest].mean())
        return Risk(EPSILON, DELTA, broken / times, times, kept / times, self._size, refused / times)

    def _tallies(self, halves: list[Indices]) -> Iterator[Iterator[Tally]]:
        """`Evidence.tallies` of each half (n // 2,), but for the sum of losses, which no test looks at."""
        counts = np.stack([np.bincount(half, minlength=self._loss.shape[1]) for half in halves], axis=1)
        whole = (self._counted @ counts.astype(np.float32)).astype(int).reshape(3, len(self._at), -1)
        turn = np.random.default_rng(0).random(self._size)
        for half, (kept, harms, gains) in zip(halves, whole.transpose(2, 0, 1), strict=True):
            between = self._between[half]
            loss = self._loss[:, half[between]]
            rounded = np.floor(loss) + (turn[between] < loss - np.floor(loss))
            harms, gains = harms + (rounded == 1).sum(axis=1), gains + (rounded == -1).sum(axis=1)
            counted = zip(self._at, kept.tolist(), harms.tolist(), gains.tolist(), strict=True)
            yield (Tally(*each, 0.0) for each in counted)


@cache
def _certifies(size: int, harms: int, gains: int) -> bool:
    """Whether so many harms and gains among `size` requests allow the promise."""
    error = error_spent(1 - DELTA)
    return p_value(size, harms, gains, EPSILON, error) <= error


def risk_curve(evidence: Evidence) -> list[dict[str, float]]:
    """What is lost against the fallback, in points of quality, and what smaller models keep at each threshold.

    Over all requests, from the strictest threshold to the laxest that any promise may have.
    """
    curve: list[dict[str, float]] = []
    for threshold, chosen in evidence.choices(POLICY.out_of_domain):
        if threshold < evidence.laxest:
            break
        small, loss = _seen(evidence, chosen)
        if not curve or small != curve[-1]["kept_small"] or loss != curve[-1]["loss"]:
            curve.append({"kept_small": small, "loss": loss})
    return curve


def evidence_of(judged: Judged, models: tuple[str, ...], fallback: int) -> Evidence | None:
    """What the judged requests tell a promise; None when nothing is cheaper than the fallback, or there is one request.

    Cheap models are small ones. Drift is not watched, so no vectors are needed.
    """
    costs = judged.costs_known.mean(axis=0)
    if len(judged.scores) < 2 or not (costs < costs[fallback]).any():
        return None
    order = np.argsort(costs, kind="stable")
    names = tuple(models[at] for at in order)
    losses = losses_of(judged.scores[:, order], names, models[fallback])
    bulks = tuple((float(costs[at]), 0.0) for at in order)
    probability = judged.probability[:, order].astype(float)
    nothing = np.empty((0, 0), np.float32)
    return Evidence("outcomes", names, bulks, models[fallback], probability, judged.known, losses, nothing)


def _seen(evidence: Evidence, chosen: Indices) -> tuple[float, float]:
    """The share that models cheaper than the fallback keep when these columns (n,) are chosen, and the mean loss."""
    return float(_cheaper(evidence)[chosen].mean()), float(_lost(evidence, chosen).mean())


def _cheaper(evidence: Evidence) -> Bools:
    """(m + 1,), which columns are models cheaper than the fallback; the last is of nobody."""
    largest = evidence.bulks[evidence.experts.index(evidence.fallback)]
    return np.array([*(bulk < largest for bulk in evidence.bulks), False])


def _lost(evidence: Evidence, chosen: Indices) -> Doubles:
    """(n,), what is lost when these columns (n,) are chosen."""
    lost = np.hstack([evidence.losses, np.zeros((len(evidence), 1))])
    found: Doubles = lost[np.arange(len(evidence)), chosen]
    return found
