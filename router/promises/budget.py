"""Policies that name a budget: the most careful threshold at which requests like the known ones stay within it. Pure.

An estimate, not a certificate: it takes the known requests for the traffic to come, every answer for a usual one of
its expert (usual.py), and the experts' tariffs for what they will take. The router's own work is left out, and with it
experts that answer inside it: it is the same whatever the threshold, so no threshold can save it (ADR 0055). How far
chance alone may have moved it is told by an interval (Wilson, Probable Inference, 1927). And a budget saves where a
small expert may do, never by a request to one that surely cannot: no threshold is laxer than `FARTHEST`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any, Final

import numpy as np

from experts.policy import Policy
from experts.wire import Usage
from router.learn.certify import LITTLE
from router.meter.cost import cost_nusd
from router.meter.energy import table_uj
from router.meter.tariff import Tariff
from router.meter.units import plain
from router.promises.evidence import Doubles, Evidence, Indices
from router.promises.usual import Usual

SURENESS: Final = 0.9
"""With which what a budget takes of requests like the known ones lies in its interval."""

_Z: Final = NormalDist().inv_cdf((1 + SURENESS) / 2)


def least_known(within: float) -> int:
    """The fewest requests by which half the interval of any share is at most so much: Z / 2 / sqrt(n + Z^2)."""
    return math.ceil((_Z / (2 * within)) ** 2 - _Z**2)


LEAST: Final = least_known(0.05)
"""Paired outcomes that tell more of a budget than the labelled examples do; of fewer, chance is the larger part."""

FEWEST: Final = least_known(0.1)
"""Examples without which there is no estimate. It asks less, for without one the fallback answers everything."""

FARTHEST: Final[Mapping[str, float]] = {"outcomes": -LITTLE, "examples": 0.5}
"""By what tells, the laxest threshold: how far below the fallback an expert may be expected to score, as in promises of
risk, or where nobody knows how well the fallback would do, one that would rather answer well than not."""

ASSUMED: Final = (
    "{tokens}; at the registry's tariffs, without the router's own work and electricity, which no threshold changes"
)
"""Of a budget in money or joules."""

MIX: Final = "requests come in the same mix as the {n:,} {what} it rests on"
"""Of every budget: what arrives in another mix asks the fallback for another share, by as much as that mix differs."""


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
    low: float
    """Where `expected` may lie by chance, in the same unit ..."""
    high: float
    """... from the one to the other."""
    met: bool
    """False when even the most frugal threshold takes more; it is the one that serves then."""
    threshold: float
    beyond: str | None
    fallback_share: float
    shares: dict[str, float]
    """Of the requests it rests on, by the expert that answers them."""
    n: int
    source: str
    assumed: str
    unknown: float = 0.0
    """Where it would be met but for the policy's `out_of_domain`, the share of requests that this takes for unknown."""

    @property
    def told(self) -> str:
        """What is expected, and what was asked, in words and plain numbers."""
        return f"{self.taking(self.expected)}, and {self.aim} is {plain(self.budget, 6)}"

    def taking(self, amount: float) -> str:
        """An amount in the aim's unit, in words."""
        return _TOLD[self.aim].format(plain(amount))

    def unmet(self, out_of_domain: float) -> str:
        """Why a budget is not met, under a policy's `out_of_domain`, and the remedy."""
        expected = f"even the most frugal threshold is expected to {self.told}; it serves all the same, for"
        if self.unknown:
            return (
                f"{expected} out_of_domain {out_of_domain:g} takes {self.unknown:.1%} of these requests for unknown, "
                "and such go to the fallback whatever the threshold. Remedy: lower it; with out_of_domain 0 the budget "
                "is met."
            )
        return (
            f"{expected} one still laxer asks experts that rather fail than answer well. Remedy: raise the budget, or "
            "add smaller experts or examples."
        )

    def to_json(self) -> dict[str, Any]:
        """Everything by name."""
        return asdict(self)


def estimate(
    name: str, policy: Policy, evidence: Evidence, tariffs: Mapping[str, Tariff], usual: Usual | None = None
) -> Estimate:
    """The most careful threshold within a policy's budget, or else the most frugal one. Raises `NoEstimate`.

    Without `usual` the tokens are a guess.
    """
    usual = usual or Usual()
    aim = policy.aim
    asked = (*evidence.experts, evidence.fallback)
    each = np.array([*takes(aim, asked, evidence.fallback, tariffs, usual)])
    if not each[-1]:
        what, keys = (
            ("price", "`price:`, `list_price:` or `hardware:`")
            if aim == "max_usd_per_kreq"
            else ("energy", "`energy:`")
        )
        raise NoEstimate(f"the fallback {evidence.fallback!r} has no {what} to save. Remedy: give it {keys}.")
    if len(evidence) < FEWEST:
        raise NoEstimate(
            f"an estimate of what requests take needs at least {FEWEST} examples that differ, and there are "
            f"{len(evidence)}. Remedy: add examples, or name a threshold instead."
        )
    assumed = MIX.format(n=len(evidence), what="paired outcomes" if evidence.beyond else "labelled examples and scores")
    if aim in BY_TOKENS:
        assumed += "; " + ASSUMED.format(tokens=usual.told(dict.fromkeys(asked)))
    return _within(name, policy, each, evidence, assumed)


def takes(
    aim: str, experts: Iterable[str], fallback: str, tariffs: Mapping[str, Tariff], usual: Usual
) -> Iterator[float]:
    """What requests take that each of the experts answers, in the aim's unit."""
    for name in experts:
        yield _COSTS[aim](tariffs[name], usual.thousand(name)) if aim in BY_TOKENS else float(name == fallback)


def _within(name: str, policy: Policy, each: Doubles, evidence: Evidence, assumed: str) -> Estimate:
    found = _most_careful(name, policy, each, evidence, assumed, policy.out_of_domain)
    if found.met or not _most_careful(name, policy, each, evidence, assumed, 0.0).met:
        return found
    return replace(found, unknown=float((evidence.known < policy.out_of_domain).mean()))


def _most_careful(
    name: str, policy: Policy, each: Doubles, evidence: Evidence, assumed: str, out_of_domain: float
) -> Estimate:
    aim = policy.aim
    budget = float(getattr(policy, aim))
    best: Estimate | None = None
    for threshold, chosen in evidence.choices(out_of_domain):
        if threshold < FARTHEST[evidence.source]:
            break
        expected = float(each[chosen].mean())
        if best is None or expected < best.expected:
            shares = _shares(chosen, (*evidence.experts, evidence.fallback))
            best = Estimate(
                name, aim, budget, expected, *interval(expected, float(each.max()), len(evidence)),
                expected <= budget, threshold, evidence.beyond, shares[evidence.fallback], shares, len(evidence),
                evidence.source, assumed,
            )  # fmt: skip
        if best.met:
            break
    if best is None:
        raise AssertionError("the grid of thresholds is empty")
    return best


def _shares(chosen: Indices, names: Sequence[str]) -> dict[str, float]:
    """Of the requests (n,), by the name in whose column they are; the fallback has two where it was tried itself."""
    shares = dict.fromkeys(names, 0.0)
    for name, count in zip(names, np.bincount(chosen, minlength=len(names)).tolist(), strict=True):
        shares[name] += count / len(chosen)
    return shares


def interval(mean: float, most: float, n: int) -> tuple[float, float]:
    """Wilson's interval of a share, times `most`: what lies between 0 and 1 varies no more than a share of its mean."""
    share = mean / most
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + (_Z / (2 * n)) ** 2)
    return min(mean, max(0.0, middle - half) * most), max(mean, (middle + half) * most)


def _joules(tariff: Tariff, tokens: Usage) -> float:
    return 0.0 if tariff.in_router else table_uj(tariff.energy, tokens.input, tokens.output, tokens.cached) / 1e6


def _usd(tariff: Tariff, tokens: Usage) -> float:
    """By the step that the mean prompt reaches: `tokens` are those of a thousand."""
    price = tariff.price.flat(tokens.input // 1000)
    return cost_nusd(price, tokens.input, tokens.output, tokens.cached, tokens.cache_write) / 1e9


_COSTS: Final[Mapping[str, Callable[[Tariff, Usage], float]]] = {
    "max_j_per_kreq": _joules,
    "max_usd_per_kreq": _usd,
}
"""What a thousand usual requests take at an expert, in the aim's unit."""

BY_TOKENS: Final = frozenset(_COSTS)
"""Aims of which the ledger is asked what requests take."""

_TOLD: Final[Mapping[str, str]] = {
    "max_fallback_share": "ask the fallback for {} of requests",
    "max_j_per_kreq": "take {} J per thousand requests",
    "max_usd_per_kreq": "take {} USD per thousand requests",
}
