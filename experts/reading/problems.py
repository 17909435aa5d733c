"""One thing wrong in a settings file, and how values, keys and suggestions are worded."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Key = tuple[str | int, ...]
"""The way to a value from the top: ("experts", 2, "price")."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong: at which key, what, and the remedy. `line` when it is not simply the key's own."""

    key: Key
    what: str
    remedy: str
    line: int | None = None

    def text(self, where: str, line: int | None = None) -> str:
        """`registry.yaml:31: experts[2].price: is missing. Remedy: ...`, on one line."""
        at = self.line or line
        stop = "" if self.remedy.endswith("?") else "."
        parts = [f"{where}:{at}" if at else where, key_text(self.key), f"{self.what}. Remedy: {self.remedy}{stop}"]
        return ": ".join(part for part in parts if part)


def key_text(key: Key) -> str:
    """`experts[2].price.input_usd_per_mtok`; odd names are quoted, so that one line stays one line."""
    parts = []
    for part in key:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        else:
            parts.append(f".{part}" if re.fullmatch(r"[\w-]{1,64}", part) else f".{shown(part)}")
    return "".join(parts).removeprefix(".")


def value_at(data: Any, key: Key) -> Any:
    """The value `key` leads to, or None."""
    for part in key:
        try:
            data = data[part]
        except (LookupError, TypeError):
            return None
    return data


def closest(word: object, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None when none is near."""
    near = difflib.get_close_matches(str(word), sorted(known), n=1, cutoff=0.6)
    return near[0] if near else None


def suggestion(word: object, known: Iterable[str]) -> str:
    """A remedy for a word that is not known: the one probably meant, or all of them."""
    words = sorted(known)
    near = closest(word, words)
    return f"did you mean '{near}'?" if near else f"use one of: {', '.join(words) or '(there is none)'}"


def shown(value: Any) -> str:
    """A value as a message shows it: short, printable, on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else "a list"
    return repr(value if len(value) <= 60 else value[:60] + "…") if isinstance(value, str) else str(value)
