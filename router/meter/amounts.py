"""What is said of requests in the units of the outside, money only where all of it has a price. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from router.meter.compared import GUESS
from router.meter.money import Money, bill_json
from router.meter.paired import UNITS
from router.meter.savings import Doubles, Standing
from router.meter.segment import COST, Plain, Segment

MEASURED: Final = "randomised paired holdback: a few conversations are answered both ways; shares with 95 % intervals"
WHOLE: Final = "measured where enough was held back, else the same-token guess: an estimate"

OUTSIDE: Final = {"cost": ("cost_usd", 1e9), "energy": ("energy_j", 1e6), "co2": ("co2_g", 1e6)}
"""What a unit is called outside the ledger, and how many of the ledger's make one."""

_HEADLINE: Final = (
    "requests", "share", "low", "high", "cost_usd", "avoidable_usd", "allocated_usd", "allocated_share", "energy_j",
    "co2_g", "spent", "counterfactual", "fallback_bill_avoided",
)  # fmt: skip

Part = tuple[Segment, Plain]
"""Some requests of a segment."""


def headline(routed: Mapping[str, Any], guess: Mapping[str, Any]) -> dict[str, Any]:
    """The one figure of what was saved, and whose word it is.

    Measured where enough was held back, else of all routed requests; of one key's requests alone (`routed` is empty),
    the same-token guess.
    """
    if not routed:
        standing, of, method = str(Standing.UNVERIFIED), guess, GUESS
    elif routed["share"] is None:
        standing, of, method = routed["standing"], routed["whole"], WHOLE
    else:
        standing, of, method = routed["standing"], routed, MEASURED
    told = {name: of.get(name) for name in _HEADLINE}
    return {"standing": standing, "verified": standing == Standing.PUBLISHED, "method": method, **told}


def saved_money(parts: Sequence[Part], alone_nusd: float, avoidable_nusd: float) -> Money:
    """Against the fallback alone; `avoidable_nusd` of what it would have cost is not spent where it is not asked."""
    spent_nusd = sum(float(plain.spent[COST]) for _, plain in parts)
    spent_avoidable_nusd = sum(plain.avoidable_nusd for _, plain in parts)
    return Money(alone_nusd, avoidable_nusd, spent_nusd, spent_avoidable_nusd)


def amounts(parts: Sequence[Part], spent: Doubles, alone: Doubles, money: Money) -> dict[str, Any]:
    """What was saved, spent, and what the fallback alone would have taken."""
    known = saved_known(parts)
    return {
        **outer(alone - spent, known),
        **money.to_json(known),
        **money.sides(
            outer(spent, not without_price(parts)), outer(alone, not any(segment.unpriced for segment, _ in parts))
        ),
    }


def bill(parts: Sequence[Part], alone_nusd: float, avoidable_nusd: float) -> dict[str, Any]:
    """By how much the fallback's bill is smaller, whatever the other experts cost; arguments as of `saved_money`."""
    paid_nusd = sum(plain.paid_nusd for _, plain in parts)
    paid_avoidable_nusd = sum(plain.paid_avoidable_nusd for _, plain in parts)
    money = Money(alone_nusd, avoidable_nusd, paid_nusd, paid_avoidable_nusd)
    return bill_json(money, not any(segment.unpriced for segment, _ in parts), without_price(parts))


def without_price(parts: Sequence[Part]) -> frozenset[str]:
    """Experts of some of whose work no price is known."""
    return frozenset[str]().union(*(plain.without_price for _, plain in parts))


def saved_known(parts: Sequence[Part]) -> bool:
    """Whether the money saved is known: whether all on both sides has a price."""
    return not without_price(parts) and not any(segment.unpriced for segment, _ in parts)


def priced(by_unit: dict[str, float | None], known: bool) -> dict[str, float | None]:
    """What is said of money is None where some of it is unknown."""
    return by_unit if known else by_unit | {"cost": None}


def outer(sums: Doubles, known: bool) -> dict[str, float | None]:
    """In the units of the outside; money is None where some of it is not known."""
    told: dict[str, float | None] = {
        name: float(sums[at]) / many for at, (name, many) in enumerate(OUTSIDE[unit] for unit in UNITS)
    }
    return told if known else told | {"cost_usd": None}
