"""The answer's code passes its tests: what is run, and by what it is tested. Pure; `eval/limited.py` runs it."""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Final

_PYTHON: Final = frozenset({"python", "python3", "py", "py3"})
_OPENS: Final = re.compile(
    r"([ \t]*+(?:(?:[-*+]|\d{1,9}[.)])[ \t]++)?)(`{3,}+|~{3,}+)[ \t]*+\{?\.?([\w+#-]*+)[^`\n]*\n?"
)
"""A line that opens a block, as in CommonMark: its indent or mark of a list, its fence and the block's language."""
_OPENS_LATE: Final = re.compile(r"([^`\n]++)(`{3,}+)[ \t]*+(python3?|py3?|)[ \t]*\n?", re.IGNORECASE)
"""One that does so after words, for models write that too."""
_MOST_INDENT: Final = 3
"""Of a fence that closes a block, past the block's own; further in it is part of a docstring."""


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
    """The code of an answer: all of it if that is code or has no fence, else its blocks.

    Those marked as Python are joined, or, where none is, those without a mark. Of them, only those that are Python and
    define something: calls that show how it is used, and what these print, are not. Where there are none of these, all
    are the code, so that running them tells what is wrong.
    """
    blocks = list(_blocks(answer))
    if not blocks or _defines(answer):
        return answer
    said = [code for mark, code in blocks if mark in _PYTHON] or [code for mark, code in blocks if not mark]
    return "\n\n".join([code for code in said if _defines(code)] or said)


def _blocks(answer: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of an answer, each with its language in small letters; one may go on to the end."""
    lines = StringIO(answer, newline=None)  # any line's end is read as \n
    for line in lines:
        if opened := _OPENS.fullmatch(line) or _OPENS_LATE.fullmatch(line):
            before, fence, mark = opened.groups()
            indent = len(before) if opened.re is _OPENS else 0
            yield mark.casefold(), _content(lines, indent, fence)


def _content(lines: Iterator[str], indent: int, fence: str) -> str:
    """What stands up to the end of a block, less the indent of its fence."""
    content = ""
    for line in lines:
        text = line.rstrip()
        said = text.rstrip(fence[0])
        if len(text) - len(said) >= len(fence):
            if said.strip() and fence not in said:
                return content + _less(said, indent)
            if not said.strip() and len(said) <= indent + _MOST_INDENT:
                break
        content += _less(line, indent)
    return content


def _less(line: str, indent: int) -> str:
    blank = len(line) - len(line.lstrip(" \t"))
    return line[min(blank, indent) :]


def _defines(code: str) -> bool:
    """Whether it is Python that does more than say or call something, and not only a part of a line."""
    tree = _parsed(textwrap.dedent(code))
    return tree is not None and any(not isinstance(each, ast.Expr) for each in tree.body)


def _joined(before: str, code: str) -> str:
    if not before:
        return code if _parsed(code) else textwrap.dedent(code)
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
        with warnings.catch_warnings(action="ignore"):  # of what a model wrote, nobody is to be warned
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
