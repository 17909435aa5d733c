"""A JSON Schema as the grammar that binds llama.cpp's answer, and what of a schema that grammar cannot hold it to.

The engine in use is built with LLGuidance, whose grammars take a JSON Schema as it is. A schema that it cannot compile
it leaves out without a word, and the answer is bound by nothing; so what may be said is listed here, and whoever asks
looks whether the engine compiles it (`experts.llama_cpp`). Each line of these lists was tried on real weights
(tests/experts/engines/test_schema_grammar.py). Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from itertools import combinations
from typing import Any, Final, NamedTuple

import orjson

from experts.engines.automaton import unmatched
from experts.engines.schema_bounds import BOUNDS, Schema, idle_most, inward, unbound, uncounted

MAX_ITEMS: Final = 10_000
"""Bound of `minItems` and `maxItems`. A million took the engine nine seconds, a milliard all memory it was given."""
MAX_STEP: Final = 1_000
"""Of all `multipleOf`s together, in their last digit. A few primes of ten thousand took the engine all its memory."""
_FINEST: Final = 9
_MOST_PAIRS: Final = 2_000
"""Pairs of branches of all `oneOf`s together; each pair is looked at, on the event loop."""
MAX_ALL: Final = 4
"""Branches of an `allOf`, which multiply."""
MAX_LENGTH: Final = 1_000_000
"""Bound of the other counts, far beyond any context."""

FORMATS: Final = frozenset({"date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_NUMERIC_FORMATS: Final = frozenset({"int32", "int64", "float", "double"})

_IGNORED: Final = frozenset({
    "not", "if", "then", "else", "contains", "minContains", "maxContains", "propertyNames", "patternProperties",
    "dependentRequired", "dependentSchemas", "dependencies", "unevaluatedItems", "unevaluatedProperties",
    "additionalItems", "$dynamicRef", "$recursiveRef",
})  # fmt: skip
_MAPS: Final = ("properties", "$defs", "definitions")
_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLES: Final = ("items", "additionalProperties")
_COUNTS: Final = {
    "minItems": MAX_ITEMS, "maxItems": MAX_ITEMS, "minLength": MAX_LENGTH, "maxLength": MAX_LENGTH,
    "minProperties": MAX_LENGTH, "maxProperties": MAX_LENGTH,
}  # fmt: skip
ANY_OBJECT: Final[Schema] = {"type": "object"}


def bound_by(form: Schema) -> str | None:
    """The grammar that a `response_format` asks for; None for text.

    Where the client did not insist (`strict`) and the grammar cannot hold the whole schema, any JSON value will do.
    """
    if form["type"] == "json_object":
        return _grammar(ANY_OBJECT)
    if form["type"] != "json_schema":
        return None
    schema = form["json_schema"]["schema"]
    if unheld(schema) is not None:
        return ANYTHING
    return _grammar(_told(schema, closed=not _composed(schema)))


_SPACED: Final[Schema] = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}
"""Under the key that docs/json_schema.md of LLGuidance gives it: one line, spaced as `json.dumps` does.

Free white space has no end there, whatever pattern it is given: one answer in 120 of SmolLM2-135M was tabs up to its
limit. Of 90 fields to extract it found 72 so, 68 with free white space, 54 with none (temperature 0, 2026-11-26).
"""


def _grammar(schema: Schema) -> str:
    return f"%llguidance {{}}\nstart: %json {orjson.dumps({**schema, 'x-guidance': _SPACED}).decode()}"


ANYTHING: Final = _grammar({"title": "anything"})
"""The grammar of any JSON value."""


def unheld(schema: Schema) -> str | None:
    """The first keyword that an answer could break, where it stands and what to do; None when there is none."""
    if _pairs(schema) > _MOST_PAIRS:
        return f"#: its `oneOf`s have more than {_MOST_PAIRS} pairs of branches. Use `anyOf`"
    return next(_unheld(schema, "#", _Whole(schema, not _composed(schema))), None) or _unstepped(schema)


class _Whole(NamedTuple):
    """The schema that another one is part of."""

    root: Schema
    closed: bool
    """Objects that are silent on further properties have none."""


def _pairs(schema: Any) -> int:
    """How many pairs of branches all `oneOf`s of a schema have."""
    if isinstance(schema, dict):
        branches = schema.get("oneOf")
        return (math.comb(len(branches), 2) if isinstance(branches, list) else 0) + sum(map(_pairs, schema.values()))
    return sum(map(_pairs, schema)) if isinstance(schema, list) else 0


def _unstepped(schema: Schema) -> str | None:
    """What is wrong with its `multipleOf`s together: where two meet, the grammar counts to what both divide."""
    steps = [Decimal(str(step)) for step in _steps(schema)]
    finest = min((min(0, int(step.as_tuple().exponent)) for step in steps), default=0)
    if finest < -_FINEST or math.lcm(*(int(step.scaleb(-finest)) for step in steps)) > MAX_STEP:
        return f"#: its `multipleOf`s have no common multiple up to {MAX_STEP} of their last digit. Leave them out"
    return None


def _steps(schema: Any) -> Iterator[int | float]:
    if isinstance(schema, dict):
        if isinstance(schema.get("multipleOf"), int | float):
            yield schema["multipleOf"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for inner in schema:
            yield from _steps(inner)


def _unheld(schema: Any, at: str, whole: _Whole) -> Iterator[str]:
    if schema is False and not at.endswith(_SINGLES):
        yield f"{at}: nothing satisfies `false`. Leave the property out"
    if not isinstance(schema, dict):
        return
    for keyword in schema.keys() & _IGNORED:
        yield f"{at}/{keyword}: the keyword `{keyword}` is not supported. Leave it out"
    if schema.get("uniqueItems"):
        yield f"{at}/uniqueItems: the keyword `uniqueItems` is not supported. Leave it out"
    yield from _values(schema, at)
    if what := uncounted(schema, _is_closed(schema, whole.closed)):
        yield at + what
    if len(schema.get("allOf") or ()) > MAX_ALL:
        yield f"{at}/allOf: `allOf` may have at most {MAX_ALL} branches. Put them into one"
    if not all(_disjoint(*pair, whole.root) for pair in combinations(schema.get("oneOf") or (), 2)):
        yield f"{at}/oneOf: `oneOf` is supported where no value fits two branches. Use `anyOf`"
    for key in _MAPS:
        for name, inner in (schema.get(key) or {}).items():
            yield from _unheld(inner, f"{at}/{key}/{name}"[:200], whole)
    for key in _LISTS:
        for place, inner in enumerate(schema.get(key) or ()):
            yield from _unheld(inner, f"{at}/{key}/{place}", whole)
    for key in _SINGLES:
        yield from _unheld(schema.get(key), f"{at}/{key}", whole)


def _values(schema: Schema, at: str) -> Iterator[str]:
    form, kinds = str(schema.get("format", "")), _kinds(schema)
    if form and not (form in FORMATS or (form in _NUMERIC_FORMATS and "string" not in kinds and kinds)):
        known = ", ".join(sorted(FORMATS))
        yield f"{at}/format: the `format` {str(form)[:40]!r} is not supported, but {known} are. Leave it out"
    if "pattern" in schema and (what := unmatched(schema["pattern"])):
        yield f"{at}/pattern: a `pattern` with {what} is not supported. Say it without"
    for key, most in _COUNTS.items():
        if schema.get(key, 0) > most:
            yield f"{at}/{key}: `{key}` may be at most {most}. Ask for less"
    if schema.get("multipleOf", 1) <= 0:
        yield f"{at}/multipleOf: `multipleOf` must be greater than 0"
    if "required" in schema and schema.get("additionalProperties") is False:
        for name in set(schema["required"]) - (schema.get("properties") or {}).keys():
            yield f"{at}/required: {name[:64]!r} is required, but no property. Add it to `properties`"
    for what in unbound(schema):
        yield at + what


def _told(schema: Any, closed: bool) -> Any:
    """What the engine is told, which no answer fits that does not fit `schema`.

    Every `oneOf` is an `anyOf`, which it means where branches are disjoint, bounds are those the engine reads, and what
    it needs not know is left out. When `closed`, an object that is silent on further properties has none: a small model
    would not stop inventing them.
    """
    if isinstance(schema, list):
        return [_told(inner, closed) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    told = {key: _inner(key, value, closed) for key, value in schema.items() if key not in _UNTOLD}
    if "oneOf" in schema:
        branches = {"anyOf": _told(schema["oneOf"], closed)}
        told |= branches if "anyOf" not in told else {"allOf": [*told.get("allOf", ()), branches]}
    if _is_closed(schema, closed):
        told.setdefault("additionalProperties", False)
        if idle_most(schema, True):  # which the engine would count all the same, and cannot
            told.pop("maxProperties", None)
    return told


_UNTOLD: Final = ("oneOf", "uniqueItems", "$schema", "$id")
"""`uniqueItems` is false, references are found from the root, and a `$schema` the engine has not it would fetch."""


def _is_closed(schema: Schema, closed: bool) -> bool:
    """Whether an object has no properties but those that are named."""
    if "additionalProperties" in schema:
        return schema["additionalProperties"] is False
    names = (schema.get("properties") or {}).keys()
    return closed and bool(names) and names >= set(schema.get("required") or ()) and "minProperties" not in schema


def _inner(key: str, value: Any, closed: bool) -> Any:
    if key in _MAPS and isinstance(value, dict):
        return {name: _told(inner, closed) for name, inner in value.items()}
    if key in BOUNDS:
        return inward(key, value)
    return _told(value, closed) if key in _LISTS or key in _SINGLES else value


def _composed(schema: Any) -> bool:
    """Whether some value must fit several schemas at once, each of which may name its own properties."""
    if isinstance(schema, list):
        return any(map(_composed, schema))
    if not isinstance(schema, dict):
        return False
    if "allOf" in schema or ("properties" in schema and schema.keys() & {"$ref", "anyOf", "oneOf"}):
        return True
    inner = (
        schema[key].values() if key in _MAPS else [schema[key]] for key in (*_MAPS, *_LISTS, *_SINGLES) if key in schema
    )
    return any(_composed(one) for some in inner for one in some)


def _disjoint(one: Any, other: Any, root: Schema) -> bool:
    """Whether surely no value fits both: of different types, or told apart by a property both must have."""
    one, other = _resolved(one, root), _resolved(other, root)
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return False
    if _told_apart(one, other):
        return True
    both = set(one.get("required") or ()) & set(other.get("required") or ())
    mine, theirs = one.get("properties") or {}, other.get("properties") or {}
    objects = one.get("type") == other.get("type") == "object"
    return objects and any(_told_apart(mine.get(name), theirs.get(name)) for name in both)


def _told_apart(one: Any, other: Any) -> bool:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return False
    mine, theirs = _chosen(one), _chosen(other)
    if mine is not None and theirs is not None:
        return not mine & theirs
    kinds, others = _kinds(one), _kinds(other)
    return bool(kinds and others) and not kinds & others


def _chosen(schema: Schema) -> set[bytes] | None:
    """The values a schema names; numbers as they are written, so 1 and 1.0 are not told apart from other kinds."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is None or not all(isinstance(value, str | bool) for value in values):
        return None
    return {orjson.dumps(value) for value in values}


def _kinds(schema: Schema) -> set[str]:
    told = schema.get("type") or []
    return {"number" if kind == "integer" else kind for kind in ([told] if isinstance(told, str) else told)}


def _resolved(schema: Any, root: Schema) -> Any:
    """What a `$ref` alone points to, a few steps on; the schema itself when it is none."""
    for _ in range(8):
        if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
            return schema
        schema = target(schema["$ref"], root)
    return None


def target(ref: str, root: Schema) -> Any:
    """What a `$ref` into its own schema points to; None when nothing is there."""
    found: Any = root
    for step in ref[1:].strip("/").split("/") if ref != "#" else ():
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdecimal() and len(name) < 10 and int(name) < len(found):
            found = found[int(name)]
        else:
            found = found.get(name) if isinstance(found, dict) else None
    return found
