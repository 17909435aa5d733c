"""Energy of NVIDIA cards, from the counter of their driver (Volta and newer); needs the `nvidia` extra.

The counter moves about every 100 ms, so it is never read for a single request.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from typing import Any, Self

from router.meter.record import EnergyMethod

log = logging.getLogger("shoal.meter")


class NvidiaCard:
    """One card."""

    method = EnergyMethod.MEASURED
    ranges_uj: Sequence[int | None] = (None,)

    def __init__(self, library: Any, index: int) -> None:
        library.nvmlInit()  # counted by the library: every card holds it open until closed
        self.name = f"gpu:{index}"
        self._library = library
        self._handle = library.nvmlDeviceGetHandleByIndex(index)

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
            cards = [cls(library, index) for index in range(library.nvmlDeviceGetCount())]
            library.nvmlShutdown()
        except library.NVMLError as error:
            log.info("no NVIDIA card is measured: %s", error)
            return []
        readable = [card for card in cards if card._readable()]
        for card in cards:
            if card not in readable:
                card.close()
        return readable

    def read(self) -> list[int]:
        """Since the driver was loaded, in microjoules; the driver counts millijoules. Raises OSError."""
        try:
            return [int(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle)) * 1000]
        except self._library.NVMLError as error:
            raise OSError(f"{self.name}: {error}") from error

    def close(self) -> None:
        """Let go of the library."""
        self._library.nvmlShutdown()

    def _readable(self) -> bool:
        try:
            self.read()
        except OSError as error:
            remedy = "look at its driver; cards older than Volta have no counter"
            log.warning("energy is not measured, %s. Remedy: %s", error, remedy)
            return False
        return True
