"""Texts made comparable: case, spacing and the punctuation around them say nothing. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

Target = str | Sequence[str]
"""What is right; of several, any one is."""

_ARTICLES: Final = frozenset({"a", "an", "the"})
_UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Signs of scripts that put no space between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+(?:['\u2019]\w+)?")
_APART: Final = rf"[^\W{_UNSPACED}]"
"""A sign of a script that sets words apart."""
_SIGNED = re.compile(
    rf"(?:(?<!{_APART})(?P<sign>[-+\u2212]))?[$\u20ac\u00a3]?(?P<number>(?<!{_APART})\d++(?:[.,]\d++)*+|(?<![\w.])\.\d++)"
    rf"(?P<unit>{_APART}*+)|[{_UNSPACED}]|{_APART}+(?:['\u2019]\w+)?(?:(?:\+{{1,2}}|\#)(?!\w))?"
)
"""Words as in `_WORD`, with the signs that are a part of a name (C++, C#), and numbers whole."""
_THOUSANDS: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_EDGES: Final = " \t\r\n.,;:!?\"'`*()[]{}\u201c\u201d\u2018\u2019"


def folded(text: str) -> str:
    """Without case, runs of spacing and the punctuation around it; what stands inside stays, as does a mere sign."""
    spaced = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return spaced.strip(_EDGES) or spaced


def words(text: str) -> list[str]:
    """The words of a text, without case; where none are set apart, each sign."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def signed(text: str) -> list[str]:
    """The words of a text, where a sign and decimals that touch a number are part of it: -5, 5.50, and 1500 of 1,500.

    A list of numbers with nothing but commas between them is read as several.
    """
    found: list[str] = []
    for each in _SIGNED.finditer(unicodedata.normalize("NFKC", text).casefold()):
        if (number := each["number"]) is None:
            found.append(each[0])
            continue
        if _THOUSANDS.fullmatch(number):
            number = number.replace(",", "")
        parts = number.split(",") if number.count(",") > 1 else [number]
        parts[0] = ("-" if each["sign"] in ("-", "\u2212") else "") + parts[0]
        parts[-1] += each["unit"]
        found += parts
    return found


def telling(text: str) -> list[str]:
    """The words that tell something: all but articles."""
    return [word for word in words(text) if word not in _ARTICLES]


def targets(target: Target) -> list[str]:
    """The texts of which any one is right."""
    return [target] if isinstance(target, str) else list(target)
