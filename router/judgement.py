"""What a judge says of a request, and why. Pure."""

from __future__ import annotations

import math
from collections.abc import ItemsView, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Beliefs(Mapping[str, float]):
    """Probabilities by expert id, kept in an array (m,): one becomes a number when it is asked for."""

    __slots__ = ("_columns", "_values")

    def __init__(self, columns: Mapping[str, int], values: NDArray[np.float32]) -> None:
        self._columns, self._values = columns, values

    def __getitem__(self, expert: str) -> float:
        return float(self._values.item(self._columns[expert]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def items(self) -> ItemsView[str, float]:
        """All of them, each read once."""
        return _Pairs(self)


class _Pairs(ItemsView[str, float]):
    _mapping: Beliefs

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return zip(self._mapping._columns, self._mapping._values.tolist(), strict=True)


class Judgement(NamedTuple):
    """What is believed of one request."""

    label: str | None
    """The most probable domain; None where none has a name, or where most likely no expert should answer."""
    probability: Mapping[str, float]
    """By expert id."""
    known: float
    """Conformal p-value that the request belongs to a known domain, in (0, 1]."""
    familiarity: float
    """What `known` is the p-value of; finer where p-values tie."""
    outside: float = 0.0
    """Probability that no expert should answer, as far as examples of such requests are known."""
    empty: bool = False
    """Whether the request holds no text to judge."""


@dataclass(frozen=True, slots=True)
class Near:
    """A known example close to a request."""

    text: str
    label: str | None
    """None where no expert should answer."""
    similarity: float


@dataclass(frozen=True, slots=True)
class Reasons:
    """What a judgement is made of."""

    moved: Mapping[str, Mapping[str, float]]
    """By expert id, the parts that its probability is the sum of."""
    looks: Sequence[float]
    """What each of `router.calibrate.LOOKS` sees, in standard deviations: together they are the familiarity."""


NO_TEXT = Judgement(None, {}, 0.0, -math.inf, empty=True)
"""What is believed of a request without text."""

NOTHING_KNOWN = Judgement(None, {}, 0.0, -math.inf)
"""What is believed without any examples: nothing, so the fallback answers."""
