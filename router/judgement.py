"""What a judge says of a request, and why. Pure."""

from __future__ import annotations

import math
from collections.abc import ItemsView, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

SURE: Final = 0.9
KNOWN: Final = 0.5
"""So probable and so known is a task of a few words where it is a new one: of 42 changes of topic 27 are right with
these, 10 were with all that was said before, and no request of eval/data is judged worse (ADR 0001)."""


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

    @property
    def speaks_for_itself(self) -> bool:
        """Whether a request of a few words is so surely an expert's that it needs nothing said before it."""
        return self.known >= KNOWN and max(self.probability.values(), default=0.0) >= SURE


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
