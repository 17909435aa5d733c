"""Numbers that metrics add to, and what is noted to be added."""

from __future__ import annotations

from typing import NamedTuple

from router.meter.record import EnergyMethod
from router.spread import Spread


class Cell:
    """A number that is added to."""

    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


class Taken(NamedTuple):
    """What an attempt took, or the router's own work for a request, known after it ended."""

    expert: str | None
    """None: the router."""
    method: EnergyMethod
    energy_uj: int
    co2_ug: int
    yusd: int | None = None
    """Of the router, where its electricity has a price."""


class OfExpert(NamedTuple):
    """Where an expert's figures are added, looked up once."""

    label: str
    input_tokens: Cell
    output_tokens: Cell
    cost: Cell
    co2: Cell
    energy: tuple[Cell, ...]
    """By `EnergyMethod`."""
    duration: Spread
    first_token: Spread
