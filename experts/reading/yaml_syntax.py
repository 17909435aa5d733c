"""What PyYAML says about broken syntax, in words that tell what to do."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from experts.reading.problems import Problem


@dataclass(frozen=True)
class _Row:
    """A phrase of libyaml's or PyYAML's message (they differ a little), and what it means to a user."""

    phrase: str
    what: str
    remedy: str


ROWS = (
    _Row("a quoted scalar", "a quote opens here and never closes", "close it at the end of the value"),
    _Row("a double-quoted scalar", "a quote opens here and never closes", "close it at the end of the value"),
    _Row("a single-quoted scalar", "a quote opens here and never closes", "close it at the end of the value"),
    _Row("a flow sequence", "a [ opens here and never closes", "close it with ] and put commas between the items"),
    _Row("a flow mapping", "a { opens here and never closes", "close it with } and put commas between the keys"),
    _Row("mapping values are not allowed", "a second `:` or wrong indentation",
         "put the value in quotes, or indent the line like its neighbours"),
    _Row("expected a single document", "a second document begins here", "delete the `---` line and what follows it"),
    _Row("undefined alias", "an alias (*name) with no anchor (&name) before it", "write the value out"),
    _Row("cannot start any token", "a character no value may start with", "put the value in quotes"),
    _Row("could not find expected ':'", "a key with no `:` after it", "write `key: value`"),
    _Row("block collection", "this line is not indented like the list above it", "indent it like the lines above"),
    _Row("block mapping", "this line does not fit the keys above it",
         "indent it like its neighbours and close every quote"),
)  # fmt: skip
"""Tried in order against context and problem together."""

OPENED_AT_CONTEXT = ("quoted", "flow")
"""Phrases whose line of interest is where something was opened, not where the text ran out."""


def syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    """The one problem that stopped the parser, with line, column and remedy."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem((), "is not YAML", "compare it with the registry.yaml that ships with Shoal")
    said = f"{error.context or ''} {error.problem or ''}"
    if "unknown escape" in said or "escape code" in said:
        row = _Row("", "a backslash starts no known escape", "use single quotes, or write two backslashes")
        return _problem(row, error.problem_mark)
    row = next((row for row in ROWS if row.phrase in said), _Row("", error.problem or "is not YAML", "correct it"))
    opened = error.context_mark and any(word in row.phrase for word in OPENED_AT_CONTEXT)
    mark = error.context_mark if opened else error.problem_mark
    if mark is not None and _starts_with_tab(text, mark.line):
        row = _Row("", "the line is indented with a tab", "indent with spaces")
    return _problem(row, mark)


def _problem(row: _Row, mark: yaml.Mark | None) -> Problem:
    if mark is None:
        return Problem((), row.what, row.remedy)
    return Problem((), f"column {mark.column + 1}: {row.what}", row.remedy, mark.line + 1)


def _starts_with_tab(text: str, line: int) -> bool:
    lines = text.splitlines()
    before = lines[line] if line < len(lines) else ""
    return "\t" in before[: len(before) - len(before.lstrip())]
