"""A figure and how sure it is: requests drawn again with replacement (Efron, 1979), seeds tried. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

ENDS: Final = (2.5, 97.5)
"""Per cent of the draws that an interval leaves out on either side."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure and its draws (k,). NaN: there is none, such as the cost of a quality that is never reached."""

    value: float
    draws: Doubles

    @property
    def low(self) -> float:
        """Lower end of the interval that 95 % of the draws lie in."""
        return self._end(0)

    @property
    def high(self) -> float:
        """Upper end of it."""
        return self._end(1)

    def _end(self, which: int) -> float:
        there = self.draws[~np.isnan(self.draws)]
        return float(np.percentile(there, ENDS[which])) if len(there) else float("nan")

    def less(self, other: Drawn) -> Drawn:
        """The difference, draw by draw: both must have drawn the same requests."""
        return Drawn(self.value - other.value, self.draws - other.draws)

    def centred(self) -> Drawn:
        """With draws about the value: some figures, calibration error for one, are larger wherever rows repeat."""
        return Drawn(self.value, self.draws - np.nanmean(self.draws) + self.value if self._some() else self.draws)

    def to_json(self, *, share: bool = False) -> dict[str, float | None]:
        """Value and interval; None for what does not exist. A share has ends, which draws moved about it may pass."""
        said = {name: getattr(self, name) for name in ("value", "low", "high")}
        return {name: number(float(np.clip(each, 0, 1)) if share else each) for name, each in said.items()}

    @classmethod
    def plain(cls, value: float) -> Self:
        """A figure whose requests were not drawn again."""
        return cls(value, np.empty(0))

    @classmethod
    def pooled(cls, several: Sequence[Drawn]) -> Self:
        """One figure of several seeds: their mean, and all their draws together.

        Where requests were not drawn again, the seeds' own values are the draws.
        """
        draws = [each.draws if len(each.draws) else np.array([each.value]) for each in several]
        return cls(float(np.mean([each.value for each in several])), np.concatenate(draws))

    def _some(self) -> bool:
        return bool((~np.isnan(self.draws)).any())


def number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else float(value)


def interval(drawn: Drawn, *, share: bool = False) -> dict[str, float | None]:
    """Its ends alone, about the value, as records have them."""
    said = drawn.centred().to_json(share=share)
    return {name: said[name] for name in ("low", "high")}


def read_drawn(said: Any) -> Drawn:
    """What `stored` wrote."""
    value = float("nan") if said["value"] is None else float(said["value"])
    return Drawn(value, np.array(said["draws"], float))


def stored(drawn: Drawn) -> dict[str, Any]:
    """Everything, for `read_drawn`."""
    return {"value": number(drawn.value), "draws": [number(each) for each in drawn.draws]}
