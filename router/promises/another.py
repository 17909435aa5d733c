"""What a policy would promise with another figure, and which figure leads where: found by promising it. Pure.

A threshold that follows from a promise cannot be written into a registry, so whoever asks what would have changed a
choice is told the figure that would. Promising takes some 60 ms for two thousand requests; each figure is tried once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from experts.policy import LEAST_RISK, Policy
from experts.spec import Registry
from router.judge import Judge
from router.learn.certify import least_n
from router.meter.tariff import Tariffs
from router.promises.budget import LEAST, NoEstimate, estimate
from router.promises.certificate import CONFIDENCE, Basis, CertificateRefused, certify
from router.promises.evidence import Evidence, evidence_of
from router.promises.usual import Usual
from router.rule import Rule

DECADES: Final = 6
"""How far a figure may be from the one that is asked, in powers of ten."""

_AT_LEAST: Final = {"max_risk": LEAST_RISK}
_LESS_THAN: Final = {"max_risk": 1.0}
_AT_MOST: Final = {"max_fallback_share": 1.0}
"""What a policy may name of each aim."""

_NOWHERE: Final = Basis("", "", "")
"""What is only tried is kept nowhere."""


def evidence_for(policy: Policy, judge: Judge, registry: Registry) -> Evidence:
    """What a policy's promise rests on."""
    if policy.max_risk is None:
        return evidence_of(judge, registry, LEAST, blame=False)
    return evidence_of(judge, registry, least_n(policy.max_risk, policy.confidence or CONFIDENCE))


@dataclass(frozen=True, slots=True)
class Another:
    """Promises with other figures, on the evidence that serves; safe to share between threads."""

    judge: Judge
    registry: Registry
    tariffs: Tariffs
    usual: Usual
    _tried: dict[tuple[str, Policy], Rule] = field(default_factory=dict)

    def rule(self, name: str, policy: Policy) -> Rule:
        """How a policy of this name would decide, were it this one."""
        if (name, policy) not in self._tried:
            self._tried[name, policy] = self._found(name, policy)
        return self._tried[name, policy]

    def nearest(self, name: str, enough: Callable[[Rule], bool], *, larger: bool) -> Policy | None:
        """A policy with the nearest figure of two digits, `larger` or smaller, by which it would decide so.

        None where no figure within `DECADES` does. Of the figures on one side, all beyond one that is enough are.
        """
        policy = self.registry.policies[name]
        others = [policy.model_copy(update={policy.aim: value}) for value in figures(policy, larger=larger)]
        at = bisect_left(others, True, key=lambda other: enough(self.rule(name, other)))
        return others[at] if at < len(others) else None

    def _found(self, name: str, policy: Policy) -> Rule:
        evidence = evidence_for(policy, self.judge, self.registry)
        try:
            if policy.max_risk is None:
                told = estimate(name, policy, evidence, self.tariffs.by_expert, self.usual)
                return Rule(name, told.threshold, policy.out_of_domain, told.beyond)
            found = certify(name, policy, evidence, _NOWHERE, date.min)
        except (NoEstimate, CertificateRefused) as error:
            return Rule(name, None, policy.out_of_domain, refused=str(error))
        return Rule(name, found.threshold, policy.out_of_domain, found.beyond, exact=True)


def figures(policy: Policy, *, larger: bool) -> list[float]:
    """Other figures of two digits that a policy may name for its aim, nearest first."""
    aim, now = policy.aim, float(getattr(policy, policy.aim))
    middle = int(f"{now or 1:e}".partition("e")[2])
    powers = range(middle - DECADES - 1, middle + DECADES)
    told = (float(f"{digits}e{power}") for power in powers for digits in range(10, 100))
    if not larger:
        return [value for value in told if _AT_LEAST.get(aim, value) <= value < now][::-1]
    return [v for v in told if now < v <= _AT_MOST.get(aim, v) and v < _LESS_THAN.get(aim, float("inf"))]
