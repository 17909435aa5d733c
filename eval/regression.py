"""Is a figure worse than it was, beyond its noise? Pure.

The noise is what the record says of itself. Where several seeds were tried, two standard errors of the difference of
two means over as many seeds. One seed has no spread: there a figure is worse when it leaves its own interval. It may
always lose a twentieth of the interval, for processors round differently.
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


def unlike(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> Iterator[str]:
    """A line for each thing that makes the figures of two records figures of something else."""
    was, now = (record.get("data_sha256") for record in (recorded, current))
    if was != now:
        remedy = "the file that the record was made of, or make the record again with shoal eval run"
        other = f"measured on other data (sha256 {_short(now)}, was {_short(was)})"
        yield f"{other}: not the same figures. Remedy: {remedy}"
    tried, again = (sorted(record["seeds"]) for record in (recorded, current))
    if tried != again:
        remedy = "measure the same seeds, or make the record again with shoal eval run"
        other = f"measured with other seeds ({_listed(again)}, was {_listed(tried)})"
        yield f"{other}: not the same figures. Remedy: {remedy}"
    asked, asks = (record.get("settings") or {} for record in (recorded, current))
    moved = [f"{name} {asks[name]}, was {asked[name]}" for name in asked if name in asks and asks[name] != asked[name]]
    if moved:
        remedy = "ask for what the record says, or make it again with shoal eval run"
        yield f"measured otherwise ({'; '.join(moved)}): not the same figures. Remedy: {remedy}"


def changed(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> Iterator[str]:
    """A line for each thing that may change between two records, so that their difference is also its doing."""
    for name in ("encoder", "registry"):
        was, now = recorded.get(name), current.get(name)
        if was != now:
            yield f"measured with another {name} ({_short(now)}, was {_short(was)})"


def tolerance(figure: Mapping[str, Any]) -> float:
    """How much worse a figure may be before it is called worse, in its own unit."""
    return max(_noise(figure), _rounding(figure))


def assumed(figure: Mapping[str, Any]) -> str:
    """What that rests on, in words."""
    seeds = len(_tried(figure))
    if figure["low"] is None and len(set(_tried(figure))) < 2:
        return "no interval, and seeds that agree" if seeds > 1 else "one seed, and no interval"
    if _noise(figure) <= _rounding(figure):
        return f"{ROUNDING:.0%} of its interval"
    return f"{STANDARD_ERRORS:.0f} standard errors over {seeds} seeds" if seeds > 1 else "one seed: its own interval"


def allowances(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By figure of a record that has a value, how much worse it may be and what that rests on."""
    told = {name: figure for name, figure in record["figures"].items() if figure["value"] is not None}
    return {name: {"by": tolerance(figure), "assumed": assumed(figure)} for name, figure in told.items()}


def _tried(figure: Mapping[str, Any]) -> list[float]:
    return [float(each) for each in figure["seeds"] if each is not None]


def _noise(figure: Mapping[str, Any]) -> float:
    seeds = np.array(_tried(figure))
    if len(seeds) > 1:
        return float(STANDARD_ERRORS * seeds.std(ddof=1) * (2 / len(seeds)) ** 0.5)
    if figure["low"] is None:
        return 0.0
    value, low, high = (float(figure[name]) for name in ("value", "low", "high"))
    return value - low if figure["better"] == "more" else high - value


def _rounding(figure: Mapping[str, Any]) -> float:
    return float(ROUNDING * (figure["high"] - figure["low"])) if figure["low"] is not None else 0.0


def _named(name: str, title: str) -> str:
    """A figure as the report and README.md call it, and as the record does."""
    return title if title.casefold() == name else f"{title} ({name})"


def _short(fingerprint: object) -> str:
    return str(fingerprint)[:12] if fingerprint else "not told"


def _listed(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds))


def _text(value: float) -> str:
    return f"{value:.4g}"
