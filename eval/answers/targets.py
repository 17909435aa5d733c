"""What each scorer holds an answer against; by another target no answer is right, and nobody would know. Pure."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any, Final

from eval.scorers.choice import letter_of
from eval.scorers.numeric import number_of

TEXTS: Final = "a text, or a list of texts"


def lacking(scorer: str, target: Any, choices: Sequence[str]) -> str | None:
    """What a scorer needs for a target, when `target` is not that."""
    if scorer == "choice":
        letter = letter_of(target, choices) if isinstance(target, str) else None
        usable = letter is not None and letter in (ascii_uppercase[: len(choices)] or ascii_uppercase)
        return None if usable else "a letter of one of the choices, or its text"
    needed, fits = _NEEDED.get(scorer, (TEXTS, _texts))
    return None if fits(target) else needed


def _text(target: Any) -> bool:
    return isinstance(target, str) and bool(target.strip())


def _texts(target: Any) -> bool:
    return _text(target) or (isinstance(target, list) and bool(target) and all(map(_text, target)))


def _numbers(target: Any) -> bool:
    if isinstance(target, int | float):
        return not isinstance(target, bool)
    return _texts(target) and all(number_of(each) is not None for each in ([target] if _text(target) else target))


def _fields(target: Any) -> bool:
    return isinstance(target, Mapping) and bool(target)


def _code(target: Any) -> bool:
    if not _texts(target):
        return False
    try:
        ast.parse(target if isinstance(target, str) else "\n".join(target))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


_NEEDED: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "numeric": ("a number, or texts that hold one", _numbers),
    "boxed": ("a text", _text),
    "rubric": ("a text", _text),
    "json_fields": ("an object with the wanted fields", _fields),
    "code": ("Python that asserts, as a text or a list of texts", _code),
}
