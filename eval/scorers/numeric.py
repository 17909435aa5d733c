"""The number that the answer ends on is the target. Pure."""

from __future__ import annotations

import math
import re
from typing import Final

from eval.scorers.words import Target, targets

TOLERANCE: Final = 1e-6
"""Relative; two ways to write a number differ by less, two numbers by more."""

_NUMBER = re.compile(
    r"(?<![\w.])[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:[eE][-+]?\d+)?(?:/\d+)?(?![\d])"
)
_MARKED = re.compile(
    r"\\boxed\{([^{}]*)\}|####\s*(.+)|(?:answer|result|total)(?:\s+is\b|\s*[=:])\s*(.+)", re.IGNORECASE
)
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}")
_THOUSANDS = re.compile(r"(?<=\d)(?:\\,|\{,\}|[\u00a0\u2009\u202f])(?=\d{3}(?!\d))")
"""What parts thousands in LaTeX, and in languages where a comma parts decimals."""
_TIMES = re.compile(r"\\(?:times|cdot)(?![a-z])")
_POWER = re.compile(r"(?:(?<![\w.])(\d+(?:\.\d+)?)\s*[x*\u00d7\u00b7]\s*|(?<![\w.]))10\s*\^\s*\{?([-+\u2212]?\d+)\}?")
"""A power of ten, times a number or not, with LaTeX's commands for "times" read as signs."""
_MIXED = re.compile(r"(?<![\w.,/])(\d+)\s(\d+)/([1-9]\d*)(?![\d/])")
"""A whole number and a fraction."""
_COMMA = re.compile(r"(?<![\w.,])(\d{1,3}(?:\.\d{3})+),(\d+)(?![\d,.]\d)")
"""Decimals behind a comma, which is sure where points part the thousands before it."""
_NOT_BUT = re.compile(r"^\W*not\s+\S+\s+but\s+", re.IGNORECASE)
_TERM: Final = r"[(\s]*[-+\u2212]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?:\s?[a-z%\u20ac\u00a3]+)?[)\s]*"
_SUM = re.compile(rf"{_TERM}(?:(?:[-+*/x^\u2212\u00d7\u00f7]|times|cdot|plus|minus){_TERM})+=", re.IGNORECASE)
"""Arithmetic up to the sign that tells what it comes to; "12 = 7 + 5" tells that first."""


def numeric(answer: str, target: Target | int | float) -> float:
    """1 when the answer's number is the target's. Whole numbers are compared, so 25 does not end with 5."""
    said = number_of(answer)
    wanted = [float(target)] if isinstance(target, int | float) else [number_of(each) for each in targets(target)]
    return float(said is not None and any(each is not None and _same(said, each) for each in wanted))


def number_of(text: str) -> float | None:
    """The number a text ends on: the last one marked as its answer, else the last one.

    None when there is none; what is divided by 0 is none.
    """
    text = _plain(text)
    marked = ["".join(found) for found in _MARKED.findall(text)]  # of each, one is not empty, or none: \boxed{}
    for part in (*reversed(marked), text):
        bare = part.replace("\\", " ").replace("$", " ")
        numbers = [each for each in _NUMBER.findall(bare if part is text else _result(bare)) if each]
        if numbers:
            return _value(numbers[0] if part is not text else numbers[-1])
    return None


def _plain(text: str) -> str:
    """With numbers as a program writes them."""
    text = _THOUSANDS.sub(",", _FRACTION.sub(r"\1/\2", text))
    text = _COMMA.sub(lambda found: f"{found[1].replace('.', '')}.{found[2]}", text)
    text = _POWER.sub(lambda found: f"{found[1] or 1}e{found[2]}".replace("\u2212", "-"), _TIMES.sub("x", text))
    return _MIXED.sub(lambda found: f"{int(found[1]) * int(found[3]) + int(found[2])}/{found[3]}", text)


def _result(part: str) -> str:
    """What a part says after the sum that it opens with, or all of it: what "7 + 5 = 12" comes to is the answer."""
    part = _NOT_BUT.sub("", part)
    first = re.search(r"[-+\u2212]?\d", part)
    at = first.start() if first else 0
    while found := _SUM.match(part, at):
        at = found.end()
    return part[at:]


def _value(text: str) -> float | None:
    top, over, bottom = text.replace(",", "").replace("\u2212", "-").partition("/")
    if not over:
        return float(top)
    return float(top) / float(bottom) if float(bottom) else None


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
