"""The boxed result of a solution is the target's. Pure."""

from __future__ import annotations

import re
from typing import Final

from eval.scorers.numeric import numeric
from eval.scorers.words import folded

_SPACING: Final = re.compile(r"\\(?:left|right|,|!|;|:|\s|displaystyle)|\s+|\\?\$|\\%|%|\^\{?\\circ\}?")
_TEXT: Final = re.compile(r"\\(?:text(?:bf|it|rm)?|mbox)\{([^{}]*)\}")
"""A unit, or all there is."""
_NO_BRACES: Final = re.compile(r"\\(?:d|t)?frac(\d)(\d)")


def boxed(answer: str, target: str) -> float:
    """1 when both end on the same expression, written alike up to LaTeX's spacing, or on the same number.

    What has no box is the expression itself.
    """
    said, boxed_target = result_of(answer), result_of(target)
    wanted = target if boxed_target is None else boxed_target
    if plain(answer if said is None else said) == plain(wanted):
        return 1.0
    simple = re.fullmatch(r"[-+$\\\s\d.,]+", wanted) is not None
    return numeric(answer, wanted) if simple else 0.0


def result_of(text: str) -> str | None:
    r"""What stands in the last \boxed{...}, braces balanced; None when there is none."""
    start = text.rfind("\\boxed{")
    depth = 0
    for at in range(start + len("\\boxed"), len(text)) if start >= 0 else ():
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if not depth:
            return text[start + len("\\boxed{") : at]
    return None


def plain(expression: str) -> str:
    """An expression without what only spaces it out."""
    bare = _SPACING.sub("", _TEXT.sub("", expression)) or _SPACING.sub("", _TEXT.sub(r"\1", expression))
    bare = bare.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    return folded(_NO_BRACES.sub(r"\\frac{\1}{\2}", bare))
