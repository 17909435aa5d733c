"""What devices took while nobody asked them anything, in a period. It is kept by the hour, for every run of the server.

Of an hour that lies in a period only in part its slices tell, which are a minute long and never change once they are
written. So what is told of a time that is past is told for ever, and two adjoining times have what both together have.
Hours from before there were slices, or that are so old that theirs are gone, are divided evenly over the time in which
the run was there. The router's part by the counter is kept by the hour alone: of a part of one in proportion.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from router.meter.devices import AMOUNTS, part, within
from router.meter.hours_schema import HOUR_US
from router.meter.ppm import PPM
from router.meter.record import EnergyMethod

_KEY: Final = "boot, device, method, pue_ppm"
_SUMS: Final = ", ".join(f"d.{name}" for name in (*AMOUNTS, "router_uj"))
_IDLE: Final = AMOUNTS.index("idle_uj")
_BUSY: Final = (("counter_uj", 1), ("idle_uj", -1), ("other_uj", -1))

_WHOLE: Final = f"""
SELECT n.name, d.method, d.pue_ppm, {_SUMS} FROM device_hours d JOIN names n ON n.id = d.device
WHERE d.hour >= ? AND d.hour < ?
"""  # noqa: S608 (made of constants)
_PART: Final = f"""
SELECT {", ".join(f"d.{name}" for name in _KEY.split(", "))}, n.name, b.started_us, b.ended_us, {_SUMS}
FROM device_hours d JOIN names n ON n.id = d.device LEFT JOIN boots b ON b.id = d.boot WHERE d.hour = ?
"""  # noqa: S608 (made of constants)
_SLICES: Final = f"""
SELECT {_KEY}, since_us, until_us, {", ".join(AMOUNTS)} FROM device_slices WHERE since_us >= ? AND since_us < ?
"""  # noqa: S608 (made of constants)
_KNOWN: Final = """
SELECT max(until_us) FROM (SELECT until_us FROM device_slices ORDER BY since_us DESC LIMIT 64)
WHERE EXISTS (SELECT 1 FROM boots WHERE ended_us IS NULL)
"""
"""Up to when slices tell, while there is a run that makes more; of several devices the last one's."""

Slice = tuple[int, int, Sequence[int]]
"""Begin, end, and what came in it, as `AMOUNTS` and for the router's own work."""


@dataclass(slots=True)
class Idle:
    """What a device took while nobody asked it anything; in no request. Beside it the counter's other parts."""

    method: EnergyMethod
    energy_uj: int = 0
    """With what the building takes for it; the other energies are as the counter gave them."""
    co2_ug: int = 0
    counter_uj: int = 0
    other_uj: int = 0
    """What other programs on the machine took."""
    missed: int = 0
    """Looks at the counter that failed."""
    resting_uj: int = 0
    """Idle, as the counter gave it."""
    router_uj: int = 0
    """Of the router's process, whatever it worked for; requests are charged what it did for them."""
    router_built_uj: int = 0
    """The same with what the building takes for it."""

    @property
    def attempts_uj(self) -> int:
        """What is left of the counter: of work that was asked for."""
        return self.counter_uj - self.resting_uj - self.router_uj - self.other_uj

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
            "counter_parts_j": {
                "attempts": self.attempts_uj / 1e6,
                "router": self.router_uj / 1e6,
                "idle": self.resting_uj / 1e6,
                "other": self.other_uj / 1e6,
            },
            "missed_samples": self.missed,
        }


@dataclass(slots=True)
class IdleTime:
    """What a period's devices took, and how well that is known."""

    devices: dict[str, Idle] = field(default_factory=dict)
    divided: bool = False
    """Of an hour without slices a part was told."""
    known_until_us: int | None = None
    """What came later is not in it yet; None where all is."""

    @property
    def router_uj(self) -> int | None:
        """What counters say the router's own work took, the building's part in it; None where none saw any."""
        return sum(each.router_built_uj for each in self.devices.values()) or None

    def add(self, name: str, method: int, amounts: Sequence[int]) -> None:
        """More of a device, as `_built` gives it."""
        counter_uj, resting_uj, other_uj, co2_ug, missed, router_uj, idle_uj, router_built_uj = amounts
        more = Idle(
            EnergyMethod(method), idle_uj, co2_ug, counter_uj, other_uj, missed, resting_uj, router_uj, router_built_uj
        )
        self.devices[name] = self.devices[name] + more if name in self.devices else more


def idle(connection: sqlite3.Connection, since_us: int, until_us: int) -> IdleTime:
    """Of a period (microseconds since 1970, end not included)."""
    found = IdleTime()
    first, end = -(-since_us // HOUR_US), until_us // HOUR_US
    for name, method, pue_ppm, *amounts in connection.execute(_WHOLE, (first, end)):
        found.add(name, method, _built(amounts, pue_ppm))
    for hour in {since_us // HOUR_US, (until_us - 1) // HOUR_US}:
        if since_us < until_us and not first <= hour < end:
            _part_of_hour(connection, hour, within(hour, since_us), within(hour, until_us), found)
    (known_us,) = connection.execute(_KNOWN).fetchone()
    if known_us is not None and known_us < until_us:
        found.known_until_us = known_us
    return found


def _part_of_hour(connection: sqlite3.Connection, hour: int, since_us: int, until_us: int, found: IdleTime) -> None:
    slices: dict[tuple[int, ...], list[Slice]] = {}
    for row in connection.execute(_SLICES, (hour * HOUR_US, (hour + 1) * HOUR_US)):
        slices.setdefault(row[:4], []).append((row[4], row[5], (*row[6:], 0)))
    for row in connection.execute(_PART, (hour,)):
        key, (name, started_us, ended_us, *whole) = row[:4], row[4:]
        own = slices.get(key) or [_run(hour, started_us, ended_us, whole)]
        _, _, method, pue_ppm = key
        before, after = (_built(_come(hour, own, whole, upto_us), pue_ppm) for upto_us in (since_us, until_us))
        amounts = [late - early for early, late in zip(before, after, strict=True)]
        found.divided |= key not in slices and any(amounts) and amounts != _built(whole, pue_ppm)
        found.add(name, method, amounts)


def _come(hour: int, slices: Sequence[Slice], whole: Sequence[int], upto_us: int) -> Sequence[int]:
    """What had come by a moment of an hour's `whole`. What no slice tells (a run died) came when the last one ended."""
    if upto_us > hour * HOUR_US and upto_us >= max(end_us for _, end_us, _ in slices):
        return whole
    come = [part(amounts, begin_us, end_us, upto_us) for begin_us, end_us, amounts in slices]
    *sums, _ = (sum(each) for each in zip(*come, strict=True))
    # Slices do not tell the router from attempts: of both the router has what it has of the hour's.
    all_busy_uj = _busy_uj(whole)
    return [*sums, _busy_uj(sums) * whole[-1] // all_busy_uj if all_busy_uj else 0]


def _busy_uj(amounts: Sequence[int]) -> int:
    """What attempts and the router took together."""
    return sum(sign * amounts[AMOUNTS.index(name)] for name, sign in _BUSY)


def _built(amounts: Sequence[int], pue_ppm: int) -> list[int]:
    """The same, and idle and the router once more, with what the building takes for them."""
    return [*amounts, *(amounts[at] * pue_ppm // PPM for at in (_IDLE, -1))]


def _run(hour: int, started_us: int | None, ended_us: int | None, whole: Sequence[int]) -> Slice:
    """All of an hour as one, as long as the run was there."""
    begin_us, end_us = within(hour, started_us or 0), within(hour, ended_us or (hour + 1) * HOUR_US)
    if begin_us >= end_us:  # the clock was set, and says that the run was never there
        begin_us, end_us = hour * HOUR_US, (hour + 1) * HOUR_US
    return begin_us, end_us, whole
