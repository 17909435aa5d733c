"""What work is charged at, resolved once per registry: prices, joules and the grid.

All of it is whole numbers under one version, which every ledger entry names. The ledger keeps each version once, so
that an audit can compute every figure again from the tokens and the CPU time in the rows.
"""

from __future__ import annotations

import json
import os
from dataclasses import astuple, dataclass
from typing import Any, Final, Self

from experts.hardware import HOURS_PER_YEAR
from experts.spec import IN_ROUTER, AnySpec, Registry
from experts.wire import Usage
from router.meter.carbon import Grids, co2_ug
from router.meter.coefficients import Size, energy_of
from router.meter.cost import INSIDE, Electricity, UnitPrice, avoidable_ppm, cost_nusd, unit_price
from router.meter.counterfactual import Fallback
from router.meter.energy import UnitEnergy, modelled_uj, table_uj
from router.meter.kept import assumed_b, hash_of
from router.meter.ppm import PPM
from router.meter.record import Attempt, EnergyMethod, Terms

NO_ENERGY = UnitEnergy(0, 0)


_TABLE: Final = EnergyMethod.TABLE
_MODELLED: Final = EnergyMethod.MODELLED
"""Looked up once: an enumeration finds its members more slowly than a module its names."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """What one expert's attempts are charged."""

    price: UnitPrice
    energy: UnitEnergy
    uw_per_core: int
    in_router: bool = False
    """It works inside the router's process, whose CPU time is charged as the router's own."""
    has_process: bool = False
    """It runs in a child process whose CPU time can be read."""
    device: str = ""
    """Of this machine, whose counter measures it where there is one."""
    pue_ppm: int = PPM
    avoidable_ppm: int = PPM
    """The part of its cost that is not spent when it is not asked, in millionths."""

    def charge(self, record: Attempt, usage: Usage, cpu_ns: int | None, ci_mg_per_kwh: int) -> None:
        """Write tokens, money, energy and carbon into `record`. `cpu_ns` is its process's time, None when unknown."""
        asked, answered, cached, written = usage.input, usage.output, usage.cached, usage.cache_write
        record.input_tokens, record.output_tokens, record.cached_tokens = asked, answered, cached
        record.reasoning_tokens, record.token_source = usage.reasoning, usage.source
        if written:
            record.cache_write_tokens = written
        record.cost_nusd = cost_nusd(self.price, asked, answered, cached, written)
        record.price_version = self.price.version
        if self.in_router:
            record.energy_method = _MODELLED
            return
        if cpu_ns is not None:
            record.cpu_us = cpu_us = whole_us(cpu_ns)
            energy_uj, record.energy_method = modelled_uj(cpu_us, self.uw_per_core), _MODELLED
        else:
            energy_uj, record.energy_method = table_uj(self.energy, asked, answered, cached), _TABLE
        record.energy_uj, record.co2_ug = energy_uj, co2_ug(energy_uj, ci_mg_per_kwh)


@dataclass(frozen=True, slots=True)
class Tariffs:
    """Every expert's tariff, the router's own, and the fallback's for the counterfactual."""

    grids: Grids
    uw_per_core: int
    electricity: Electricity
    by_expert: dict[str, Tariff]
    fallback: Fallback
    terms: Terms
    """All of it as JSON, for the ledger to keep once, and the name that every entry has for it."""

    @classmethod
    def of_registry(cls, registry: Registry) -> Self:
        """Resolve a registry's prices, energies and grid. Raises `UnknownZone` or `BadGridHours`."""
        power = registry.power
        uw_per_core = round(power.dynamic_w_per_core * power.pue * 1e6)
        told = {spec.id: _told(spec, registry) for spec in registry.experts}
        by_expert = {
            spec.id: Tariff(
                UnitPrice.kept(told[spec.id]["price"]),
                UnitEnergy(*told[spec.id]["energy_pj"]),
                uw_per_core,
                in_router=told[spec.id]["metered"] == "router",
                has_process=told[spec.id]["metered"] == "process",
                device=spec.device or ("cpu" if spec.kind == "llama_cpp" else ""),
                pue_ppm=round(power.pue * PPM),
                avoidable_ppm=told[spec.id]["avoidable_ppm"],
            )
            for spec in registry.experts
        }
        own, electricity = by_expert[registry.fallback], Electricity.of(power.usd_per_kwh)
        body = json.dumps(
            {
                "uw_per_core": uw_per_core,
                "pue_ppm": round(power.pue * PPM),
                "embodied_ng_per_core_s": _embodied(power.embodied_kg, power.life_years, power.cores or cores()),
                "embodied_source": power.embodied_source,
                "power": f"{power.dynamic_w_per_core:g} W/core, {power.source} ({power.as_of})",
                "fallback": registry.fallback,
                "experts": told,
                "encoder": INSIDE.version,
            }
            | ({"electricity": astuple(electricity)} if electricity.version else {}),
            sort_keys=True,
        )
        return cls(
            Grids.of(registry.grid_zone, registry.grid_hours),
            uw_per_core,
            electricity,
            by_expert,
            Fallback(registry.fallback, own.price, own.energy, assumed_b(told[registry.fallback])),
            Terms(registry.fallback, f"{power.dynamic_w_per_core:g} W/core {power.as_of} {hash_of(body)}", body),
        )

    def of(self, expert: str) -> Tariff:
        """An expert's tariff; the encoder, which is no expert, works inside the router for nothing more."""
        return self.by_expert.get(expert) or Tariff(INSIDE, NO_ENERGY, self.uw_per_core, in_router=True)

    def router(self, cpu_ns: int, ci_mg_per_kwh: int) -> tuple[int, int, int]:
        """What the router's own work took, in microseconds of CPU, microjoules and micrograms."""
        cpu_us = whole_us(cpu_ns)
        energy_uj = modelled_uj(cpu_us, self.uw_per_core)
        return cpu_us, energy_uj, co2_ug(energy_uj, ci_mg_per_kwh)


def whole_us(ns: int) -> int:
    """Microseconds, to the nearest: what is charged is what the row says, so that it can be computed again."""
    return (ns + 500) // 1000


def _told(spec: AnySpec, registry: Registry) -> dict[str, Any]:
    """One expert's part of the body."""
    power = registry.power
    owned = spec.hardware
    unit, size = unit_price(spec, power.pue), Size.of(spec)
    energy = energy_of(spec, power)
    per_token = UnitEnergy.of(energy, power.pue)
    capacity = getattr(spec, "capacity", "api")
    return {
        "price": unit.to_json(),
        "energy_pj": [per_token.input_pj, per_token.output_pj],
        "metered": _metered(spec),
        "energy_source": f"{energy.source} ({energy.as_of})",
        "capacity": capacity,
        "avoidable_ppm": avoidable_ppm(capacity, owned, power.pue),
        "size": None if spec.energy else list(astuple(size)),
        "embodied_ng_per_s": _embodied(owned.embodied_kg, owned.life_years, size.batch) if owned else 0,
    } | {
        name: True for name, is_so in (("assumed", spec.params_assumed and not spec.energy), ("owned", owned)) if is_so
    }


def _metered(spec: AnySpec) -> str:
    """By what an expert's energy is told where no counter measures it."""
    if spec.kind in IN_ROUTER:
        return "router"
    return "process" if spec.kind == "llama_cpp" else "tokens"


def _embodied(kg: float | None, life_years: float, shared_by: float) -> int:
    """Nanograms for each second one of those who share a machine uses it."""
    return round((kg or 0.0) * 1e12 / (life_years * HOURS_PER_YEAR * 3600) / shared_by)


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
