"""Money: integer nano-dollars from tokens. Pure.

A price is turned into whole pico-dollars per token once (a dollar per million tokens is 1,000,000 of them, so the sixth
decimal of a list price is kept), and an attempt's cost is rounded once, to the nearest nano-dollar, halves up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from experts.hardware import Hardware
from experts.price import Price, Rates
from experts.spec import READS_VECTOR, AnySpec
from router.meter.ppm import PPM


class Step(NamedTuple):
    """What one token costs, in pico-dollars, where a prompt has more than `over` of them."""

    over: int
    input_pusd: int
    cached_pusd: int
    output_pusd: int
    cache_write_extra_pusd: int = 0
    """What input costs more that is written into the upstream's cache; below 0 where it costs less."""


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """What one token costs, in pico-dollars. `version` names the price it was resolved from, empty for none.

    It holds the numbers: who changes a price and not what it says of its source has another version all the same.
    """

    input_pusd: int
    cached_pusd: int
    output_pusd: int
    version: str
    steps: tuple[Step, ...] = ()
    """For longer prompts, from the shortest on: where one is reached, all of a request's tokens cost what it says."""
    cache_write_extra_pusd: int = 0
    """As of a step."""

    @classmethod
    def of(cls, price: Price | None) -> UnitPrice:
        """Resolve a registry price. None gives zero prices and no version: the cost is 0 and known to be no price.

        Cached input, and what is written into a cache, cost what input costs when the price has no figure of their own.
        """
        if price is None:
            return NO_PRICE
        first = _resolved(0, price)
        steps = tuple(sorted(_resolved(step.over_tokens, step) for step in price.steps))
        dated = "" if price.as_of is None else f" {price.as_of}"
        numbers = [_told(first), *(f"over {step.over} in: {_told(step)}" for step in steps)]
        version = f"{price.source[:_LONGEST_SOURCE]}{dated}, USD/Mtok {'; '.join(numbers)}"
        if len(version) > _LONGEST_VERSION:
            version = version[len(version) - _LONGEST_VERSION :]
        return cls._at(first, version, steps)

    @classmethod
    def kept(cls, told: Sequence[Any]) -> Self:
        """From what the ledger keeps of it."""
        input_pusd, cached_pusd, output_pusd, version, *more = told
        steps, extra = (*more, 0)[:2] if more else ((), 0)
        return cls(input_pusd, cached_pusd, output_pusd, version, tuple(Step(*step) for step in steps), extra)

    def to_json(self) -> list[Any]:
        """For the ledger to keep; steps and cache writes only where there are some, as before there were any."""
        first = [self.input_pusd, self.cached_pusd, self.output_pusd, self.version]
        extra = self.cache_write_extra_pusd
        steps = [list(step if step.cache_write_extra_pusd else step[:-1]) for step in self.steps]
        return [*first, steps, extra] if extra else [*first, steps] if steps else first

    def rates(self, asked: int) -> UnitPrice | Step:
        """What holds for a prompt of so many tokens."""
        reached = [step for step in self.steps if asked > step.over]
        return reached[-1] if reached else self

    def flat(self, asked: int) -> UnitPrice:
        """The same price where every prompt has so many tokens, for what adds up the tokens of many requests."""
        return self._at(self.rates(asked), self.version)

    @classmethod
    def _at(cls, rates: UnitPrice | Step, version: str, steps: tuple[Step, ...] = ()) -> UnitPrice:
        extra = rates.cache_write_extra_pusd
        return cls(rates.input_pusd, rates.cached_pusd, rates.output_pusd, version, steps, extra)


_LONGEST_SOURCE: Final = 120
"""Characters of a source in a version, so that the ledger keeps the numbers after it whole."""

_LONGEST_VERSION: Final = 200
"""Characters of a version that the ledger keeps; of a longer one the source's beginning is left out."""

_PUSD_PER_USD_PER_MTOK: Final = 1_000_000


def _resolved(over: int, rates: Rates) -> Step:
    asked, cached, written = _pusd(rates.input_usd_per_mtok), rates.cached_usd_per_mtok, rates.cache_write_usd_per_mtok
    read = asked if cached is None else _pusd(cached)
    extra = 0 if written is None else _pusd(written) - asked
    return Step(over, asked, read, _pusd(rates.output_usd_per_mtok), extra)


def _told(step: Step) -> str:
    numbers = f"{_per_mtok(step.input_pusd)} in, {_per_mtok(step.output_pusd)} out"
    if step.cached_pusd != step.input_pusd:
        numbers = f"{numbers}, {_per_mtok(step.cached_pusd)} cached"
    extra = step.cache_write_extra_pusd
    return f"{numbers}, {_per_mtok(step.input_pusd + extra)} cache write" if extra else numbers


def _pusd(usd_per_mtok: float) -> int:
    return round(usd_per_mtok * _PUSD_PER_USD_PER_MTOK)


def _per_mtok(pusd: int) -> str:
    """Dollars per million tokens, exactly."""
    whole, rest = divmod(pusd, _PUSD_PER_USD_PER_MTOK)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")


NO_PRICE = UnitPrice(0, 0, 0, "")
"""Of an expert that names no price. What its electricity costs is in its energy, not here."""

INSIDE: Final = UnitPrice(0, 0, 0, "inside the router")
"""Of the encoder and of experts that read the request vector: they take nothing that is not the router's own work."""


@dataclass(frozen=True, slots=True)
class Electricity:
    """What the router's own work costs, in whole atto-dollars a joule, at the wall as its energy is.

    `version` names the price it was resolved from, empty for none. What it is charged at is added up exactly, in
    yocto-dollars, and rounded when it is told: the work for one request costs less than a nano-dollar.
    """

    ausd_per_j: int
    version: str

    @classmethod
    def of(cls, usd_per_kwh: float | None) -> Electricity:
        """Resolve a registry's price. None gives 0 and no version: the cost is 0 and known to be no price."""
        if usd_per_kwh is None:
            return NO_ELECTRICITY
        return cls(round(usd_per_kwh * 1e18 / J_PER_KWH), f"{usd_per_kwh:g} USD/kWh")

    def cost_yusd(self, energy_uj: int) -> int:
        """What so much energy costs, in yocto-dollars."""
        return energy_uj * self.ausd_per_j


J_PER_KWH: Final = 3_600_000

NO_ELECTRICITY: Final = Electricity(0, "")
"""Where the registry names no price."""


def cost_nusd(price: UnitPrice, asked: int, answered: int, cached: int = 0, cache_write: int = 0) -> int:
    """What tokens cost, in nano-dollars. Reasoning is part of the output, what a cache gave and took of the input."""
    rates = price.rates(asked) if price.steps else price
    pusd = asked * rates.input_pusd + answered * rates.output_pusd
    if cached:
        pusd -= min(cached, asked) * (rates.input_pusd - rates.cached_pusd)
    if cache_write:
        pusd += min(cache_write, asked - min(cached, asked)) * rates.cache_write_extra_pusd
    return (pusd + 500) // 1000


@dataclass(frozen=True, slots=True)
class Hourly:
    """What an hour of a machine costs, in dollars."""

    machine_usd: float
    """Rent, or what the machine loses in worth: the same whether it works or not."""
    electricity_usd: float

    @classmethod
    def of(cls, hardware: Hardware, pue: float = 1.0) -> Hourly:
        """`pue` is what the building takes beside its computers."""
        return cls(hardware.machine_usd, hardware.electricity_usd(pue))

    @property
    def usd(self) -> float:
        """All of it."""
        return self.machine_usd + self.electricity_usd


def hardware_price(hardware: Hardware, pue: float = 1.0) -> Price:
    """What a token costs on a machine paid by the hour: the hour, over the tokens it gives at its utilisation.

    Where nobody says how fast it reads, only output tokens are charged: `tokens_per_s` was measured with their prompts
    then, so those are in it. What a prompt cache gave is not read, and takes nothing of the hour.
    """
    usd_at_one_per_s = Hourly.of(hardware, pue).usd * 1e6 / (3600 * hardware.utilisation)
    read = hardware.input_tokens_per_s
    whole = "" if read is not None else ", prompts in the price of output"
    return Price(
        input_usd_per_mtok=0.0 if read is None else usd_at_one_per_s / read,
        output_usd_per_mtok=usd_at_one_per_s / hardware.tokens_per_s,
        cached_usd_per_mtok=0.0,
        source=f"{hardware.source}, {hardware.utilisation:.0%} busy{whole}",
        as_of=hardware.as_of,
    )


def price_of(spec: AnySpec, pue: float = 1.0) -> Price | None:
    """What an expert's tokens cost: made from its machine, or as named; None where it is not known."""
    return hardware_price(spec.hardware, pue) if spec.hardware else spec.price


def unit_price(spec: AnySpec, pue: float = 1.0) -> UnitPrice:
    """What an expert is charged at; without a version where its cost is unknown."""
    price = price_of(spec, pue)
    return INSIDE if price is None and spec.kind in READS_VECTOR else UnitPrice.of(price)


def avoidable_ppm(capacity: str, hardware: Hardware | None, pue: float = 1.0) -> int:
    """The part of an expert's cost that is not spent when it is not asked, in millionths.

    All of it at an API and on capacity that scales with the load. On a fixed machine only the electricity of serving,
    in the part of the hour that it does: the rest is allocated, paid all the same.
    """
    if capacity != "fixed":
        return PPM
    if hardware is None:
        return 0
    hour_usd = Hourly.of(hardware, pue).usd
    return round(PPM * hardware.serving_usd(pue) / hour_usd) if hour_usd else 0
