"""Whether a JSON Schema is one, within bounds; what it means is the engine's affair.

Checked are the keywords that give an answer its shape (JSON Schema draft 2020-12); unknown keywords are annotations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final, NamedTuple

import orjson

from experts.engines.schema_grammar import target
from router.api.errors import ApiError, invalid

MAX_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 64
MAX_ENUM: Final = 1_000
"""Enumerated values of a format together, OpenAI's own limit. A grammar weighs each of them for every token: 3,000 that
begin alike took an engine half a minute for one short answer."""

MAX_PATTERNS: Final = 8_192
"""Characters of all patterns of a format together; to read one takes up to 4 us of the event loop's time."""

FORMAT: Final = "invalid_json_schema"
"""The code of what is wrong with the schema of an answer; a function's arguments are bound by none."""

TYPES: Final = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_MAPS: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLES: Final = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_COUNTS: Final = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_NUMBERS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


class _Wrong(Exception):
    """What is wrong, and where in the schema."""


class _Whole(NamedTuple):
    """The schema that another one is part of."""

    root: dict[str, Any]
    binds: bool
    """It is of an answer, which must match its patterns."""


def check_schema(schema: dict[str, Any], param: str, owner: str, code: str) -> None:
    """Raises a 400 `ApiError` with `code` when `schema`, the one of `owner`, is none or is too large."""
    if len(orjson.dumps(schema)) > MAX_BYTES:
        raise _invalid(f"it is larger than {MAX_BYTES} bytes", param, owner, code)
    if code == FORMAT and (values := _enumerated(schema)) > MAX_ENUM:
        raise _invalid(f"it enumerates {values} values, and {MAX_ENUM} may be", param, owner, code)
    if code == FORMAT and (chars := _pattern_chars(schema)) > MAX_PATTERNS:
        raise _invalid(f"its patterns have {chars} characters, and {MAX_PATTERNS} may be", param, owner, code)
    try:
        _check(schema, "", 0, _Whole(schema, code == FORMAT))
        if code == FORMAT:
            _check_loops(schema)
    except _Wrong as wrong:
        raise _invalid(str(wrong), param, owner, code) from None


def _enumerated(schema: dict[str, Any]) -> int:
    """How many values all `enum`s of a schema name."""
    return sum(len(each["enum"]) for each in _objects(schema) if isinstance(each.get("enum"), list))


def _pattern_chars(schema: dict[str, Any]) -> int:
    """Characters of all `pattern`s of a schema."""
    return sum(len(each["pattern"]) for each in _objects(schema) if isinstance(each.get("pattern"), str))


def _objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All objects in a schema."""
    waiting: list[Any] = [schema]
    while waiting:
        top = waiting.pop()
        if isinstance(top, dict):
            yield top
            waiting.extend(top.values())
        elif isinstance(top, list):
            waiting.extend(top)


def _invalid(why: str, param: str, owner: str, code: str) -> ApiError:
    return invalid(f"Invalid schema for {owner}: {why}.", param, code)


def _check(schema: Any, at: str, depth: int, whole: _Whole) -> None:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise _Wrong(f"{at or 'it'} must be an object or a boolean")
    if depth > MAX_DEPTH:
        raise _Wrong(f"it is nested deeper than {MAX_DEPTH}")
    _check_values(schema, at, whole)
    for key in _MAPS:
        if key in schema:
            if not isinstance(schema[key], dict):
                raise _Wrong(f"{at}/{key} must be an object")
            for name, inner in schema[key].items():
                _check(inner, f"{at}/{key}/{name}"[:200], depth + 1, whole)
    for key in _LISTS:
        if key in schema:
            if not isinstance(schema[key], list) or not schema[key]:
                raise _Wrong(f"{at}/{key} must be an array that is not empty")
            for place, inner in enumerate(schema[key]):
                _check(inner, f"{at}/{key}/{place}", depth + 1, whole)
    for key in _SINGLES:
        if key in schema:
            _check(schema[key], f"{at}/{key}", depth + 1, whole)


def _check_values(schema: dict[str, Any], at: str, whole: _Whole) -> None:
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not kinds or not all(isinstance(kind, str) and kind in TYPES for kind in kinds):
            raise _Wrong(f"{at}/type: {_short(schema['type'])} is not a type; there are {', '.join(sorted(TYPES))}")
    if "enum" in schema and (not isinstance(schema["enum"], list) or not schema["enum"]):
        raise _Wrong(f"{at}/enum must be an array that is not empty")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise _Wrong(f"{at}/required must be an array of strings")
    for key in _COUNTS:
        if key in schema and (type(schema[key]) is not int or schema[key] < 0):
            raise _Wrong(f"{at}/{key} must be a non-negative integer")
    for key in _NUMBERS:
        if key in schema and (isinstance(schema[key], bool) or not isinstance(schema[key], int | float)):
            raise _Wrong(f"{at}/{key} must be a number")
    if "pattern" in schema:
        _check_pattern(schema["pattern"], at, whole.binds)
    if "$ref" in schema:
        _check_ref(schema["$ref"], at, whole.root)


def _check_pattern(pattern: Any, at: str, binds: bool) -> None:
    if not isinstance(pattern, str):
        raise _Wrong(f"{at}/pattern must be a string")
    if not binds:  # dialects differ, and a model only reads it
        return
    try:
        # The parser alone, which is private: re.compile, the one public way to it, also makes the matcher, and five
        # thousand characters can be made to take that 17 s.
        _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError, ValueError):
        raise _Wrong(f"{at}/pattern is not a regular expression") from None


def _check_ref(ref: Any, at: str, root: dict[str, Any]) -> None:
    if not isinstance(ref, str) or not ref.startswith("#"):
        raise _Wrong(f"{at}/$ref must point into the schema itself and start with #")
    if target(ref, root) is None:
        raise _Wrong(f"{at}/$ref: {_short(ref)} is not in the schema")


def _check_loops(root: dict[str, Any]) -> None:
    """A schema that is what it itself says is, without a step into the value, says nothing."""
    done: set[int] = set()
    for schema in _objects(root):
        if "$ref" in schema and id(schema) not in done:
            _follow(schema, root, done)


def _follow(start: dict[str, Any], root: dict[str, Any], done: set[int]) -> None:
    under = {id(start)}
    path = [(start, _same_value(start, root))]
    while path:
        schema, steps = path[-1]
        found = next(steps, None)
        if found is None:
            path.pop()
            under.discard(id(schema))
            done.add(id(schema))
        elif id(found) in under:
            raise _Wrong(f"$ref: {_short(start['$ref'])} leads back to itself")
        elif id(found) not in done:
            under.add(id(found))
            path.append((found, _same_value(found, root)))


def _same_value(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas that the same value must fit, or may."""
    branches = (schema.get(key) for key in ("anyOf", "oneOf", "allOf"))
    found = [inner for listed in branches if isinstance(listed, list) for inner in listed]
    if isinstance(schema.get("$ref"), str):
        found.append(target(schema["$ref"], root))
    return (inner for inner in found if isinstance(inner, dict))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
