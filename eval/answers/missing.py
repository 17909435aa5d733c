"""Scores that could not be had, because an expert or the model that marks could not say a word. Pure.

Such an answer is not a wrong one: it is told as missing, and its question is left out of what compares experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

REMEDY: Final = "run again, which asks for what is missing alone; where marks stay away, name another --judge"


@dataclass(frozen=True, slots=True)
class Missing:
    """How many scores lack, by expert, and how many questions have to be left out for that."""

    questions: int
    unanswered: Mapping[str, int]
    """The expert had no room or no time, or was given up."""
    unmarked: Mapping[str, int]
    """It answered, and the model that marks failed or gave no mark."""

    def lines(self) -> Iterator[str]:
        """A sentence for each expert and cause."""
        for expert, count in self.unanswered.items():
            why = "it had no room or no time (429, 503, timed out), or was given up"
            yield f"{expert}: {_answers(count)} missing, for {why}"
        for expert, count in self.unmarked.items():
            yield f"{expert}: {_answers(count)} without a mark, for the model that marks failed or gave none"


def gone(given_up: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each expert that could not be asked to the end: who, and why."""
    for expert, why in given_up.items():
        yield f"{expert}: given up, for it could not be asked any more ({why}); the others were asked to the end"


def _answers(count: int) -> str:
    return f"{count:,} answer{'s are' if count != 1 else ' is'}"
