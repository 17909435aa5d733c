"""What cards took for doing nothing, kept for the next start: a busy server may never see them left alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from experts.disk import unkept
from experts.state_file import StateDamaged, number, read_state, sealed
from experts.whole import write_whole
from router.meter.counters.division import IdlePower, QuietPower
from router.meter.counters.reader import MOST_W

IDLE_POWER: Final = "idle_power.json"
"""The file, beside the ledger."""

CHANGED: Final = 0.02
"""Of a power; one that changed by less is not written again."""

log = logging.getLogger("shoal.meter")


class Remembered:
    """Watts by device, as they were when they were last kept."""

    def __init__(self, path: Path) -> None:
        """What is in the file; one that is damaged is said and begun anew."""
        self._path = path
        self._watts = _read(path)

    def watts(self, device: str) -> float | None:
        """What it took for doing nothing; None where nobody knew."""
        return self._watts.get(device)

    def keep(self, powers: Mapping[str, IdlePower]) -> None:
        """Write what has been learnt of cards, where it changed. For a thread that may wait for the disk."""
        learnt = {
            name: power.watts
            for name, power in powers.items()
            if isinstance(power, QuietPower) and power.quiet and not power.fixed and power.watts is not None
        }
        if all(name in self._watts and _same(watts, self._watts[name]) for name, watts in learnt.items()):
            return
        self._watts |= learnt
        with unkept(self._path.parent, "after the next start cards are measured once they were left alone"):
            write_whole(self._path, sealed(dict(self._watts)))


def _same(watts: float, before: float) -> bool:
    return abs(watts - before) <= CHANGED * before


def _read(path: Path) -> dict[str, float]:
    try:
        state = read_state(path)
        watts = {device: number(state, device) for device in state}
        if any(not 0 <= each <= MOST_W for each in watts.values()):
            raise StateDamaged(f"no device takes less than 0 W or more than {MOST_W:,}")
    except FileNotFoundError:
        return {}
    except StateDamaged as error:
        log.warning("%s: %s, so cards are measured once they were left alone", path, error)
        return {}
    return watts
