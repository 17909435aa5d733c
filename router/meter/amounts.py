"""What is said of requests in the units of the outside, money only where all of it has a price. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from router.meter.clustered import Doubles
from router.meter.compared import GUESS
from router.meter.money import YUSD_PER_NUSD, Money, at_most_json, bill_json, exact_usd
from router.meter.paired import UNITS
from router.meter.savings import Standing
from router.meter.segment import Plain, Segment

MEASURED: Final = "randomised paired holdback: a few conversations are answered both ways; shares with 95 % intervals"
WHOLE: Final = "measured where enough was held back, else the same-token guess: an estimate"

OUTSIDE: Final = {"cost": ("cost_usd", 1e9), "energy": ("energy_j", 1e6), "co2": ("co2_g", 1e6)}
"""What a unit is called outside the ledger, and how many of the ledger's make one."""

_HEADLINE: Final = (
    "requests", "share", "low", "high", "cost_usd", "avoidable_usd", "allocated_usd", "allocated_share", "energy_j",
    "co2_g", "spent", "counterfactual", "fallback_bill_avoided", "at_most",
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
    spent, avoidable = (sum(getattr(plain, name) for _, plain in parts) for name in ("spent_yusd", "avoidable_yusd"))
    return Money(alone_nusd, avoidable_nusd, spent / YUSD_PER_NUSD, avoidable / YUSD_PER_NUSD)


def amounts(parts: Sequence[Part], spent: Doubles, alone: Doubles, money: Money) -> dict[str, Any]:
    """What was saved, spent, and what the fallback alone would have taken."""
    known, side = saved_known(parts), outer(spent, not without_price(parts))
    if side["cost_usd"] is not None:  # of whole numbers, so that it is what is said of the same requests elsewhere
        side["cost_usd"] = exact_usd(sum(plain.spent_yusd for _, plain in parts))
    return {
        **outer(alone - spent, known),
        **money.to_json(known),
        **money.sides(side, outer(alone, fallback_priced(parts))),
    }


def bill(parts: Sequence[Part], alone_nusd: float, avoidable_nusd: float) -> Money:
    """The fallback's alone, whatever the other experts cost; arguments as of `saved_money`."""
    paid_nusd = sum(plain.paid_nusd for _, plain in parts)
    paid_avoidable_nusd = sum(plain.paid_avoidable_nusd for _, plain in parts)
    return Money(alone_nusd, avoidable_nusd, paid_nusd, paid_avoidable_nusd)


def bounds(
    parts: Sequence[Part], money: Money, paid: Money, of_bill: Mapping[str, Any], of_saved: Mapping[str, Any]
) -> dict[str, Any]:
    """By how much the fallback's bill is smaller, and what was saved at most where some others have no price.

    `paid` is of the fallback alone; `of_bill` and `of_saved` are added to the two, intervals where there are any.
    """
    known, lacking = fallback_priced(parts), without_price(parts)
    others = frozenset[str]().union(*(plain.others for _, plain in parts)) if lacking else ()
    most = at_most_json(money, paid, known, lacking)
    return {
        "fallback_bill_avoided": {**bill_json(paid, known, others), **of_bill},
        "at_most": most and {**most, **of_saved},
    }


def by_capacity(segment: Segment) -> list[dict[str, Any]]:
    """What the fallback was declared as, each with the routed requests of the time when it held, drawn or not."""
    routed = sum((plain.requests_in for plain in segment.undrawn.values()), segment.plain.requests_in)
    each = zip(segment.spells, routed.tolist(), segment.dilutions, strict=True)
    return [
        {
            "capacity": spell.capacity,
            "params_b": segment.model and segment.model[0],
            "requests": int(requests),
            "fixed_capacity": run and {"batch": run.batch, "batch_alone": run.batch_alone},
        }
        for spell, requests, run in each
    ]


def held_back(segments: Iterable[Segment]) -> dict[str, int]:
    """How many were, and as how many conversations they count."""
    held = [each.traffic.held for each in segments]
    return {
        "requests": sum(len(each.domain) for each in held),
        "conversations": sum(each.conversations for each in held),
        "effective": sum(each.effective for each in held),
    }


def most_held(told: Mapping[str, Any]) -> Mapping[str, int]:
    """As `held_back`, under that fallback which most were of what is `told`: each needs enough of its own."""
    held = (each["held_back"] for each in told["by_fallback"].values())
    return max(held, key=lambda each: each["effective"], default=held_back(()))


def as_few(held: Mapping[str, int]) -> str:
    """That conversations held back count as fewer than they are; empty where they do not."""
    if held["effective"] >= held["conversations"]:
        return ""
    return f", which count as {held['effective']:,}, as some stand for more requests than others"


def without_price(parts: Sequence[Part]) -> frozenset[str]:
    """Experts of some of whose work no price is known."""
    return frozenset[str]().union(*(plain.without_price for _, plain in parts))


def saved_known(parts: Sequence[Part]) -> bool:
    """Whether the money saved is known: whether all on both sides has a price."""
    return not without_price(parts) and fallback_priced(parts)


def fallback_priced(parts: Sequence[Part]) -> bool:
    """Whether it had a price at any time."""
    return not any(segment.unpriced for segment, _ in parts)


def priced(by_unit: dict[str, float | None], known: bool) -> dict[str, float | None]:
    """What is said of money is None where some of it is unknown."""
    return by_unit if known else by_unit | {"cost": None}


def outer(sums: Doubles, known: bool) -> dict[str, float | None]:
    """In the units of the outside; money is None where some of it is not known."""
    told: dict[str, float | None] = {
        name: float(sums[at]) / many for at, (name, many) in enumerate(OUTSIDE[unit] for unit in UNITS)
    }
    return told if known else told | {"cost_usd": None}
