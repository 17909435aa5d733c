"""Amounts that stand together: in one unit, with the same number of decimals, so that what is shown adds up. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from router.meter.compared import Sum
from router.meter.units import GRAMS, WATT_HOURS, Units, suiting

DOLLARS: Final[Units] = ((1.0, "$"),)

DIGITS: Final = 3
"""Significant digits of every amount, as far as the largest has no more than `MOST_DIGITS`."""
MOST_DIGITS: Final = 5
_CENTS: Final = 2
_NANO: Final = 9
_NEAR: Final = 2
"""By so many of the last place what is told as a difference may be off for having been rounded."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A unit, and the places after the point of every amount in it."""

    size: float
    unit: str
    places: int

    @classmethod
    def of(cls, units: Units, amounts: Iterable[float | None]) -> Self:
        """The one that suits these amounts in joules, grams or dollars; None is passed over."""
        sizes = [abs(amount) for amount in amounts if amount]
        size, unit = suiting(max(sizes, default=units[:2][-1][0]), units)  # nothing: Wh, g, $
        most, least = max(sizes, default=0.0) / size, min(sizes, default=0.0) / size
        base = _places(most, DIGITS) if unit != "$" or 0 < most < 1 else _CENTS
        places = max(base, min(_places(least, DIGITS), _places(most, MOST_DIGITS)))
        return cls(size, unit, min(places, _NANO))

    def steps(self, amount: float) -> int:
        """As a number of units of the last place; halves away from nought."""
        whole = int(abs(amount) / self.size * 10**self.places + 0.5)
        return -whole if amount < 0 else whole

    def told(self, amount: float, steps: int | None = None) -> str:
        """An amount, shown as `steps` where these are not its own; what is too little for it as less than the least."""
        steps = self.steps(amount) if steps is None else steps
        if steps or abs(amount) < self.size * 1e-15:  # no amount: what rounding left of a difference
            return self._shown(steps)
        return f"<{self._shown(1)}" if amount > 0 else f">{self._shown(-1)}"

    def parts(self, amounts: Sequence[float], whole: float) -> list[str]:
        """Parts that add up to the whole as they are shown.

        Each is rounded by itself, so that one that grows is never shown as less; where that does not add up, the
        largest are shown one of the last place more, or less.
        """
        steps = [self.steps(amount) for amount in amounts]
        missing = self.steps(whole) - sum(steps)
        for at in sorted(range(len(steps)), key=lambda at: -abs(amounts[at]))[: abs(missing)]:
            steps[at] += 1 if missing > 0 else -1
        return [self.told(amount, own) for amount, own in zip(amounts, steps, strict=True)]

    def _shown(self, steps: int) -> str:
        number = f"{abs(steps) / 10**self.places:,.{self.places}f}"
        sign = "-" if steps < 0 else ""
        return f"{sign}${number}" if self.unit == "$" else f"{sign}{number} {self.unit}"


@dataclass(frozen=True, slots=True)
class Scales:
    """Those of money, energy and carbon, of sums that stand in one table."""

    money: Scale
    energy: Scale
    carbon: Scale

    @classmethod
    def of(cls, sums: Iterable[Sum]) -> Self:
        """The ones that suit them."""
        columns = list(zip(*map(_amounts, sums), strict=True)) or [(), (), ()]
        units = DOLLARS, WATT_HOURS, GRAMS
        return cls(*(Scale.of(each, column) for each, column in zip(units, columns, strict=True)))

    def told(self, whole: Sum) -> tuple[str, ...]:
        """One by itself."""
        return tuple(scale.told(each) for scale, each in zip(self._all(), _amounts(whole), strict=True))

    def parts(self, sums: Sequence[Sum], whole: Sum) -> list[tuple[str, ...]]:
        """Those that the whole is made of."""
        columns = zip(*map(_amounts, sums), strict=True)
        all_of = zip(self._all(), columns, _amounts(whole), strict=False)
        return list(zip(*(scale.parts(column, added) for scale, column, added in all_of), strict=True))

    def _all(self) -> tuple[Scale, ...]:
        return self.money, self.energy, self.carbon


def difference(
    units: Units, alone: float | None, spent: float | None, saved: float | None, paper: float = 0.0,
    beside: Sequence[float | None] = (),
) -> tuple[str, str, str]:  # fmt: skip
    """What the fallback alone would have taken, what was spent, and what was saved, which is the first less the second.

    `paper`: what of that is saved on paper only, so that it is not in what was saved. None is unknown. They
    are told in the unit and places of the amounts `beside` which they stand, where there are any.
    """
    scale = Scale.of(units, beside if any(beside) else (alone, spent, saved))
    if alone is None or spent is None or saved is None:
        first, second, third = ("unknown" if each is None else scale.told(each) for each in (alone, spent, saved))
        return first, second, third
    own, ends = scale.steps(saved), scale.steps(alone) - scale.steps(spent) - scale.steps(paper)
    return scale.told(alone), scale.told(spent), scale.told(saved, ends if abs(ends - own) <= _NEAR else own)


def _amounts(of: Sum) -> tuple[float, float, float]:
    return of.nusd / 1e9, of.energy_uj / 1e6, of.co2_ug / 1e6


def _places(amount: float, digits: int) -> int:
    """After the point, at which an amount has so many significant digits; 0 of nothing."""
    return max(digits - 1 - math.floor(math.log10(amount)), 0) if amount else 0
