"""What of the money not spent is really saved. Pure.

A fallback on fixed machines costs the same however often it is asked, but for its electricity. What an accounting
charges it less, because others answered, is only allocated to them or to idleness: no bill is smaller by it. So of all
money that was not spent only what leaves a bill is called saved, wherever savings are told; the other is told beside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

YUSD_PER_NUSD: Final = 10**15
"""Sums that hold the router's electricity are whole yocto-dollars (10^-24), for a request's is less than a nano-dollar
and must not be rounded; they are divided once, when they are told."""


@dataclass(frozen=True, slots=True)
class Money:
    """What was spent against what the fallback alone would have cost, in nano-dollars."""

    alone_nusd: float
    """By the accounts: machines that are there in any case are charged by their use. All shares are of this."""
    alone_avoidable_nusd: float
    """What of it is not paid when the fallback is not asked: all where cost follows the load, else electricity."""
    spent_nusd: float
    spent_avoidable_nusd: float
    """As `alone_avoidable_nusd`, of what was spent."""

    @property
    def saved_nusd(self) -> float:
        """What really was not paid."""
        return self.alone_avoidable_nusd - self.spent_avoidable_nusd

    @property
    def allocated_nusd(self) -> float:
        """Not spent by the accounts, and paid all the same."""
        return self.alone_nusd - self.spent_nusd - self.saved_nusd

    @property
    def share(self) -> float | None:
        """Saved; None of nothing."""
        return self.saved_nusd / self.alone_nusd if self.alone_nusd > 0 else None

    @property
    def allocated_share(self) -> float | None:
        """Allocated; None of nothing."""
        return self.allocated_nusd / self.alone_nusd if self.alone_nusd > 0 else None

    def to_json(self, known: bool) -> dict[str, float | None]:
        """Dollars saved and dollars only allocated; None where some of it is not known."""
        if not known:
            return dict.fromkeys(("cost_usd", "avoidable_usd", "allocated_usd", "allocated_share"))
        saved_usd, allocated_usd = self.saved_nusd / 1e9, self.allocated_nusd / 1e9
        return {
            "cost_usd": saved_usd,
            "avoidable_usd": saved_usd,
            "allocated_usd": allocated_usd,
            "allocated_share": self.allocated_share,
        }

    def sides(self, spent: dict[str, Any], alone: dict[str, Any]) -> dict[str, Any]:
        """Both sides of the comparison, each with what of its money is avoidable; None where that is not known."""
        parts = (spent, self.spent_avoidable_nusd), (alone, self.alone_avoidable_nusd)
        both = [side | {"avoidable_usd": None if side["cost_usd"] is None else usd(nusd)} for side, nusd in parts]
        return {"spent": both[0], "counterfactual": both[1]}


def bill_json(bill: Money, known: bool, before_cost_of: Iterable[str]) -> dict[str, Any]:
    """By how much the fallback's bill is smaller, and whose cost is not in it: of nobody where all of it is known."""
    told = bill.to_json(known)
    return {
        "usd": told["avoidable_usd"],
        "allocated_usd": told["allocated_usd"],
        "share": bill.share if known else None,
        "before_cost_of": sorted(before_cost_of),
    }


def at_most_json(money: Money, bill: Money, known: bool, without_price: Iterable[str]) -> dict[str, Any] | None:
    """What was saved at most, where some experts have no price: in `money` theirs counts as 0. None where all have one.

    `bill` is of the fallback alone, so what `money` spent beyond it is what of the others' cost is known.
    """
    if not known or not (lacking := sorted(without_price)):
        return None
    others_usd = (money.spent_avoidable_nusd - bill.spent_avoidable_nusd) / 1e9
    return {"usd": money.saved_nusd / 1e9, "share": money.share, "others_usd": others_usd, "no_price": lacking}


def usd(nusd: float | None) -> float | None:
    """Dollars; None stays unknown."""
    return None if nusd is None else nusd / 1e9


def exact_usd(yusd: int) -> float:
    """Dollars nearest to so many yocto-dollars."""
    return yusd / 10**24


def whole_usd(ppm_nusd: int, own_yusd: int | None) -> float:
    """Dollars nearest to what attempts cost, in millionths of a nano-dollar, and the router's own electricity.

    Where that has no price the numbers stay small enough for one machine division, which is rounded alike.
    """
    return ppm_nusd / 10**15 if own_yusd is None else exact_usd(ppm_nusd * 10**9 + own_yusd)
