"""What the fallback alone would have taken for the same tokens, beside what was spent on the same requests. Pure.

Only requests that were routed are compared, and only where the fallback could have answered: who names a model would
not have asked the fallback instead, and for what it cannot do (vectors, at most fallbacks) there is nothing to compare
with. The others are counted, and no figure here holds any of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, Self

from router.meter.record import Arm

GUESS: Final = "same-token guess: what was read and written, at the fallback's price and energy; an estimate"

LeftOut = Literal["named", "unable"]

LEFT_OUT: Final[tuple[LeftOut, ...]] = ("named", "unable")

PPM: Final = 1_000_000


@dataclass(slots=True)
class Sum:
    """Money, energy and carbon, as the ledger counts them."""

    cost_nusd: int = 0
    energy_uj: int = 0
    co2_ug: int = 0
    unpriced: bool = field(default=False, kw_only=True)
    """Part of it has no price: the money of that part is unknown, and in `cost_nusd` it counts as 0."""

    def __iadd__(self, other: Sum) -> Self:
        for name in _AMOUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unpriced |= other.unpriced
        return self

    def __sub__(self, other: Sum) -> Sum:
        amounts = (getattr(self, name) - getattr(other, name) for name in _AMOUNTS)
        return Sum(*amounts, unpriced=self.unpriced or other.unpriced)

    @property
    def known_nusd(self) -> int | None:
        """The money of which there are prices; None where there is none: unknown, not 0."""
        return None if self.unpriced and not self.cost_nusd else self.cost_nusd

    @property
    def whole_nusd(self) -> int | None:
        """The money of all of it; None where some is unknown."""
        return None if self.unpriced else self.cost_nusd

    def to_json(self) -> dict[str, Any]:
        """The same in dollars, joules and grams, money as far as there are prices."""
        return {"cost_usd": usd(self.known_nusd), "energy_j": self.energy_uj / 1e6, "co2_g": self.co2_ug / 1e6}

    def whole_json(self) -> dict[str, Any]:
        """The same, money only where all of it has a price: what is compared must be whole."""
        return self.to_json() | {"cost_usd": usd(self.whole_nusd)}


_AMOUNTS = tuple(each.name for each in fields(Sum) if each.name != "unpriced")


@dataclass(slots=True)
class Compared:
    """Some of the requests."""

    requests: int = 0
    spent: Sum = field(default_factory=Sum)
    """Everything that was spent on them."""
    alone: Sum = field(default_factory=Sum)
    """What the fallback alone would have taken."""
    paid_nusd: int = 0
    """To the fallback, of `spent`."""
    avoidable_ppm_nusd: int = 0
    """`spent` times the part of it, in millionths, that is not spent when an expert is not asked."""
    alone_avoidable_ppm_nusd: int = 0
    without_price: set[str] = field(default_factory=set)
    """Experts of which some work is in `spent` and no price is known."""
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    """Requests that are in nothing else here."""

    @property
    def saved(self) -> Sum:
        """What was not spent; its money is unknown where some on either side is."""
        return self.alone - self.spent

    @property
    def bill_nusd(self) -> int | None:
        """By how much the fallback's bill is smaller, whatever others cost; None where it has no price."""
        return None if self.alone.unpriced else self.alone.cost_nusd - self.paid_nusd

    def to_json(self) -> dict[str, Any]:
        """As in `shoal meter report --json`. Never verified by this method."""
        saved = self.saved
        return {
            "method": GUESS,
            "verified": False,
            "requests": self.requests,
            "left_out": {why: self.left_out[why] for why in LEFT_OUT},
            **saved.whole_json(),
            "share": shares(self.alone, saved),
            "spent": self.spent.whole_json(),
            "counterfactual": self.alone.whole_json(),
            "fallback_bill_avoided": bill_json(self.bill_nusd, self.alone.cost_nusd, self.without_price),
            **self._pocket(saved),
        }

    def _pocket(self, saved: Sum) -> dict[str, float | None]:
        """Of the money saved: what stayed in the pocket, and what was paid all the same; None where it is unknown."""
        if saved.unpriced:
            return {"avoidable_usd": None, "allocated_usd": None}
        avoided = self.alone_avoidable_ppm_nusd - self.avoidable_ppm_nusd
        return {"avoidable_usd": avoided / 1e15, "allocated_usd": (saved.cost_nusd * PPM - avoided) / 1e15}


def left_out(routed: bool, arm: int) -> LeftOut | None:
    """Why a request is not compared; None where it is."""
    if arm == Arm.UNABLE:
        return "unable"
    return None if routed else "named"


def shares(alone: Sum, saved: Sum) -> dict[str, float | None]:
    """Saved, of what the fallback alone would have taken, by unit; None of nothing and of what is unknown."""
    return {
        "cost": saved.cost_nusd / alone.cost_nusd if alone.cost_nusd and not saved.unpriced else None,
        "energy": saved.energy_uj / alone.energy_uj if alone.energy_uj else None,
        "co2": saved.co2_ug / alone.co2_ug if alone.co2_ug else None,
    }


def bill_json(avoided_nusd: float | None, alone_nusd: float, without_price: Iterable[str]) -> dict[str, Any]:
    """By how much the fallback's bill is smaller, and what that is before: the cost of experts that name none."""
    share = None if avoided_nusd is None or not alone_nusd else avoided_nusd / alone_nusd
    return {"usd": usd(avoided_nusd), "share": share, "before_cost_of": sorted(without_price)}


def usd(nusd: float | None) -> float | None:
    """Dollars; None stays unknown."""
    return None if nusd is None else nusd / 1e9
