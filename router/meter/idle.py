"""What devices took while nobody asked them anything, in a period. It is kept by the hour, for every run of the server.

An hour that lies in a period only in part gives the part of the time that lies in it: of the time in which the run was
there, so that the hour in which a server was started, or the present one, is not made too thin.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, fields
from typing import Any, Final

from router.meter.hours_schema import HOUR_US
from router.meter.record import EnergyMethod

_SUMS: Final = (
    "sum(d.idle_uj * d.pue_ppm / 1000000), sum(d.idle_co2_ug), sum(d.counter_uj), sum(d.other_uj), sum(d.missed)"
)
_WHOLE: Final = f"""
SELECT n.name, max(d.method), {_SUMS} FROM device_hours d JOIN names n ON n.id = d.device
WHERE d.hour >= ? AND d.hour < ? GROUP BY 1
"""  # noqa: S608 (made of constants)
_PART: Final = f"""
SELECT b.started_us, b.ended_us, n.name, max(d.method), {_SUMS}
FROM device_hours d JOIN names n ON n.id = d.device LEFT JOIN boots b ON b.id = d.boot
WHERE d.hour = ? GROUP BY d.boot, n.name
"""  # noqa: S608 (made of constants)


@dataclass(slots=True)
class Idle:
    """What a device took while nobody asked it anything; never part of a request."""

    method: EnergyMethod
    energy_uj: int = 0
    co2_ug: int = 0
    counter_uj: int = 0
    other_uj: int = 0
    """What other programs on the machine took."""
    missed: int = 0
    """Looks at the counter that failed."""

    def __add__(self, other: Idle) -> Idle:
        """Of another time."""
        sums = (getattr(self, each.name) + getattr(other, each.name) for each in fields(self)[1:])
        return Idle(max(self.method, other.method), *sums)

    def to_json(self) -> dict[str, Any]:
        """As in `shoal meter report --json`."""
        return {
            "energy_j": self.energy_uj / 1e6,
            "co2_g": self.co2_ug / 1e6,
            "source": self.method.label,
            "counter_j": self.counter_uj / 1e6,
            "others_j": self.other_uj / 1e6,
            "missed_samples": self.missed,
        }


def idle(
    connection: sqlite3.Connection, since_us: int, until_us: int, now_us: int
) -> tuple[dict[str, Idle], bool]:  # fmt: skip
    """By device, of a period (microseconds since 1970, end not included), and whether an hour was divided."""
    found: dict[str, Idle] = {}
    first, end = -(-since_us // HOUR_US), until_us // HOUR_US
    for name, method, *sums in connection.execute(_WHOLE, (first, end)):
        found[name] = Idle(EnergyMethod(method), *sums)
    divided = False
    for hour in {since_us // HOUR_US, (until_us - 1) // HOUR_US}:
        if first <= hour < end:
            continue
        for started_us, ended_us, name, method, *sums in connection.execute(_PART, (hour,)):
            inside_us, whole_us = _inside(hour, (started_us, ended_us or now_us), (since_us, until_us))
            divided |= inside_us < whole_us
            part = Idle(EnergyMethod(method), *(each * inside_us // whole_us for each in sums))
            found[name] = found[name] + part if name in found else part
    return found, divided


def _inside(hour: int, run: tuple[int | None, int], period: tuple[int, int]) -> tuple[int, int]:
    """How much of a run's time in an hour lies in a period, and how long that time is, in microseconds."""
    begin, end = hour * HOUR_US, (hour + 1) * HOUR_US
    there = max(begin, run[0] or 0), min(end, run[1])
    if there[0] >= there[1]:  # the clock was set, and says that the run was never there
        there = begin, end
    return max(min(there[1], period[1]) - max(there[0], period[0]), 0), there[1] - there[0]
