"""A domain's name is one more example of it, the first one there is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from experts.wire import Vector
from router.calibrate import Floats

_WORD: Final = re.compile(r"[^\W\d_]{3,}")


def spoken(label: str) -> str | None:
    """A label as one would say it; None when no word is in it, so that it says nothing."""
    return " ".join(re.split(r"[\s_./-]+", label)).strip() if _WORD.search(label) else None


def vectors_of_names(labels: Iterable[str], vectors_of: Callable[[Sequence[str]], Floats]) -> dict[str, Vector]:
    """By label, the vector of its name; labels that say nothing are left out."""
    said = {label: name for label in dict.fromkeys(labels) if (name := spoken(label)) is not None}
    return dict(zip(said, vectors_of(list(said.values())), strict=True))
