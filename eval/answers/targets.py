"""What each scorer holds an answer against; by another target no answer is right, and nobody would know. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from eval.scorers.choice import letter_of
from eval.scorers.numeric import number_of

TEXTS: Final = "a text, or a list of texts"


def lacking(scorer: str, target: Any, choices: Sequence[str]) -> str | None:
    """What a scorer needs for a target, when `target` is not that."""
    if scorer == "choice":
        usable = isinstance(target, str) and letter_of(target, choices) is not None
        return None if usable else "a letter, or the text of one of the choices"
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


_NEEDED: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "numeric": ("a number, or texts that hold one", _numbers),
    "boxed": ("a text", _text),
    "rubric": ("a text", _text),
    "json_fields": ("an object with the wanted fields", _fields),
    "code": ("Python that asserts, as a text or a list of texts", _texts),
}
