"""The answer holds a JSON object with the target's fields. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from eval.scorers.words import folded

TRIED: Final = 200
"""Braces that begin no object, after which an answer holds none: each may be read to the end of the answer in vain."""


def json_fields(answer: str, target: Mapping[str, Any]) -> float:
    """The share of the target's fields that the answer's object has with the same value.

    Texts are compared without case and spacing, numbers as numbers, lists and objects whole. The object may stand in
    a fence or between words; of several the one that fits best counts.
    """
    if not target:
        return 0.0
    return max((_share(found, target) for found in objects(answer)), default=0.0)


def objects(text: str) -> list[dict[str, Any]]:
    """Every JSON object that begins in `text` outside another, until `TRIED` braces began none."""
    found, at, decoder, vain = [], text.find("{"), json.JSONDecoder(), 0
    while at >= 0 and vain < TRIED:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end, vain = at + 1, vain + 1
        else:
            found.append(value)
        at = text.find("{", end)
    return found


def _share(found: Mapping[str, Any], target: Mapping[str, Any]) -> float:
    return sum(name in found and _same(found[name], value) for name, value in target.items()) / len(target)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or _close(one, other)
    if isinstance(one, str) and isinstance(other, str):
        return folded(one) == folded(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in other)
    return bool(one == other)


def _close(one: float, other: float) -> bool:
    try:
        return math.isclose(one, other, rel_tol=1e-9)
    except OverflowError:  # a whole number that no float holds is only like itself
        return False
