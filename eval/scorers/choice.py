"""The answer picks the right one of several choices, by its letter or by its text. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Final

from eval.scorers.includes import includes
from eval.scorers.words import folded

_SAID = re.compile(
    r"(?:answer|choice|option)\b[^\n]{0,20}?(?:\bis\b|:|=)?\s*\(?\**([A-J])\b|\\boxed\{\s*\(?([A-J])\)?\s*\}",
    re.IGNORECASE,
)
"""The letter after words that announce it."""
_ALONE: Final = re.compile(r"^[^\w\n]*([A-J])(?:[^\w\n]*$|[).:]\s|\s*[-\u2013]\s)", re.MULTILINE)
"""A letter that opens a line as a choice does: "C", "(C)", "C. Cambodia". "A dog is" opens with an article."""

_WHOLE = re.compile(r"\s*([a-j])\.?\s*")
"""A small letter is a choice where nothing else is said; elsewhere it is as likely a list's or a variable's."""


def choice(answer: str, target: str, choices: Sequence[str] = ()) -> float:
    """1 when the answer picks `target`: a letter, or one of `choices`, which are lettered from A."""
    wanted = letter_of(target, choices)
    return float(wanted is not None and picked(answer, choices) == wanted)


def picked(answer: str, choices: Sequence[str] = ()) -> str | None:
    """The letter an answer picks: announced, else alone, else by the text of exactly one choice; None when unclear."""
    announced = [next(filter(None, found)).upper() for found in _SAID.findall(answer)]
    if announced:
        return str(announced[-1])
    if whole := _WHOLE.fullmatch(answer):
        return whole.group(1).upper()
    if alone := _ALONE.findall(answer):
        return str(alone[0])
    named = [letter for letter, text in zip(ascii_uppercase, choices, strict=False) if includes(answer, text)]
    return named[0] if len(named) == 1 else None


def letter_of(target: str, choices: Sequence[str]) -> str | None:
    """The letter of a target that is a letter itself or the text of a choice; None when it is neither."""
    known = [folded(each) for each in choices]
    if folded(target) in known:
        return ascii_uppercase[known.index(folded(target))]
    return target.strip().upper() if re.fullmatch(r"\s*[A-Ja-j]\s*", target) else None
