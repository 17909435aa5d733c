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
    _Row("<document start>", "a second document begins here", "delete the `...` line and what follows it"),
    _Row("undefined alias", "an alias (*name) with no anchor (&name) before it", "write the value out"),
    _Row("scanning an alias", "a value that begins with * is taken for an alias", "put the value in quotes"),
    _Row("scanning an anchor", "a value that begins with & is taken for an anchor", "put the value in quotes"),
    _Row("duplicate anchor", "an anchor (&name) of this name is there already", "give it another name"),
    _Row("a tag", "a value that begins with ! is taken for a tag", "put the value in quotes"),
    _Row("undefined tag handle", "a value that begins with ! is taken for a tag", "put the value in quotes"),
    _Row("directive", "a line that begins with % is taken for a directive", "delete it, or put it in quotes"),
    _Row("incompatible YAML", "another version of YAML is asked for", "delete the line"),
    _Row("block scalar", "text after a | or >", "begin the text on the next line, or put the value in quotes"),
    _Row("entries are not allowed", "a list begins in the middle of a line", "begin each `- ` on a line of its own"),
    _Row("node content", "a value is missing, or a sign is here that none may start with",
         "write the value, in quotes if it has such signs"),
    _Row("cannot start any token", "a character no value may start with", "put the value in quotes"),
    _Row("could not find expected ':'", "a key with no `:` after it", "write `key: value`"),
    _Row("block collection", "this line is not indented like the list above it", "indent it like the lines above"),
    _Row("block mapping", "this line does not fit the keys above it",
         "indent it like its neighbours and close every quote"),
)  # fmt: skip
"""Tried in order against context and problem together."""

AFTER_A_VALUE = _Row(
    "", "more text after the end of a value",
    "put the whole value into quotes that it does not hold, close every quote above, or delete the rest",
)  # fmt: skip
"""What misfits a block but does not begin its line, so that no indentation mends it."""

ENDS_OPEN = _Row("", "the text ends where a [ or { is open", "close it with ] or }, after the last of its values")
"""What misses a value where nothing follows."""

OPENED_AT_CONTEXT = ("quoted", "flow", "expected ':'")
"""Phrases whose line of interest is where something was opened, not where the text ran out."""


def syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    """The one problem that stopped the parser, with line, column and remedy."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem((), "is not YAML", "compare it with the one that ships with Shoal")
    said = f"{error.context or ''} {error.problem or ''}"
    if any(word in said for word in ("unknown escape", "escape code", "hexdecimal", "hexadecimal")):
        row = _Row("", "a backslash starts no known escape", "use single quotes, or write two backslashes")
        return _problem(row, error.problem_mark)
    unknown = _Row("", f"is not YAML ({error.problem})", "compare it with its neighbours, or put the value in quotes")
    row = next((row for row in ROWS if row.phrase in said), unknown)
    opened = error.context_mark and any(word in row.phrase for word in OPENED_AT_CONTEXT)
    mark = error.context_mark if opened else error.problem_mark
    if mark is not None and _starts_with_tab(text, mark.line):
        row = _Row("", "the line is indented with a tab", "indent with spaces")
    elif mark is not None and row.phrase == "node content" and _is_end(text, mark):
        row = ENDS_OPEN
    elif mark is not None and row.phrase == "block mapping" and _before(text, mark).strip():
        row = AFTER_A_VALUE
    return _problem(row, mark)


def _problem(row: _Row, mark: yaml.Mark | None) -> Problem:
    if mark is None:
        return Problem((), row.what, row.remedy)
    return Problem((), f"column {mark.column + 1}: {row.what}", row.remedy, mark.line + 1)


def _before(text: str, mark: yaml.Mark) -> str:
    """The line of a mark up to it."""
    lines = text.splitlines()
    return lines[mark.line][: mark.column] if mark.line < len(lines) else ""


def _is_end(text: str, mark: yaml.Mark) -> bool:
    """Whether nothing but blanks follows a mark."""
    return not "\n".join(text.splitlines()[mark.line :]).removeprefix(_before(text, mark)).strip()


def _starts_with_tab(text: str, line: int) -> bool:
    lines = text.splitlines()
    before = lines[line] if line < len(lines) else ""
    return "\t" in before[: len(before) - len(before.lstrip())]
