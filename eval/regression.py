"""Is a figure worse than it was, beyond its noise? Pure.

The noise is what the record says of itself. Where several seeds were tried, two standard errors of the difference of
two means over as many seeds; never less than a twentieth of the interval, for processors round differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

STANDARD_ERRORS: Final = 2.0
ROUNDING: Final = 0.05
"""Share of the interval's width that is never called a difference."""


def worse(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> Iterator[str]:
    """A line for every figure of `recorded` that `current` lacks or has worse; both are records of the same run."""
    for name, was in recorded["figures"].items():
        now = current["figures"].get(name)
        said = _named(name, was["title"])
        if was["value"] is None:
            continue
        if now is None:
            yield f"{said}: is not measured any more (was {_text(was['value'])})"
        elif now["value"] is None:
            yield f"{said}: does not exist any more (was {_text(was['value'])})"
        else:
            lost = (was["value"] - now["value"]) * (1 if was["better"] == "more" else -1)
            allowed = tolerance(was)
            if lost > allowed:
                lost_by = f"worse by more than {_text(allowed)} ({assumed(was)})"
                yield f"{said}: {_text(now['value'])}, was {_text(was['value'])}, {lost_by}"


def tolerance(figure: Mapping[str, Any]) -> float:
    """How much worse a figure may be before it is called worse, in its own unit."""
    return max(_noise(figure), _rounding(figure))


def assumed(figure: Mapping[str, Any]) -> str:
    """What that rests on, in words. One seed has no spread: only the same code is sure to give the same figure."""
    seeds = len(_tried(figure))
    if _noise(figure) > _rounding(figure):
        return f"{STANDARD_ERRORS:.0f} standard errors over {seeds} seeds"
    rounding = f"{ROUNDING:.0%} of its interval"
    return rounding if seeds > 1 else f"{rounding}: one seed tells no noise"


def allowances(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By figure of a record that has a value, how much worse it may be and what that rests on."""
    told = {name: figure for name, figure in record["figures"].items() if figure["value"] is not None}
    return {name: {"by": tolerance(figure), "assumed": assumed(figure)} for name, figure in told.items()}


def _tried(figure: Mapping[str, Any]) -> list[float]:
    return [float(each) for each in figure["seeds"] if each is not None]


def _noise(figure: Mapping[str, Any]) -> float:
    seeds = np.array(_tried(figure))
    return STANDARD_ERRORS * float(seeds.std(ddof=1)) * (2 / len(seeds)) ** 0.5 if len(seeds) > 1 else 0.0


def _rounding(figure: Mapping[str, Any]) -> float:
    return float(ROUNDING * (figure["high"] - figure["low"])) if figure["low"] is not None else 0.0


def _named(name: str, title: str) -> str:
    """A figure as the report and README.md call it, and as the record does."""
    return title if title.casefold() == name else f"{title} ({name})"


def _text(value: float) -> str:
    return f"{value:.4g}"
