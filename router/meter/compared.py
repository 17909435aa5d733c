"""What the fallback alone would have taken for the same tokens, beside what was spent on the same requests. Pure.

Only requests that were routed are compared, and only where the fallback could have answered: who names a model would
not have asked the fallback instead, and for what it cannot do (vectors, at most fallbacks) or was asked for and failed
at there is nothing to compare with; of what was under way when the server died nothing is known. The others are
counted, and no figure here holds any of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, Self

from router.meter.kept import KeptTariffs, avoidable_ppm, electricity, no_price
from router.meter.money import YUSD_PER_NUSD, Money, at_most_json, bill_json, exact_usd
from router.meter.ppm import PPM
from router.meter.priced import priced_part
from router.meter.record import Arm, Status

GUESS: Final = "same-token guess: what was read and written, at the fallback's price and energy; an estimate"

LeftOut = Literal["named", "unable", "failed", "interrupted"]

LEFT_OUT: Final[tuple[LeftOut, ...]] = ("named", "unable", "failed", "interrupted")

NEAR: Final = 0.05
"""Of what the fallback's own answers took, how far joules per token may be off without being told."""

_INTERRUPTED: Final = Status.INTERRUPTED
_UNABLE: Final = Arm.UNABLE
_FAILED: Final = Arm.FAILED
"""Looked up once: an enumeration finds its members more slowly than a module its names."""


@dataclass(slots=True)
class Sum:
    """Money, energy and carbon, as the ledger counts them."""

    cost_nusd: int = 0
    """Of attempts."""
    energy_uj: int = 0
    co2_ug: int = 0
    router_yusd: int = 0
    """What the electricity of the router's own work cost beside them, in yocto-dollars."""
    unpriced: bool = field(default=False, kw_only=True)
    """Part of it has no price: the money of that part is unknown, and in `cost_nusd` it counts as 0."""

    def __iadd__(self, other: Sum) -> Self:
        self.cost_nusd += other.cost_nusd
        self.energy_uj += other.energy_uj
        self.co2_ug += other.co2_ug
        self.router_yusd += other.router_yusd
        self.unpriced |= other.unpriced
        return self

    def __sub__(self, other: Sum) -> Sum:
        amounts = (getattr(self, name) - getattr(other, name) for name in _AMOUNTS)
        return Sum(*amounts, unpriced=self.unpriced or other.unpriced)

    @property
    def yusd(self) -> int:
        """All money of which there are prices, in yocto-dollars."""
        return self.cost_nusd * YUSD_PER_NUSD + self.router_yusd

    @property
    def nusd(self) -> float:
        """The same in nano-dollars, rounded once."""
        return self.yusd / YUSD_PER_NUSD

    @property
    def known_usd(self) -> float | None:
        """The money of which there are prices, in dollars; None where there is none: unknown, not 0."""
        return None if self.unpriced and not self.yusd else exact_usd(self.yusd)

    @property
    def whole_usd(self) -> float | None:
        """The money of all of it, in dollars; None where some is unknown."""
        return None if self.unpriced else exact_usd(self.yusd)

    def to_json(self) -> dict[str, Any]:
        """The same in dollars, joules and grams, money as far as there are prices."""
        return {"cost_usd": self.known_usd, "energy_j": self.energy_uj / 1e6, "co2_g": self.co2_ug / 1e6}

    def whole_json(self) -> dict[str, Any]:
        """The same, money only where all of it has a price: what is compared must be whole."""
        return self.to_json() | {"cost_usd": self.whole_usd}


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
    """The attempts' part of `spent` times the part of it, in millionths, that is not spent when an expert is not asked.

    The router's part is all avoidable: its electricity is what its work takes above idle."""
    alone_avoidable_ppm_nusd: int = 0
    """As `avoidable_ppm_nusd`, of `alone`."""
    paid_avoidable_ppm_nusd: int = 0
    """As `avoidable_ppm_nusd`, of `paid_nusd`."""
    own_uj: int = 0
    """What the fallback's own answers took, of `alone`."""
    own_by_rate_pj: int = 0
    """The same, in picojoules, by the joules per token that the rest of `alone` is told by: not rounded, so that hours
    and rows give the same."""
    without_price: set[str] = field(default_factory=set)
    """Experts of which some work is in `spent` and no price is known."""
    others: set[str] = field(default_factory=set)
    """All experts but the fallback of which some work is in `spent`."""
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    """Requests that are in nothing else here."""
    part: Compared | None = None
    """Those of which all money is known, where that is not of all; see priced.py."""

    @property
    def saved(self) -> Sum:
        """What was not spent; its money is unknown where some on either side is."""
        return self.alone - self.spent

    @property
    def avoidable_yusd(self) -> int:
        """The part of the money in `spent` that is not spent when nobody is asked, in yocto-dollars."""
        return self.avoidable_ppm_nusd * (YUSD_PER_NUSD // PPM) + self.spent.router_yusd

    def _money(self, spent_nusd: float, spent_avoidable_nusd: float) -> Money:
        """Against the fallback alone, where so much was spent."""
        return Money(self.alone.cost_nusd, self.alone_avoidable_ppm_nusd / PPM, spent_nusd, spent_avoidable_nusd)

    def to_json(self) -> dict[str, Any]:
        """As in `shoal meter report --json`. Never verified by this method."""
        saved, money = self.saved, self._money(self.spent.nusd, self.avoidable_yusd / YUSD_PER_NUSD)
        bill = self._money(self.paid_nusd, self.paid_avoidable_ppm_nusd / PPM)
        before = self.others if self.without_price else ()
        return {
            "method": GUESS,
            "verified": False,
            "requests": self.requests,
            "left_out": {why: self.left_out[why] for why in LEFT_OUT},
            **saved.to_json(),
            **money.to_json(not saved.unpriced),
            "fallback_answers": {
                "energy_j": self.own_uj / 1e6,
                "by_rate_j": self.own_by_rate_pj / 1e12,
                "differ": abs(self.own_uj - self.own_by_rate_pj / 1_000_000) > NEAR * self.own_uj,
            },
            "share": shares(self.alone, saved) | {"cost": None if saved.unpriced else money.share},
            **money.sides(self.spent.whole_json(), self.alone.whole_json()),
            "fallback_bill_avoided": bill_json(bill, not self.alone.unpriced, before),
            "at_most": at_most_json(money, bill, not self.alone.unpriced, self.without_price),
            "priced_part": priced_part(self.part.to_json(), self.requests) if self.part and saved.unpriced else None,
        }


def left_out(routed: bool, arm: int, status: int) -> LeftOut | None:
    """Why a request is not compared; None where it is. `status` is its own, or that of one of its attempts."""
    if status == _INTERRUPTED:
        return "interrupted"
    if arm == _UNABLE:
        return "unable"
    if arm == _FAILED:
        return "failed"
    return None if routed else "named"


def shares(alone: Sum, saved: Sum) -> dict[str, float | None]:
    """Saved, of what the fallback alone would have taken, by unit; None of nothing."""
    return {
        "energy": saved.energy_uj / alone.energy_uj if alone.energy_uj else None,
        "co2": saved.co2_ug / alone.co2_ug if alone.co2_ug else None,
    }


def own_work(tariffs: KeptTariffs | None, energy_uj: int, co2_ug: int) -> Sum:
    """The router's work, with what its electricity cost."""
    return Sum(0, energy_uj, co2_ug, electricity(tariffs).cost_yusd(energy_uj))


def compare(compared: Compared, count: int, router: Sum, alone: Sequence[int], tariffs: KeptTariffs | None) -> None:
    """Add requests that are compared, with the router's work for them."""
    compared.requests += count
    compared.spent += router
    compared.alone += Sum(*alone, unpriced=no_price(tariffs, alone))
    compared.alone_avoidable_ppm_nusd += alone[0] * avoidable_ppm(tariffs)


def charge(compared: Compared, expert: str, spent: Sum, tariffs: KeptTariffs | None) -> None:
    """Add an expert's work for them."""
    compared.spent += spent
    if spent.unpriced:
        compared.without_price.add(expert)
    avoidable_ppm_nusd = spent.cost_nusd * avoidable_ppm(tariffs, expert)
    compared.avoidable_ppm_nusd += avoidable_ppm_nusd
    if tariffs is not None and expert == tariffs.fallback.expert:
        compared.paid_nusd += spent.cost_nusd
        compared.paid_avoidable_ppm_nusd += avoidable_ppm_nusd
    else:
        compared.others.add(expert)
