"""What of the money not spent is really saved. Pure.

A fallback on fixed machines costs the same however often it is asked, but for its electricity. What an accounting
charges it less, because others answered, is only allocated to them or to idleness: no bill is smaller by it. So of all
money that was not spent only what leaves a bill is called saved, wherever savings are told; the other is told beside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Money:
    """Money that was not spent, against the fallback alone, in nano-dollars."""

    unspent_nusd: float
    """By the accounts: machines that are there in any case are charged by their use."""
    saved_nusd: float
    """Of that, what really was not paid: all of it where cost follows the load, of fixed machines the electricity."""
    alone_nusd: float
    """What the fallback alone would have cost by the accounts. All shares are of this."""

    @property
    def share(self) -> float | None:
        """Really saved; None of nothing."""
        return self.saved_nusd / self.alone_nusd if self.alone_nusd > 0 else None

    @property
    def allocated_share(self) -> float | None:
        """Not spent by the accounts, and paid all the same; None of nothing."""
        return (self.unspent_nusd - self.saved_nusd) / self.alone_nusd if self.alone_nusd > 0 else None

    def to_json(self, known: bool) -> dict[str, float | None]:
        """Dollars saved and dollars only allocated; None where some of it is not known."""
        if not known:
            return dict.fromkeys(("cost_usd", "avoidable_usd", "allocated_usd", "allocated_share"))
        saved_usd = usd(self.saved_nusd)
        return {
            "cost_usd": saved_usd,
            "avoidable_usd": saved_usd,
            "allocated_usd": usd(self.unspent_nusd - self.saved_nusd),
            "allocated_share": self.allocated_share,
        }


def bill_json(bill: Money, known: bool, without_price: Iterable[str]) -> dict[str, Any]:
    """By how much the fallback's bill is smaller, and what that is before: the cost of experts that name none."""
    told = bill.to_json(known)
    return {
        "usd": told["avoidable_usd"],
        "allocated_usd": told["allocated_usd"],
        "share": bill.share if known else None,
        "before_cost_of": sorted(without_price),
    }


def usd(nusd: float | None) -> float | None:
    """Dollars; None stays unknown."""
    return None if nusd is None else nusd / 1e9
