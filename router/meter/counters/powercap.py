"""Energy of processors and memory as Linux's powercap tree tells it (Intel and AMD RAPL).

https://docs.kernel.org/power/powercap/powercap.html. Zones named package-N are whole processors, `dram` beside them is
memory; `core` and `uncore` are parts of a package and would be counted twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self

from router.meter.record import EnergyMethod

ROOT: Final = Path("/sys/class/powercap")

log = logging.getLogger("shoal.meter")


class Powercap:
    """The processors of this machine, as one device."""

    name = "cpu"
    method = EnergyMethod.MEASURED_SHARE

    def __init__(self, zones: Sequence[Path], ranges_uj: Sequence[int | None]) -> None:
        """Use `Powercap.find`."""
        self._files = [zone / "energy_uj" for zone in zones]
        self.ranges_uj = ranges_uj

    @classmethod
    def find(cls, root: Path = ROOT) -> Self | None:
        """The zones under `root`; None where there are none or they may not be read, which is said once with why."""
        zones = sorted(_zones(root))
        if not zones:
            return None
        found = cls(zones, [_range(zone) for zone in zones])
        try:
            found.read()
        except OSError as error:
            log.warning(
                "energy of the processor is modelled, not measured: %s. Remedy: chmod o+r %s/*/energy_uj as root at "
                "every start (only root may read it since CVE-2020-8694), or leave it so",
                error,
                root,
            )
            return None
        return found

    def read(self) -> list[int]:
        """Every zone, in microjoules. Raises OSError."""
        try:
            return [int(file.read_text()) for file in self._files]
        except ValueError as error:
            raise OSError(f"a counter is no number: {error}") from error

    def works(self) -> None:
        """A processor always does a little; whose work it is its CPU time says."""

    def close(self) -> None:
        """Nothing is held open."""


def _zones(root: Path) -> Iterator[Path]:
    """Packages and memory, each once.

    The tree lists inner zones also at the top, by links, and laptops have the same package behind two interfaces
    (`intel-rapl` and `intel-rapl-mmio`).
    """
    seen: set[Path | tuple[str, str]] = set()
    for zone in sorted(root.glob("*:*"), key=lambda zone: ("mmio" in zone.name, zone)):
        try:
            name, place = (zone / "name").read_text().strip(), zone.resolve()
            of = (place.parent / "name").read_text().strip() if name == "dram" else ""
        except OSError:
            continue  # a control that is no zone
        known = name.startswith("package-") or name == "dram"
        if known and (zone / "energy_uj").exists() and not {place, (of, name)} & seen:
            seen |= {place, (of, name)}
            yield zone


def _range(zone: Path) -> int | None:
    try:
        return int((zone / "max_energy_range_uj").read_text())
    except (OSError, ValueError):
        return None
