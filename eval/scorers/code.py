"""The answer's code passes its tests: what is run, and what counts as passed. Pure; `eval/limited.py` runs it."""

from __future__ import annotations

import re
from collections.abc import Sequence

_FENCE = re.compile(r"```[ \t]*(?:python|py|python3)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)


def program(answer: str, tests: str | Sequence[str], before: str = "") -> str:
    """The program that ends well when the code passes: what stands `before`, the code, its tests.

    When the code only goes on where `before` ends (a function's body), both are one text.
    """
    lines = tests if isinstance(tests, str) else "\n".join(tests)
    return f"{_joined(before, code_of(answer))}\n\n{lines}\n"


def code_of(answer: str) -> str:
    """The code of an answer: its fenced blocks joined, else all of it."""
    blocks = _FENCE.findall(answer)
    return "\n\n".join(blocks) if blocks else answer


def _joined(before: str, code: str) -> str:
    if not before:
        return code
    goes_on = code.startswith((" ", "\t"))
    return f"{before.rstrip()}\n{code}" if goes_on else f"{before.rstrip()}\n    ...\n\n{code}"
