"""Those who are told what the ledger is told: metrics always, a collector where one is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from router.meter.devices import DeviceShare
from router.meter.record import Attempt, EnergyMethod, Intent, Outcome


class Listener(Protocol):
    """Hears of everything that has ended, on the event loop; must not wait."""

    def closed(self, intent: Intent, outcome: Outcome) -> None:
        """A request has ended and its outcome is on its way into the ledger."""

    def beside(self, attempt: Attempt) -> None:
        """An attempt that ran beside an answer has ended."""

    def settled(
        self, expert: str | None, method: EnergyMethod, energy_uj: int, co2_ug: int, yusd: int | None = None
    ) -> None:
        """What awaited its counter is known: an attempt's energy, or without an expert the router's, and its money."""

    def noted(self, shares: Sequence[DeviceShare]) -> None:
        """What devices took since the last time."""


class Listeners:
    """All of them as one."""

    def __init__(self, *each: Listener) -> None:
        self._each = each

    def closed(self, intent: Intent, outcome: Outcome) -> None:
        """To each."""
        for listener in self._each:
            listener.closed(intent, outcome)

    def beside(self, attempt: Attempt) -> None:
        """To each."""
        for listener in self._each:
            listener.beside(attempt)

    def settled(
        self, expert: str | None, method: EnergyMethod, energy_uj: int, co2_ug: int, yusd: int | None = None
    ) -> None:
        """To each."""
        for listener in self._each:
            listener.settled(expert, method, energy_uj, co2_ug, yusd)

    def noted(self, shares: Sequence[DeviceShare]) -> None:
        """To each."""
        for listener in self._each:
            listener.noted(shares)
