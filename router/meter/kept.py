"""Tariffs as the ledger keeps them: what every version in its rows said, so that figures can be computed again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Self

from router.meter.coefficients import Size
from router.meter.cost import NO_ELECTRICITY, NO_PRICE, Electricity, UnitPrice
from router.meter.counterfactual import Fallback
from router.meter.energy import UnitEnergy
from router.meter.ppm import PPM


@dataclass(frozen=True, slots=True)
class KeptExpert:
    """What one expert was charged at."""

    price: UnitPrice
    energy: UnitEnergy
    capacity: str
    avoidable_ppm: int
    """The part of its cost that is not spent when it is not asked, in millionths."""
    size: Size | None
    """None where its joules per token were given, not taken from its size."""
    embodied_ng_per_s: int = 0
    """Of the machine that serves it, for each second a request has it to itself."""
    metered: str = ""
    """By what its energy is told: router, process or tokens; empty in versions from before it was kept."""
    owned: bool = False
    """Its cost is a part of what machines take, which nobody invoices by the token."""


NOBODY = KeptExpert(NO_PRICE, UnitEnergy(0, 0), "api", PPM, None, metered="router")
"""The encoder, which is no expert and works inside the router, in versions from before it had a price."""


@dataclass(frozen=True, slots=True)
class KeptTariffs:
    """One version."""

    uw_per_core: int
    pue_ppm: int
    experts: Mapping[str, KeptExpert]
    fallback: Fallback
    embodied_ng_per_core_s: int
    encoder: KeptExpert
    """Whoever answers and is no expert."""
    electricity: Electricity = NO_ELECTRICITY
    """What the router's own work is charged at."""

    @classmethod
    def of_body(cls, body: str) -> Self:
        """Read what `Tariffs.terms.body` says."""
        told = json.loads(body)
        experts = {name: _expert(values) for name, values in told["experts"].items()}
        own = experts[told["fallback"]]
        fallback = Fallback(told["fallback"], own.price, own.energy, assumed_b(told["experts"][told["fallback"]]))
        encoder = replace(NOBODY, price=replace(NO_PRICE, version=told.get("encoder", "")))
        return cls(
            told["uw_per_core"],
            told["pue_ppm"],
            experts,
            fallback,
            told["embodied_ng_per_core_s"],
            encoder,
            Electricity(*told["electricity"]) if "electricity" in told else NO_ELECTRICITY,
        )

    def of(self, expert: str) -> KeptExpert:
        """What an expert was charged at."""
        return self.experts.get(expert, self.encoder)


def avoidable_ppm(tariffs: KeptTariffs | None, expert: str | None = None) -> int:
    """The part of an expert's cost, of the fallback's where none is named, that is not spent when it is not asked.

    In millionths; all of it where the ledger has not kept the tariffs.
    """
    return PPM if tariffs is None else tariffs.of(expert or tariffs.fallback.expert).avoidable_ppm


def no_price(tariffs: KeptTariffs | None, alone: Sequence[int]) -> bool:
    """Whether the fallback had no price for what it alone would have taken (money, energy, carbon) of some requests.

    Where the ledger has not kept the tariffs, work that cost nothing had none.
    """
    return not alone[0] and alone[1] > 0 if tariffs is None else not tariffs.fallback.price.version


def electricity(tariffs: KeptTariffs | None) -> Electricity:
    """What the router's own work was charged at; no price where the ledger has not kept the tariffs."""
    return NO_ELECTRICITY if tariffs is None else tariffs.electricity


def hash_of(body: str) -> str:
    """What a version ends with, so that its text cannot be another."""
    return hashlib.sha256(body.encode()).hexdigest()[:8]


def assumed_b(told: Mapping[str, Any]) -> float | None:
    """Of an expert's part of such a text: the billions of parameters its joules rest on, where these are a guess."""
    return float(told["size"][0]) if told.get("assumed") else None


def kept_tariffs(connection: sqlite3.Connection) -> dict[int, KeptTariffs]:
    """Every version the ledger has that can be read, by its number in `names`; an audit says which cannot."""
    found = {}
    for version, body in connection.execute("SELECT version, body FROM tariffs").fetchall():
        with suppress(ValueError, KeyError, TypeError):
            found[version] = KeptTariffs.of_body(body)
    return found


def _expert(told: Mapping[str, Any]) -> KeptExpert:
    return KeptExpert(
        UnitPrice.kept(told["price"]),
        UnitEnergy(*told["energy_pj"]),
        told["capacity"],
        told["avoidable_ppm"],
        Size(*told["size"]) if told["size"] else None,
        told["embodied_ng_per_s"],
        told.get("metered", ""),
        told.get("owned", told["avoidable_ppm"] < PPM),
    )
