"""What an answer says once the reasoning is over that some models write before it. Pure."""

from __future__ import annotations

import re
from typing import Final

_TAG: Final = "think|thinking|thought|reasoning"
_WHOLE: Final = (
    rf"<({_TAG})>.*?(?:</\1>|\Z)",
    r"\[think\].*?(?:\[/think\]|\Z)",
    r"<\|channel\|>analysis<\|message\|>.*?(?:<\|channel\|>final<\|message\|>|\Z)",
)
"""Reasoning as several families of models set it apart; what never ended goes on to the end of the answer."""
_END_ALONE: Final = rf"(?:(?!<(?:{_TAG})>).)*?</(?:{_TAG})>"
"""Of reasoning that the prompt began, which an answer has the end of."""
_REASONED = re.compile(rf"\A(?:(?:\s*(?:{'|'.join(_WHOLE)}))+|{_END_ALONE})(?:[^\S\n]*\n)*", re.DOTALL | re.IGNORECASE)


def spoken(answer: str) -> str:
    """An answer without the reasoning that it opens with; empty where that never ended, for then nothing was said.

    Marks of reasoning that stand within an answer are what it speaks of.
    """
    return _REASONED.sub("", answer)
