"""Whether a regular expression is one that the engine's automaton reads as JSON Schema means it. Pure."""

from __future__ import annotations

import re
from typing import Final

MAX_STATES: Final = 5_000
"""Characters of a pattern with its repeats written out. `^((((a{99}){99}){99}){99})$` is beyond the engine."""

_PIECE: Final = re.compile(
    r"(?P<escape>\\.)|(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<repeat>[*+?]|\{(?P<least>\d+)(?:,(?P<most>\d*))?\})"
    r"|(?P<open>\((?:\?:|\?P<\w+>)?)|(?P<close>\))|(?P<other>.)",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_FIT_ESCAPES: Final = frozenset("dDwWsSnrtfvux") | frozenset(r"\^$.|?*+()[]{}/-\"'")
_SETS: Final = re.compile(r"^\[\^?\]|&&|--|~~|(?<!\\)(?!^)\[")
"""What engines read in different ways: a bracket inside a class, and signs for sets of characters."""


def unmatched(pattern: str) -> str | None:
    """What of a pattern no automaton does, or that the engine reads otherwise; None when there is nothing."""
    sizes, last, before = [0], 0, ""
    for piece in _PIECE.finditer(pattern):
        if wrong := _odd(piece, before, pattern):
            return wrong
        before = str(piece.lastgroup)
        if piece["open"]:
            sizes.append(0)
            continue
        if piece["repeat"]:
            added = last * (max(int(piece["most"] or 0), int(piece["least"] or 0), 1) - 1)
            last += added
        else:
            last = added = sizes.pop() if piece["close"] else 1
        sizes[-1] += added
        if sizes[-1] > MAX_STATES:
            return f"more than {MAX_STATES} characters once its repeats are written out"
    return None


def _odd(piece: re.Match[str], before: str, pattern: str) -> str | None:
    text = piece.group()
    if piece["repeat"]:
        if before == "open":
            return "lookaround or flags"
        return "possessive repeats" if before == "repeat" and text == "+" else None
    if piece["class"] and _SETS.search(text):
        return "brackets or signs for sets inside a class of characters"
    if piece["escape"] or piece["class"]:
        odd = (found.group() for found in _ESCAPE.finditer(text) if found[1] not in _FIT_ESCAPES)
        return next((f"`{escape}`" for escape in odd), None)
    if text == "{":
        return "`{` that repeats nothing"
    if (text == "^" and piece.start() > 0) or (text == "$" and piece.end() < len(pattern)):
        return f"`{text}` in its midst"
    return None
