"""The answer's code passes its tests: what is run, and by what it is tested. Pure; `eval/limited.py` runs it."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Sequence
from dataclasses import dataclass

_FENCE = re.compile(r"```[ \t]*(?:python|py|python3)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Exam:
    """A program, and tests that another process makes of it by calling what it defines."""

    program: str
    tests: str
    given: str = ""
    """Code that the tests may rest on and the program has no hand in."""
    shadowed: str = ""
    """A name of Python's own that means the program's in the tests; mostly there is none."""


def exam(answer: str, tests: str | Sequence[str], before: str = "") -> Exam:
    """What an answer has to pass: what stands `before` and its code, then the tests.

    When the code only goes on where `before` ends (a function's body), both are one text.
    """
    lines = tests if isinstance(tests, str) else "\n".join(tests)
    return Exam(_joined(before, code_of(answer)), lines, _given(before), _shadowed(lines))


def code_of(answer: str) -> str:
    """The code of an answer: its fenced blocks joined, else all of it."""
    blocks = _FENCE.findall(answer)
    return "\n\n".join(blocks) if blocks else answer


def _joined(before: str, code: str) -> str:
    if not before:
        return code
    goes_on = code.startswith((" ", "\t"))
    return f"{before.rstrip()}\n{code}" if goes_on else f"{_closed(before)}\n\n{code}"


def _closed(before: str) -> str:
    return f"{before.rstrip()}\n    ..."


def _given(before: str) -> str:
    """What stands before, without the last function, which the answer is to write."""
    tree = _parsed(_closed(before)) if before else None
    if tree is None or not isinstance(tree.body[-1], ast.FunctionDef):
        return ""
    return ast.unparse(ast.Module(tree.body[:-1], []))


def _shadowed(tests: str) -> str:
    """The function under test when it bears a name of Python's own, like `sum`: where tests name nothing else.

    It is the innermost call of the first test's left side: of `set(sum(3, 4)) == {7}`, `sum`.
    """
    tree = _parsed(tests)
    names = [each for each in ast.walk(tree) if isinstance(each, ast.Name)] if tree else []
    first = next((each.test for each in tree.body if isinstance(each, ast.Assert)), None) if tree else None
    if first is None or any(not hasattr(builtins, each.id) for each in names):
        return ""
    left = first.left if isinstance(first, ast.Compare) else first
    called = [each.func.id for each in ast.walk(left) if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)]
    return called[-1] if called else ""


def _parsed(text: str) -> ast.Module | None:
    """None for what is no Python: running it then says so."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
