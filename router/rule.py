"""A policy made ready to decide by: the threshold it names, or the one that was found for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from experts.policy import Policy

PLACES: Final = 6
"""Decimals of a threshold, so that the one that is written down is the one that was tested."""

NOT_FOUND = "no threshold has been found for it"
"""Why a policy that names no threshold sends everything to the fallback until one is found."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How sure an expert must be to answer under a policy."""

    policy: str
    threshold: float | None
    """Least probability; None when nothing may be promised, and the fallback answers everything."""
    out_of_domain: float
    """Least p-value that a request is of a known domain."""
    beyond: str | None = None
    """The fallback's id where `threshold` is what an expert's probability may be beyond the fallback's own."""
    exact: bool = False
    """Whether only the very choice that was certified may be made: who cannot take it leaves it to the fallback."""
    refused: str | None = None
    """Why there is no threshold."""

    @classmethod
    def of(cls, name: str, policy: Policy) -> Rule:
        """The rule of a policy with a plain threshold; of any other, a refusal until its threshold is found."""
        refused = None if policy.threshold is not None else NOT_FOUND
        return cls(name, policy.threshold, policy.out_of_domain, refused=refused)

    def least(self, probability: Mapping[str, float]) -> float | None:
        """The probability that an expert must reach, given all of them; None when none is enough."""
        if self.threshold is None or self.beyond is None:
            return self.threshold
        return min(1.0, max(0.0, self.threshold + probability.get(self.beyond, 1.0)))


def threshold_told(threshold: float) -> float:
    """A threshold as it is told everywhere: never above what it is, for who passed passes what is copied."""
    rounded = round(threshold, PLACES)
    return rounded if rounded <= threshold else round(rounded - 10**-PLACES, PLACES)


def apart(less: float, more: float) -> tuple[str, str]:
    """Two numbers with as many digits as show that the first is less; the second is a threshold, told as such."""
    for digits in range(2, 17):
        told, needed = f"{less:.{digits}f}", f"{threshold_told(more) if digits <= PLACES else more:.{max(6, digits)}g}"
        if float(told) < float(needed):
            return told, needed
    return repr(less), repr(more)
