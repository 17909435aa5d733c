"""Figures in words, the same in tables, in the report and on a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

MORE_DIGITS: Final = 10
"""So many more may tell a value from its target; what is closer is shown as the target is."""


def value_text(figure: Mapping[str, Any], *, bare: bool = False) -> str:
    """The value in its unit, or `bare`; "never reached" for one that does not exist.

    One that misses its target has as many digits as show that.
    """
    value, unit, more = figure["value"], figure["unit"], 0
    if value is not None and figure.get("reached") is False:
        tried = range(MORE_DIGITS)
        more = next((n for n in tried if _shown(value, unit, n) != _shown(figure["reach"], unit, n)), 0)
    return _text(value, unit, bare=bare, more=more)


def interval_text(figure: Mapping[str, Any]) -> str:
    """The interval without its unit, empty where there is none: one seed, and nothing drawn again."""
    low, high = (_text(figure[end], figure["unit"], bare=True) for end in ("low", "high"))
    return f"{low} to {high}" if figure["low"] is not None and figure["low"] < figure["high"] else ""


def without_interval(figures: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of them has a value and no interval, of which `NO_INTERVAL` says why."""
    return any(figure["value"] is not None and figure["low"] is None for figure in figures)


def target_text(figure: Mapping[str, Any], which: str) -> str:
    """The target, `reach`, or the stretch target, `aim`; empty where there is none."""
    if figure[which] is None:
        return ""
    word = "at least" if figure["better"] == "more" else "at most"
    return f"{word} {_text(figure[which], figure['unit'])}"


def _shown(value: float, unit: str, more: int) -> float:
    """A value as it is read, rounded."""
    return float(_text(value, unit, bare=True, more=more))


def _text(value: float | None, unit: str, *, bare: bool = False, more: int = 0) -> str:
    """A value with `more` digits after the point than are usual in its unit."""
    if value is None:
        return "never reached"
    digits = {"%": 1, "points": 2}.get(unit, 3 if abs(value) < 1 else 1) + more
    size = f"{100 * value if unit in ('%', 'points') else value:.{digits}f}"
    return size + (f" {unit}" if unit and not bare else "")


def commit_text(record: Mapping[str, Any]) -> str:
    """The commit that was measured, and whether the tree differed from it."""
    commit = f"commit {record['commit'][:12]}" if record["commit"] else "no commit"
    return commit + (" with changes" if record["dirty"] else "")


def machines_text(records: Iterable[Mapping[str, Any]], *, python: bool = False) -> str:
    """Every machine that one of the `records` was measured on, each once; with its Python where that is asked."""
    machines = (record["machine"] for record in records)
    named = (f"{each['cpu']}, {each['cores']} cores" + f", Python {each['python']}" * python for each in machines)
    return " and ".join(dict.fromkeys(named))
