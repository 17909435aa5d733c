"""JSON-lines files, gzipped or not -> checked rows. Every problem is found at once, each with file and line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from experts.errors import RegistryError

Row = dict[str, Any]

Fields = Mapping[str, type[str] | type[list[str]]]
"""What a row must have: `str` is a text that is not blank, `list` a list of such texts, not empty."""

GZIPPED: Final = b"\x1f\x8b"
"""How every gzipped file begins, and no line of JSON."""

_PLAIN: Final = 2
"""Lines without an object, above which the whole file is of another kind: one problem, not one a line."""

_WANTED = {str: "a text that is not empty", list: "a list of texts that are not empty"}


def read_rows(path: Path, fields: Fields) -> list[Row]:
    """The rows of a file; see `numbered_rows`."""
    return [row for _, row in numbered_rows(path, fields)]


def numbered_rows(path: Path, fields: Fields) -> list[tuple[int, Row]]:
    """The rows of a file with their line numbers; empty lines and keys beyond `fields` are fine.

    Raises RegistryError with every line that is no JSON object or lacks a field, or when there are no rows at all.
    """
    try:
        lines = _bytes(path).removeprefix(b"\xef\xbb\xbf").splitlines()
    except (OSError, EOFError, zlib.error) as error:
        what = getattr(error, "strerror", None) or error
        raise RegistryError([f"{path}: cannot be read ({what}). Remedy: correct the path, or restore it."]) from error
    rows: list[tuple[int, Row]] = []
    problems: list[str] = []
    wanted = f", with {', '.join(fields)}" if fields else ""
    told = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if len(told) > _PLAIN and not any(line.lstrip().startswith(b"{") for _, line in told):
        remedy = f"Remedy: write one JSON object a line{wanted}."
        raise RegistryError([f"{path}: none of its {len(told):,} lines is a JSON object. {remedy}"])
    for number, line in told:
        row, wrong = _row(line, fields)
        problems += [wrong_row(path, number, what) for what in wrong]
        rows.append((number, row))
    if not rows:
        problems.append(f"{path}: has no rows. Remedy: write one JSON object a line{wanted}.")
    if problems:
        raise RegistryError(problems)
    return rows


def _bytes(path: Path) -> bytes:
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == ".gz" or raw.startswith(GZIPPED) else raw


def wrong_row(path: Path, line: int, what: str, remedy: str = "correct or remove the line") -> str:
    """One problem of a row, worded as the registry's are."""
    return f"{path}:{line}: {what}. Remedy: {remedy}."


def _row(line: bytes, fields: Fields) -> tuple[Row, list[str]]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return {}, [f"is not JSON ({not_json(error)})"]
    if not isinstance(row, dict):
        return {}, ["is not a JSON object"]
    if wrong := wrong_keys(line, row):
        return row, [wrong]
    return row, [
        f"{name} {'is missing' if name not in row else f'must be {_WANTED[kind]}'}"
        for name, kind in fields.items()
        if not _is_a(row.get(name), kind)
    ]


def not_json(error: orjson.JSONDecodeError) -> str:
    """Why a line is no JSON, and where: other programs write numbers that JSON does not have."""
    if error.doc[error.pos :].startswith(("NaN", "Infinity")):
        return f"it has no NaN or Infinity, as at column {error.colno}"
    return f"{error.msg} at column {error.colno}"


def wrong_keys(line: bytes, row: Row) -> str | None:
    """What is wrong with the keys of the JSON `line`, in words: of one given twice its `row` holds the last alone."""
    found: dict[str, None] = {}

    def kept(pairs: list[tuple[str, object]]) -> None:
        keys = [key for key, _ in pairs]
        found.update(dict.fromkeys(key for at, key in enumerate(keys) if key in keys[:at]))

    try:
        # A key that comes twice is parsed once, so fewer colons are left; only an escaped colon could make up for it.
        if line.count(b":") != orjson.dumps(row).count(b":") or b"\\u003" in line:
            json.loads(line, object_pairs_hook=kept, parse_int=str, parse_float=str)
    except (orjson.JSONEncodeError, RecursionError):
        return "is nested too deep for its keys to be checked"
    return f"the key {next(iter(found))!r} is given twice in one object" if found else None


def _is_a(value: Any, kind: type[Any]) -> bool:
    if kind is list:
        return isinstance(value, list) and bool(value) and all(_is_a(item, str) for item in value)
    return isinstance(value, str) and bool(value.strip())
