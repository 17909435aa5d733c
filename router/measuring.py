"""This machine's counters, put to work for a running service."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from experts.extras import install
from router.live import Live
from router.meter.counters.accounting import Accounting
from router.meter.counters.cpu import Clocks
from router.meter.counters.device import PROCESSOR, idle_power
from router.meter.counters.division import IdlePower
from router.meter.counters.own import OwnWork
from router.meter.counters.reader import Reader
from router.meter.counters.remembered import IDLE_POWER, Remembered
from router.meter.counters.sampler import Sampler, find_readers
from router.meter.counters.stake import Settled
from router.meter.energy import SharedCpuClock
from router.meter.housekeeping import Keeping
from router.meter.lead import leading
from router.meter.ledger import Ledger
from router.meter.ppm import PPM
from router.meter.steady import utc_us
from router.meter.tariff import cores

log = logging.getLogger("shoal.meter")

PROC_STAT: Final = Path("/proc/stat")

_BUSY: Final = (0, 1, 2, 5, 6)
"""Columns of /proc/stat that are work: user, nice, system, irq, softirq."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What is measured here."""

    counters: Accounting | None
    """None where there is nothing to read."""
    leads: bool
    """This process speaks for the machine."""

    def measures(self, device: str) -> bool:
        """Whether a counter of this device is read."""
        return self.counters is not None and device in self.counters.devices


@asynccontextmanager
async def measuring(
    live: Live, ledger: Ledger, settled: Settled, router_clock: SharedCpuClock
) -> AsyncIterator[Machine]:
    """This machine's energy while the service runs.

    Counters count for the whole machine, so of several processes that serve one data folder only the first reads them;
    what the others answer stays modelled. `settled` hears of everything that awaited its counter; `router_clock` is
    what requests share the router's own CPU time by.
    """
    with leading(ledger.path.with_name("counters.lock")) as leads:
        devices = sorted({spec.device for spec in live.snapshot.registry.experts if spec.device is not None})
        readers = await asyncio.to_thread(find_readers, devices) if leads else []
        if leads:
            _say(live, [reader.name for reader in readers])
        if not readers:
            yield Machine(None, leads)
            return
        kept = Remembered(ledger.path.with_name(IDLE_POWER))
        idle = _idle(readers, live, kept)
        counters = _accounting(readers, idle, live, ledger, settled, OwnWork(router_clock))
        async with Sampler(readers, counters, afterwards=lambda: kept.keep(idle)):
            yield Machine(counters, leads)


def _say(live: Live, measured: Sequence[str]) -> None:
    """What is measured, and what was to be but is not."""
    if measured:
        log.info("energy is measured: %s", ", ".join(measured))
    else:
        log.info(
            "energy is not measured: this machine has no readable counter; it is modelled, or from the table by size"
        )
    for spec in live.snapshot.registry.experts:
        if spec.device == "cpu" and spec.kind != "llama_cpp":
            log.warning(
                "expert %s: what it takes of the processor is not known, for it is no child of this server, so its "
                "energy is not measured. Remedy: leave `device` out",
                spec.id,
            )
        elif spec.device is not None and spec.device not in measured:
            log.warning(
                "expert %s: no counter of its device %s can be read here, so its energy is not measured. Remedy: a "
                "card needs its driver and %s, a processor a readable /sys/class/powercap; or leave `device` out",
                spec.id, spec.device, install("nvidia"),
            )  # fmt: skip


def _idle(readers: Sequence[Reader], live: Live, kept: Remembered) -> dict[str, IdlePower]:
    """By device what it takes for doing nothing, as far as that is known; where it is not, that is said."""
    power, names = live.snapshot.registry.power, [reader.name for reader in readers]
    idle = {name: idle_power(name, power.idle_of(name), kept.watts(name)) for name in names}
    for name in names:
        if not idle[name].known and name != PROCESSOR:
            log.info(
                "%s: what it takes for doing nothing is not known yet, so its requests are measured only once nobody "
                "has asked it for two seconds. Remedy: where that never is so, `power: {idle_w: {%s: WATTS}}`",
                name, name,
            )  # fmt: skip
    declared = power.idle_w if isinstance(power.idle_w, dict) else {}
    for name in declared.keys() - idle.keys():
        log.warning("power.idle_w: no counter of %s can be read here. Remedy: leave it out", name)
    return idle


def _accounting(
    readers: Sequence[Reader], idle: Mapping[str, IdlePower], live: Live, ledger: Ledger, settled: Settled, own: OwnWork
) -> Accounting:
    power = live.snapshot.registry.power
    clocks = Clocks(lambda expert: live.snapshot.pool.cpu_ns(expert), time.process_time_ns, machine_cpu_ns)
    return Accounting(
        readers, clocks, ledger.measured, lambda: live.snapshot.tariffs.grids.at(utc_us()).mg_per_kwh,
        idle, power.pue, settled=settled, own=own,
    )  # fmt: skip


def keeping(live: Live, machine: Machine) -> Keeping:
    """What housekeeping has to know, as the registry says it now."""
    registry = live.snapshot.registry
    power = registry.power
    modelled = not machine.measures("cpu")
    idles = modelled and machine.leads and power.idle_w_per_core is not None
    idle_w = (power.idle_w_per_core or 0.0) * (power.cores or cores()) if idles else None
    grid = live.snapshot.tariffs.grids.at(utc_us())
    return Keeping(
        registry.ledger_days, idle_w, round(power.pue * PPM), grid.mg_per_kwh,
        live.snapshot.pool.loading_ns() if modelled else 0, power.dynamic_w_per_core,
    )  # fmt: skip


def machine_cpu_ns(stat: Path = PROC_STAT) -> int | None:
    """CPU time of all programs since this machine started; None where the system does not say."""
    try:
        line = stat.read_text().split("\n", 1)[0].split()[1:]
        return sum(int(line[column]) for column in _BUSY) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None
