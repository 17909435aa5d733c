"""Does the promise hold? Policies certified on half of the held-out requests, tried on the others, again and again.

The certificate is the product's own (`router.promises.certificate`), and so are its choices. A promise counts as broken
when the loss seen on the others is larger than promised.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from eval.judged import Judged
from experts.policy import Policy
from router.promises.certificate import Basis, CertificateRefused, certify
from router.promises.evidence import Evidence, Indices, losses_of

EPSILON: Final = 0.02
DELTA: Final = 0.1
RESPLITS: Final = 200

POLICY: Final = Policy(max_risk=EPSILON, confidence=1 - DELTA)
"""What is promised, as a registry would say it."""

_BASIS: Final = Basis("", "", "")
"""Nothing is kept, so nothing can change under it."""


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


def resplit(evidence: Evidence, seed: int, times: int = RESPLITS) -> Risk:
    """Certify and try `times` times."""
    size = len(evidence) // 2
    today = datetime.now(UTC).date()
    rng = np.random.default_rng(seed)
    broken, kept, refused = 0, 0.0, 0
    for _ in range(times):
        order = rng.permutation(len(evidence))
        rest = evidence.take(order[size:])
        try:
            found = certify("eval", POLICY, evidence.take(order[:size]), _BASIS, today)
        except CertificateRefused:
            refused += 1
            continue
        small, loss = _seen(rest, rest.chooser(POLICY.out_of_domain)(found.threshold))
        broken += loss > EPSILON
        kept += small
    return Risk(EPSILON, DELTA, broken / times, times, kept / times, size, refused / times)


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
    largest = evidence.bulks[evidence.experts.index(evidence.fallback)]
    cheaper = np.array([*(bulk < largest for bulk in evidence.bulks), False])
    lost = np.hstack([evidence.losses, np.zeros((len(evidence), 1))])
    return float(cheaper[chosen].mean()), float(lost[np.arange(len(evidence)), chosen].mean())
