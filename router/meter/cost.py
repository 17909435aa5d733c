"""Money: integer nano-dollars from tokens. Pure.

A price is turned into whole pico-dollars per token once (a dollar per million tokens is 1,000,000 of them, so the sixth
decimal of a list price is kept), and an attempt's cost is rounded once, to the nearest nano-dollar, halves up.
"""

from __future__ import annotations

from dataclasses import dataclass

from experts.spec import Price
from experts.wire import Usage


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """What one token costs, in pico-dollars. `version` names the price it was resolved from, empty for none."""

    input_pusd: int
    cached_pusd: int
    output_pusd: int
    version: str

    @classmethod
    def of(cls, price: Price | None) -> UnitPrice:
        """Resolve a registry price. None gives zero prices and no version: the cost is 0 and known to be no price.

        Cached input costs what input costs when the price has no figure of its own.
        """
        if price is None:
            return NO_PRICE
        cached = price.input_usd_per_mtok if price.cached_usd_per_mtok is None else price.cached_usd_per_mtok
        return cls(
            input_pusd=round(price.input_usd_per_mtok * 1_000_000),
            cached_pusd=round(cached * 1_000_000),
            output_pusd=round(price.output_usd_per_mtok * 1_000_000),
            version=f"{price.source} {price.as_of}",
        )


NO_PRICE = UnitPrice(0, 0, 0, "")
"""Of an expert that names no price. What its electricity costs is in its energy, not here."""


def cost_nusd(usage: Usage, price: UnitPrice) -> int:
    """What these tokens cost, in nano-dollars. Reasoning tokens are part of the output, cached ones of the input."""
    cached = min(usage.cached, usage.input)
    pusd = (usage.input - cached) * price.input_pusd + cached * price.cached_pusd + usage.output * price.output_pusd
    return (pusd + 500) // 1000
