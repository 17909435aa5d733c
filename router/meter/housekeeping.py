"""What the ledger needs done beside serving: hours added up, old rows deleted, modelled energy of nobody noted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from router.chore import chore
from router.meter.carbon import co2_ug
from router.meter.devices import DeviceShare, DeviceSlice, Measured, hours_between, part
from router.meter.hours_schema import DAY_US, HOUR_US
from router.meter.ledger import Ledger
from router.meter.ppm import PPM
from router.meter.record import EnergyMethod
from router.meter.rollup import Rollup, add_up, add_up_day, due, due_days
from router.meter.steady import SteadyClock
from router.meter.totals import LOADING

PERIOD_S: Final = 60.0
FIRST_S: Final = 1.0
"""How soon after a start what devices took is noted first, then after twice that time and so on: who looks at a server
that has just begun sees most of it."""
NOT_MEASURED: Final = "cpu, not measured"

log = logging.getLogger("shoal.meter")


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the registry says of it now."""

    raw_days: int
    idle_w: float | None
    """Of this machine's processors when they do nothing; None where it is measured, or nobody knows."""
    pue_ppm: int
    ci_mg_per_kwh: int
    loading_ns: int = 0
    """CPU time that loading experts took so far, in this process's children; it never goes back."""
    w_per_core: float = 0.0
    """Of a busy core, above idle."""


class Housekeeping:
    """Does it every minute, at first sooner, until cancelled."""

    def __init__(self, ledger: Ledger, keeping: Callable[[], Keeping], clock: SteadyClock) -> None:
        self._ledger = ledger
        self._keeping = keeping
        self._clock = clock
        self._idle_since_ns = clock.now_ns()
        self._loading_ns = 0

    async def run(self) -> None:
        """Until cancelled."""
        await chore("the ledger's hours could not be added up", self.tidy, PERIOD_S, FIRST_S)

    async def tidy(self) -> tuple[int, int]:
        """Once. Returns hours added up and requests deleted. Raises MeterUnavailable."""
        self.note()
        hours = await self._roll_up(self._hours)
        await self._roll_up(self._days)
        trusted_us = self._clock.trusted_us()
        if trusted_us is None:
            return hours, 0
        removed = await self._ledger.prune(trusted_us - self._keeping().raw_days * DAY_US)
        if removed:
            log.info("rows of %d requests were too old and are deleted; their hours' sums stay", removed)
        return hours, removed

    def note(self) -> None:
        """What nobody asked for since the last time, where it is not measured: processors at rest, experts loaded."""
        keeping, now_ns = self._keeping(), self._clock.now_ns()
        rested_ns, self._idle_since_ns = now_ns - self._idle_since_ns, now_ns
        loaded_ns, self._loading_ns = keeping.loading_ns - self._loading_ns, keeping.loading_ns
        uj = {LOADING: round(keeping.w_per_core * loaded_ns / 1000)}
        if keeping.idle_w is not None:
            uj[NOT_MEASURED] = round(keeping.idle_w * rested_ns / 1000)
        until_us = self._clock.now_us()
        since_us = until_us - rested_ns // 1000
        slices = [
            each for device, idle_uj in uj.items() if idle_uj
            for each in self._slices(keeping, device, idle_uj, since_us, until_us)
        ]  # fmt: skip
        if slices:
            self._ledger.measured(Measured([], [_share(each) for each in slices], slices))

    def _slices(
        self, keeping: Keeping, device: str, idle_uj: int, since_us: int, until_us: int
    ) -> Iterator[DeviceSlice]:
        """One for each hour of the time."""
        before_uj = before_ug = 0
        for _, begin_us, end_us in hours_between(since_us, until_us):
            (upto_uj,) = part([idle_uj], since_us, until_us, end_us)
            upto_ug = co2_ug(upto_uj * keeping.pue_ppm // PPM, keeping.ci_mg_per_kwh)
            uj, ug = upto_uj - before_uj, upto_ug - before_ug
            before_uj, before_ug = upto_uj, upto_ug
            yield DeviceSlice(device, EnergyMethod.MODELLED, keeping.pue_ppm, begin_us, end_us, [uj, uj, 0, ug, 0])

    async def _roll_up(self, added_up: Callable[[], list[Rollup]]) -> int:
        """Write what is due, some at a time, until nothing is; returns how many that were."""
        many = 0
        while found := await asyncio.to_thread(added_up):
            for rollup in found:
                await self._ledger.roll_up(rollup)
            many += len(found)
        return many

    def _hours(self) -> list[Rollup]:
        with closing(self._ledger.read()) as connection:
            return [add_up(connection, hour) for hour in due(connection, self._clock.now_us())]

    def _days(self) -> list[Rollup]:
        with closing(self._ledger.read()) as connection:
            return [add_up_day(connection, day) for day in due_days(connection, self._clock.now_us())]


def _share(found: DeviceSlice) -> DeviceShare:
    """The hour's, of what has no counter: all of it is idle."""
    counter_uj, idle_uj, _, co2_ug, _ = found.amounts
    return DeviceShare(
        found.since_us // HOUR_US, found.device, found.method, found.pue_ppm,
        counter_uj=counter_uj, idle_uj=idle_uj, idle_co2_ug=co2_ug, samples=1,
    )  # fmt: skip
