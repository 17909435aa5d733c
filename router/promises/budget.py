"""Policies that name a budget: the most careful threshold at which requests like the known ones stay within it. Pure.

An estimate, not a certificate: it takes the known requests for the traffic to come, every answer for a usual one, and
the experts' tariffs for what they will take. Experts that answer inside the router take nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from experts.policy import Policy
from experts.wire import Usage
from router.meter.cost import cost_nusd
from router.meter.energy import table_uj
from router.meter.tariff import Tariff
from router.promises.evidence import Doubles, Evidence
from router.request import DEFAULT_ANSWER_TOKENS

USUAL: Final = Usage(input=64, output=DEFAULT_ANSWER_TOKENS)
"""Tokens of a usual request and its answer."""

ASSUMED: Final = f"{USUAL.input} tokens asked and {USUAL.output} answered a request, at the registry's tariffs"


class NoEstimate(Exception):
    """Nothing can be estimated; the message says why and the remedy."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a budget's threshold is expected to take."""

    policy: str
    aim: str
    """The policy's key: max_fallback_share, max_j_per_kreq or max_usd_per_kreq."""
    budget: float
    expected: float
    """In the aim's unit."""
    met: bool
    """False when even the most frugal threshold takes more; it is the one that serves then."""
    threshold: float
    beyond: str | None
    fallback_share: float
    n: int
    source: str
    assumed: str = ASSUMED

    def to_json(self) -> dict[str, Any]:
        """Everything by name."""
        return asdict(self)


def estimate(name: str, policy: Policy, evidence: Evidence, tariffs: Mapping[str, Tariff]) -> Estimate:
    """The most careful threshold within a policy's budget, or else the most frugal one. Raises `NoEstimate`."""
    if not len(evidence):
        raise NoEstimate("there are no examples to estimate traffic by. Remedy: add examples.")
    aim = policy.aim
    budget = float(getattr(policy, aim))
    each = np.array([*(_COSTS[aim](tariffs[name]) for name in (*evidence.experts, evidence.fallback))])
    if aim == "max_fallback_share":
        each = np.array([*(float(name == evidence.fallback) for name in evidence.experts), 1.0])
    if not each[-1]:
        what = "price" if aim == "max_usd_per_kreq" else "energy"
        raise NoEstimate(f"the fallback {evidence.fallback!r} has no {what} to save. Remedy: give it one.")
    return _within(name, aim, budget, each, evidence, policy.out_of_domain)


def _within(name: str, aim: str, budget: float, each: Doubles, evidence: Evidence, out_of_domain: float) -> Estimate:
    best: Estimate | None = None
    back = np.array([*(name == evidence.fallback for name in evidence.experts), True])
    for threshold, chosen in evidence.choices(out_of_domain):
        expected = float(each[chosen].mean())
        if best is None or expected < best.expected:
            share = float(back[chosen].mean())
            best = Estimate(
                name, aim, budget, expected, expected <= budget, threshold, evidence.beyond, share,
                len(evidence), evidence.source,
            )  # fmt: skip
        if best.met:
            break
    if best is None:
        raise AssertionError("the grid of thresholds is empty")
    return best


def _joules(tariff: Tariff) -> float:
    return 0.0 if tariff.in_router else table_uj(tariff.energy, USUAL.input, USUAL.output) / 1e3


def _usd(tariff: Tariff) -> float:
    return cost_nusd(tariff.price, USUAL.input, USUAL.output) / 1e6


_COSTS: Final[Mapping[str, Callable[[Tariff], float]]] = {
    "max_fallback_share": lambda _: 0.0,
    "max_j_per_kreq": _joules,
    "max_usd_per_kreq": _usd,
}
"""What a thousand usual requests take at an expert, in the aim's unit."""
