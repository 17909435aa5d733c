"""What work is charged at, resolved once per registry: prices, joules and the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from experts.spec import READS_VECTOR, Energy, Registry
from experts.wire import Usage
from router.meter.carbon import Grid, co2_ug, grid
from router.meter.cost import NO_PRICE, UnitPrice, cost_nusd
from router.meter.counterfactual import Counterfactual, Fallback, counterfactual
from router.meter.energy import modelled_uj, table_energy, table_uj
from router.meter.record import Attempt, EnergyMethod


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU time and what it took."""

    cpu_us: int
    energy_uj: int
    co2_ug: int


@dataclass(frozen=True, slots=True)
class Tariff:
    """What one expert's attempts are charged."""

    price: UnitPrice
    energy: Energy
    dynamic_w_per_core: float
    ci_mg_per_kwh: int
    in_router: bool = False
    """It works inside the router's process, whose CPU time is charged as the router's own."""
    has_process: bool = False
    """It runs in a child process whose CPU time can be read."""

    def charge(self, record: Attempt, usage: Usage, cpu_ns: int | None) -> None:
        """Write tokens, money, energy and carbon into `record`. `cpu_ns` is its process's time, None when unknown."""
        record.input_tokens = usage.input
        record.output_tokens = usage.output
        record.cached_tokens = usage.cached
        record.reasoning_tokens = usage.reasoning
        record.token_source = usage.source
        record.cost_nusd = cost_nusd(usage, self.price)
        record.price_version = self.price.version
        if self.in_router:
            record.energy_method = EnergyMethod.MODELLED
        elif cpu_ns is not None:
            record.cpu_us = cpu_ns // 1000
            record.energy_uj = modelled_uj(cpu_ns, self.dynamic_w_per_core)
            record.energy_method = EnergyMethod.MODELLED
        else:
            record.energy_uj = table_uj(usage, self.energy)
            record.energy_method = EnergyMethod.TABLE
        record.co2_ug = co2_ug(record.energy_uj, self.ci_mg_per_kwh)


@dataclass(frozen=True, slots=True)
class Tariffs:
    """Every expert's tariff, the router's own, and the fallback's for the counterfactual."""

    grid: Grid
    dynamic_w_per_core: float
    by_expert: dict[str, Tariff]
    fallback: Fallback
    coefficients: str
    """Names the watts that CPU time was turned into energy with."""

    @classmethod
    def of_registry(cls, registry: Registry) -> Self:
        """Resolve a registry's prices and energies. Raises `UnknownZone`."""
        zone = grid(registry.grid_zone)
        watts = registry.power.dynamic_w_per_core
        by_expert = {
            spec.id: Tariff(
                UnitPrice.of(spec.price),
                spec.energy or table_energy(spec.params_b),
                watts,
                zone.ci_mg_per_kwh,
                in_router=spec.kind in READS_VECTOR or spec.kind == "scripted",
                has_process=spec.kind == "llama_cpp",
            )
            for spec in registry.experts
        }
        own = by_expert[registry.fallback]
        fallback = Fallback(registry.fallback, own.price, own.energy, zone.ci_mg_per_kwh)
        return cls(zone, watts, by_expert, fallback, f"{watts:g} W/core {registry.power.as_of}")

    def of(self, expert: str) -> Tariff:
        """An expert's tariff; the encoder, which is no expert, works inside the router for nothing more."""
        return self.by_expert.get(expert) or Tariff(
            NO_PRICE, table_energy(0), self.dynamic_w_per_core, self.grid.ci_mg_per_kwh, in_router=True
        )

    def router(self, cpu_ns: int) -> Spent:
        """What the router's own work took."""
        energy_uj = modelled_uj(cpu_ns, self.dynamic_w_per_core)
        return Spent(cpu_ns // 1000, energy_uj, co2_ug(energy_uj, self.grid.ci_mg_per_kwh))

    def counterfactual(self, attempts: Sequence[Attempt]) -> Counterfactual:
        """The same tokens at the fallback: an estimate."""
        return counterfactual(attempts, self.fallback)
