"""One attempt's stake in a device: what it put in so far, and the joules that fell to it."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Protocol

from experts.wire import Usage
from router.meter.carbon import co2_ug
from router.meter.counters.division import Work
from router.meter.energy import UnitEnergy
from router.meter.ppm import PPM
from router.meter.record import Attempt, Correction, EnergyMethod


class Heard(Protocol):
    """An attempt under way, as far as it is seen from here."""

    record: Attempt

    def tokens_heard(self) -> int:
        """Of the answer, so far."""
        ...


class Settled(Protocol):
    """Told of what awaited its counter."""

    def __call__(
        self, expert: str | None, method: EnergyMethod, energy_uj: int, co2_ug: int, yusd: int | None = None
    ) -> None:
        """How the energy of an attempt is known now.

        Without an expert it is that of the router's own work for a request; `yusd` is what that cost, in yocto-dollars,
        where electricity has a price.
        """


def nobody(*_: object, **__: object) -> None:
    """Hears it."""


@dataclass(slots=True, eq=False)
class Stake:
    """Held by an attempt from its beginning until its request is closed and the counter has shown all it took."""

    request_id: str
    n: int
    expert: str
    device: str
    energy: UnitEnergy
    pue_ppm: int
    ci_mg_per_kwh: int
    attempt: Heard
    work: Work
    began_ns: int
    uj: int = 0
    """Of the device, so far."""
    used: Usage | None = None
    """Set when it has ended."""
    ended_ns: int = 0
    paced: bool = False
    """It has ended, and its expert's pace was learnt from that."""
    closed: bool = False
    """Its request is closed, so its row is on its way into the ledger."""
    lost: bool = False
    """Its counter was lost: nothing will be said of it."""
    is_fallback_answer: bool = False

    def began_by(self, ns: int, heard: Container[Stake]) -> bool:
        """Whether it had begun at a reading, where those of `heard` were under way."""
        return self.began_ns < ns and (self in heard or self.used is not None)

    def was_there(self, since_ns: int) -> bool:
        """Whether it was under way at some time since then."""
        return self.used is None or self.ended_ns >= since_ns

    def step(self, now_ns: int, heard: int | None, pace_pj_per_s: float) -> float:
        """The work it did since the last reading; `heard` are its tokens then, None if it had ended."""
        if self.used is None or heard is not None:
            return self.work.advance(now_ns, heard or 0, pace_pj_per_s)
        fresh = max(self.used.input - self.used.cached, 0)
        return self.work.finish(self.ended_ns, fresh * self.energy.input_pj, self.used.output)

    def correction(self, method: EnergyMethod) -> Correction:
        """What the ledger shall say of it; the building's share is in it."""
        energy_uj = (self.uj * self.pue_ppm + PPM // 2) // PPM
        carbon = co2_ug(energy_uj, self.ci_mg_per_kwh)
        return Correction(self.request_id, self.n, energy_uj, carbon, method, self.is_fallback_answer)
