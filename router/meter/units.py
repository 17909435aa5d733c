"""Amounts as people read them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

Units = tuple[tuple[float, str], ...]

WATT_HOURS: Final[Units] = ((3.6e6, "kWh"), (3.6e3, "Wh"), (3.6, "mWh"), (3.6e-3, "µWh"), (3.6e-6, "nWh"))
"""Of joules."""
_LEAST_NUSD: Final = 1e-6
_MOST_PLACES: Final = 4
_LEAST_SHARED: Final = 0.01
GRAMS: Final[Units] = ((1e3, "kg"), (1.0, "g"), (1e-3, "mg"), (1e-6, "µg"))


def many(count: int, one: str) -> str:
    """A count with its noun."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """A, B and C."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def percent(share: float) -> str:
    """A part of a whole; what is little is not told as nothing, nor what is nearly all as all."""
    told = f"{share:.0%}"
    little = {"0%": "<1%", "-0%": ">-1%"} if share else {"-0%": "0%"}
    return ({"100%": ">99%" if share < 1 else told} | little).get(told, told)


def plain(value: float, digits: int = 4) -> str:
    """A number to so many significant digits, never as a power of ten."""
    return f"{Decimal(f'{value:.{digits}g}'):,f}"


def dollars(nusd: float) -> str:
    """An amount in cents from a dollar up, with three significant digits below, down to the nano-dollar; halves up.

    What is less, and no mere rounding of a sum, is told as less than that, not as nothing.
    """
    many = math.floor(abs(nusd) + 0.5)
    if not many and abs(nusd) >= _LEAST_NUSD:
        return "<$0.000000001" if nusd > 0 else ">-$0.000000001"
    decimals = 2 if many >= 10**9 or not many else min(9, 12 - len(str(many)))
    step = 10 ** (9 - decimals)
    rounded = (many + step // 2) // step * step
    return f"{'-' if nusd < 0 and many else ''}${rounded / 1e9:,.{decimals}f}"


def watt_hours(uj: float, like_uj: float | None = None) -> str:
    """An energy in watt hours, in the thousands or thousandths that suit its size, or that of what it stands beside."""
    return _scaled(uj / 1e6, WATT_HOURS, "Wh", None if like_uj is None else like_uj / 1e6)


def grams(ug: float, like_ug: float | None = None) -> str:
    """A mass of CO2 equivalent, likewise."""
    return _scaled(ug / 1e6, GRAMS, "g", None if like_ug is None else like_ug / 1e6)


def places(low: float, high: float) -> int:
    """Places after the point of a percentage at which an interval is seen to be one: two of the last place at least."""
    width = round(abs(high - low) * 100, 9)  # what is left by rounding alone is no width
    return next((many for many in range(1, _MOST_PLACES) if not width or round(width * 10**many, 6) >= 2), _MOST_PLACES)


def _scaled(value: float, units: Units, zero: str, like: float | None) -> str:
    if not value:
        return f"0 {zero}"
    size, unit = suiting(like or value, units)  # beside nothing, its own
    if abs(value) < size * _LEAST_SHARED:  # too little is left of it in a unit that is not its own
        size, unit = suiting(value, units)
    scaled = value / size
    return f"{scaled:,.0f} {unit}" if abs(scaled) >= 100 else f"{scaled:.3g} {unit}"


def suiting(value: float, units: Units) -> tuple[float, str]:
    """The size and name of the unit that suits an amount."""
    # What would be rounded up to 1,000 is told as 1 of the next unit.
    return next(((size, unit) for size, unit in units if abs(value) >= size * 0.9995), units[-1])
