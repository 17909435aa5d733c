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
                yield f"{said}: {_text(now['value'])}, was {_text(was['value'])}, worse by more than {_text(allowed)}"


def tolerance(figure: Mapping[str, Any]) -> float:
    """How much worse a figure may be before it is called worse, in its own unit."""
    seeds = np.array([each for each in figure["seeds"] if each is not None], float)
    noise = STANDARD_ERRORS * float(seeds.std(ddof=1)) * (2 / len(seeds)) ** 0.5 if len(seeds) > 1 else 0.0
    width = figure["high"] - figure["low"] if figure["low"] is not None else 0.0
    return max(noise, ROUNDING * width)


def _named(name: str, title: str) -> str:
    """A figure as the report and README.md call it, and as the record does."""
    return title if title.casefold() == name else f"{title} ({name})"


def _text(value: float) -> str:
    return f"{value:.4g}"
