"""A figure and how sure it is: requests drawn again with replacement (Efron, 1979), seeds tried. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from eval.few import FEW

Doubles = NDArray[np.float64]

ENDS: Final = (2.5, 97.5)
"""Per cent of the draws that an interval leaves out on either side."""

ANY: Final = (-np.inf, np.inf)
SHARE: Final = (0.0, 1.0)
"""Between these a share lies, and so does a calibration error."""
APART: Final = (-1.0, 1.0)
"""Between these the difference of two shares lies."""

NO_INTERVAL: Final = (
    f"A figure without an interval has too few requests for one: under {FEW} bear on it, over {ENDS[0]:g} % of the "
    "draws do not have it, or they lie away from it. Remedy: more scored requests."
)

_ROUNDING: Final = 1e-9
"""How far, as a share of itself, a value may lie beyond its interval by rounding in binary; 0 by a thousandth of it."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure and its draws (k,). NaN: there is none, such as the cost of a quality that is never reached."""

    value: float
    draws: Doubles
    possible: tuple[float, float] = ANY
    """The least and the most that it can be; draws moved about the value may pass them, an interval does not."""

    @property
    def low(self) -> float:
        """Lower end of the interval that 95 % of the draws lie in; NaN where there is none, as `NO_INTERVAL` says."""
        return self._ends()[0]

    @property
    def high(self) -> float:
        """Upper end of it."""
        return self._ends()[1]

    def _ends(self) -> tuple[float, float]:
        there = self.draws[~np.isnan(self.draws)]
        if len(there) and len(self.draws) - len(there) <= len(self.draws) * ENDS[0] / 100:
            ends, slack = np.percentile(there, ENDS), _ROUNDING * (abs(self.value) + 0.001)
            if ends[0] - slack <= self.value <= ends[1] + slack:
                low, high = np.clip(ends, *self.possible).tolist()
                return low, high
        return float("nan"), float("nan")

    def less(self, other: Drawn) -> Drawn:
        """The difference, draw by draw: both must have drawn the same requests."""
        possible = self.possible[0] - other.possible[1], self.possible[1] - other.possible[0]
        return Drawn(self.value - other.value, self.draws - other.draws, possible)

    def centred(self) -> Drawn:
        """With draws about the value: some figures, calibration error for one, are larger wherever rows repeat."""
        moved = self.draws - np.nanmean(self.draws) + self.value if self._some() else self.draws
        return Drawn(self.value, moved, self.possible)

    def to_json(self) -> dict[str, float | None]:
        """Value and interval; None for what does not exist. Rounding does not take a value past what is possible."""
        said = {"value": float(np.clip(self.value, *self.possible)), "low": self.low, "high": self.high}
        return {name: number(each) for name, each in said.items()}

    @classmethod
    def of_few(cls, value: float, possible: tuple[float, float]) -> Self:
        """A figure of fewer than `FEW` requests: they are not drawn again, and seeds are no draws of them either."""
        return cls(value, np.array([np.nan]), possible)

    @classmethod
    def pooled(cls, several: Sequence[Drawn]) -> Self:
        """One figure of several seeds: their mean, and all their draws together."""
        least, most = zip(*(each.possible for each in several), strict=True)
        value = float(np.mean([each.value for each in several]))
        return cls(value, np.concatenate([each.draws for each in several]), (min(least), max(most)))

    def _some(self) -> bool:
        return bool((~np.isnan(self.draws)).any())


def number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else float(value)


def interval(drawn: Drawn) -> dict[str, float | None]:
    """Its ends alone, about the value, as records have them."""
    said = drawn.centred().to_json()
    return {name: said[name] for name in ("low", "high")}


def read_drawn(said: Any) -> Drawn:
    """What `stored` wrote."""
    value = float("nan") if said["value"] is None else float(said["value"])
    least, most = said["possible"]
    possible = (-np.inf if least is None else float(least), np.inf if most is None else float(most))
    return Drawn(value, np.array(said["draws"], float), possible)


def stored(drawn: Drawn) -> dict[str, Any]:
    """Everything, for `read_drawn`."""
    possible = [end if np.isfinite(end) else None for end in drawn.possible]
    return {"value": number(drawn.value), "draws": [number(each) for each in drawn.draws], "possible": possible}
