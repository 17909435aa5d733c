"""From small to large: the one order of a registry's experts, and what it goes by. Pure.

Money comes first, what a million tokens asked and a million answered cost at the meter's prices, then active
parameters, which drive energy. Money counts only where it is known of all experts but the fallback, else parameters
alone: with money for some pairs and parameters for others, three experts could each be smaller than the next. What is
not known is never taken for little: a fallback without a price is the largest where money counts, and an assumed number
of parameters larger than any other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from experts.spec import IN_ROUTER, READS_VECTOR, AnySpec, Registry
from router.meter.cost import price_of

Bulk = tuple[float, float]
"""The smaller, the smaller the expert; the same for those that are equally small."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The experts of one registry, from the smallest."""

    registry: Registry
    experts: tuple[str, ...]
    """Of equally small ones by id, where no request says which is better."""
    bulk: Mapping[str, Bulk]
    specs: Mapping[str, AnySpec]
    alike: Mapping[str, str]
    """For each the first that can do the same, itself or another: what one of them lacks, so does the other."""
    by: Literal["money", "active parameters"]
    told: str
    """What it goes by, in words."""

    @classmethod
    def of(cls, registry: Registry) -> Self:
        """The order of all experts of a registry."""
        usd = {spec.id: _usd(spec, registry.power.pue) for spec in registry.experts}
        unpriced = [name for name, known in usd.items() if known is None]
        by_money = all(name == registry.fallback for name in unpriced)
        bulk: dict[str, Bulk] = {}
        for spec in registry.experts:
            params_b = math.inf if spec.params_assumed else spec.params_b
            known = usd[spec.id]
            bulk[spec.id] = (math.inf if known is None else known, params_b) if by_money else (params_b, 0.0)
        experts = tuple(sorted(bulk, key=lambda name: (*bulk[name], name)))
        specs = {spec.id: spec for spec in registry.experts}
        return cls(
            registry, experts, bulk, specs, _alike(specs), "money" if by_money else "active parameters",
            _told(by_money, unpriced),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """As in the answer of /v1/route."""
        return {"by": self.by, "experts": list(self.experts), "told": self.told}


def _alike(specs: Mapping[str, AnySpec]) -> dict[str, str]:
    first: dict[tuple[object, ...], str] = {}
    return {
        name: first.setdefault((spec.abilities, spec.bound_by_grammar, spec.context, spec.kind in READS_VECTOR), name)
        for name, spec in specs.items()
    }


def _usd(spec: AnySpec, pue: float) -> float | None:
    """What a million tokens asked and a million answered cost, in short prompts; None when it is not known."""
    price = price_of(spec, pue)
    if price is None:
        return 0.0 if spec.kind in IN_ROUTER else None
    return price.input_usd_per_mtok + price.output_usd_per_mtok


_NAMED = 3


def _told(by_money: bool, unpriced: list[str]) -> str:
    if not unpriced:
        return "by money, then by active parameters"
    if by_money:
        return f"by money, then by active parameters; the fallback {unpriced[0]} has no price and counts as the largest"
    names = ", ".join(unpriced[:_NAMED]) + (f" and {len(unpriced) - _NAMED} more" if len(unpriced) > _NAMED else "")
    return f"by active parameters, because what {names} cost is not known"
