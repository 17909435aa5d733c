"""Energy of NVIDIA cards, from the counter of their driver (Volta and newer); needs the `nvidia` extra.

The counter moves about every 100 ms, so it is never read for a single request.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Self

from router.meter.record import EnergyMethod

REMEDY: Final = (
    "look at its driver with nvidia-smi; cards older than Volta have no counter, and where only a slice of a card "
    "(MIG) is visible, in a container say, there is none either"
)

WORKS_PERCENT: Final = 10
"""Of the last moments; less a card works for a desktop too."""

_SEVERAL: Final = re.compile(r"gpu:(\d+)-(\d+)")

log = logging.getLogger("shoal.meter")


class NvidiaCard:
    """One card."""

    method = EnergyMethod.MEASURED
    ranges_uj: Sequence[int | None] = (None,)

    def __init__(self, library: Any, index: int) -> None:
        self.name = f"gpu:{index}"
        self._library = library
        self._handle = library.nvmlDeviceGetHandleByIndex(index)
        library.nvmlInit()  # counted by the library: every card holds it open until closed

    @classmethod
    def find_all(cls, library: Any = None) -> list[Self]:
        """The cards that have a counter; none without library, driver or card. What is missing is said once."""
        if library is None:
            try:
                library = importlib.import_module("pynvml")
            except ImportError:
                return []
        try:
            library.nvmlInit()
            count = library.nvmlDeviceGetCount()
        except library.NVMLError as error:
            log.info("no NVIDIA card is measured: %s", error)
            return []
        cards = [card for index in range(count) if (card := cls._open(library, index))]
        library.nvmlShutdown()
        return cards

    @classmethod
    def _open(cls, library: Any, index: int) -> Self | None:
        """A card; None where it cannot be read, which is said with why."""
        try:
            card = cls(library, index)
        except library.NVMLError as error:
            log.warning("energy is not measured, gpu:%d: %s. Remedy: %s", index, error, REMEDY)
            return None
        try:
            card.read()
        except OSError as error:
            log.warning("energy is not measured, %s. Remedy: %s", error, REMEDY)
            card.close()
            return None
        return card

    def read(self) -> list[int]:
        """Since the driver was loaded, in microjoules; the driver counts millijoules. Raises OSError."""
        try:
            return [int(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle)) * 1000]
        except self._library.NVMLError as error:
            raise OSError(f"{self.name}: {error}") from error

    def works(self) -> bool | None:
        """Whether any program, in a container too, had it calculate in its last moments; None where it cannot say."""
        try:
            return int(self._library.nvmlDeviceGetUtilizationRates(self._handle).gpu) >= WORKS_PERCENT
        except self._library.NVMLError:
            return None  # slices of a card (MIG) have none, and a card that falls off is told of by its counter

    def close(self) -> None:
        """Let go of the library."""
        self._library.nvmlShutdown()


class Cards:
    """Several cards over which one model is spread, as one device."""

    method = EnergyMethod.MEASURED

    def __init__(self, name: str, cards: Sequence[NvidiaCard]) -> None:
        self.name = name
        self.ranges_uj: Sequence[int | None] = (None,) * len(cards)
        self._cards = cards

    def read(self) -> list[int]:
        """Of each, as `NvidiaCard.read`. Raises OSError."""
        return [each for card in self._cards for each in card.read()]

    def works(self) -> bool | None:
        """Whether one of them does; None where none can say."""
        said = [each for card in self._cards if (each := card.works()) is not None]
        return any(said) if said else None

    def close(self) -> None:
        """Let go of all."""
        for card in self._cards:
            card.close()


def spread(cards: Sequence[NvidiaCard], devices: Iterable[str]) -> list[NvidiaCard | Cards]:
    """Cards, those together that a device such as `gpu:0-3` names; a card is in one device, the first that has it."""
    left = {card.name: card for card in cards}
    found: list[NvidiaCard | Cards] = []
    for device in devices:
        if (several := _SEVERAL.fullmatch(device)) is None:
            continue
        names = [f"gpu:{index}" for index in range(int(several[1]), int(several[2]) + 1)]
        if names and all(name in left for name in names):
            found.append(Cards(device, [left.pop(name) for name in names]))
    return [*found, *left.values()]
