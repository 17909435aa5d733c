"""Bounds of a JSON Schema that LLGuidance holds an answer to: of numbers, and of how many properties an object has.

It takes bounds as 64-bit floats, reads large ones exactly only where they are written without a point or an exponent,
and builds a regular expression of their digits, counted in 64-bit integers. Beyond that it compiles no grammar at all
(tried with xllamacpp 2026.10). Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

Schema = dict[str, Any]

MAX_BOUND: Final = 2**63 - 1024
"""Of numbers on its far side: a `minimum` below minus this and a `maximum` above it are told as this, more tightly."""
MAX_NEAR_BOUND: Final = 1e18
"""Of numbers on its near side: of 19 digits it needs all nines, which 63 bits do not hold."""
MIN_BOUND: Final = 1e-30
"""Apart from 0. Its digits are written out: of 1e-60 and less some make too long an expression."""
_WHOLE: Final = 2**53
"""From here on every float is a whole number, and not every whole number a float."""

_LEAST: Final = ("minimum", "exclusiveMinimum")
_MOST: Final = ("maximum", "exclusiveMaximum")
BOUNDS: Final = (*_LEAST, *_MOST)
_COUNTED: Final = (("minItems", "maxItems"), ("minLength", "maxLength"), ("minProperties", "maxProperties"))


def inward(keyword: str, bound: int | float) -> int | float:
    """What the engine is told for the bound of a number: the nearest it reads exactly that keeps to the bound."""
    told = max(-MAX_BOUND, min(MAX_BOUND, bound))
    read = float(told)
    if read < told and keyword in _LEAST:
        read = math.nextafter(read, math.inf)
    if read > told and keyword in _MOST:
        read = math.nextafter(read, -math.inf)
    return told if abs(read) < _WHOLE else int(read)


def unbound(schema: Schema) -> Iterator[str]:
    """Of one level of a schema, each keyword and what is wrong with its bound, in words behind the schema's place."""
    for keyword in BOUNDS:
        if keyword in schema and (what := _beyond(keyword, schema[keyword])):
            yield f"/{keyword}: `{keyword}` {what}"
    for least, most in _COUNTED:
        if schema.get(least, 0) > schema.get(most, math.inf):
            yield f"/{least}: `{least}` is greater than `{most}`, so nothing satisfies both"
    yield from _empty(schema)


def _beyond(keyword: str, bound: int | float) -> str | None:
    read = inward(keyword, bound)
    if read >= MAX_NEAR_BOUND if keyword in _LEAST else read <= -MAX_NEAR_BOUND:
        return "is supported up to 18 digits. Leave it out"
    if read and abs(read) < MIN_BOUND:
        return f"is supported from {MIN_BOUND:g} on, apart from 0. Use 0"
    return None


def _empty(schema: Schema) -> Iterator[str]:
    """A range without a number in it, of whole numbers or multiples where only they are allowed."""
    least = max((key for key in _LEAST if key in schema), key=lambda key: (schema[key], key != "minimum"), default=None)
    most = min((key for key in _MOST if key in schema), key=lambda key: (schema[key], key == "maximum"), default=None)
    if least is None or most is None:
        return
    low, high = Fraction(inward(least, schema[least])), Fraction(inward(most, schema[most]))
    if schema[least] > schema[most]:
        yield f"/{least}: `{least}` is greater than `{most}`, so nothing satisfies both"
    elif not _any_between(low, high, least != "minimum", most != "maximum", _step(schema)):
        yield f"/{least}: nothing that the schema allows lies between `{least}` and `{most}`. Widen them"


def _step(schema: Schema) -> Fraction | None:
    """What every number is a multiple of; None where any will do."""
    kinds = schema.get("type")
    whole = kinds == "integer" or (isinstance(kinds, list) and "integer" in kinds and "number" not in kinds)
    if schema.get("multipleOf", 0) > 0:
        step = Fraction(str(schema["multipleOf"]))
        return Fraction(step.numerator) if whole else step
    return Fraction(1) if whole else None


def _any_between(low: Fraction, high: Fraction, above: bool, below: bool, step: Fraction | None) -> bool:
    if step is None:
        return low < high or (low == high and not (above or below))
    first = math.ceil(low / step)
    first += above and first * step == low
    return first * step < high or (first * step == high and not below)


def uncounted(schema: Schema, closed: bool) -> str | None:
    """What is wrong with how many properties an object has, in words behind the schema's place; None where nothing is.

    The grammar counts properties of which any may be left out only up to one, and only when `closed`: without others.
    Of others it counts one as often as it is said.
    """
    if not schema.keys() & {"minProperties", "maxProperties"}:
        return None
    named, required = set(schema.get("properties") or ()), set(schema.get("required") or ())
    least = max(0, schema.get("minProperties", 0) - len(required))
    most = None if idle_most(schema, closed) else schema.get("maxProperties", math.inf) - len(required)
    if most is not None and most < 0:
        return "/maxProperties: fewer properties than `required` has, so nothing satisfies both"
    if closed and least > len(named | required) - len(required):
        return "/minProperties: more properties than the object may have, so nothing satisfies both"
    if not closed and least > 1:
        return "/minProperties: names that are not listed may repeat. List them in `properties`"
    if named <= required or (closed and least <= 1 and most in (None, 1)) or (not least and most is None):
        return None
    keyword = "maxProperties" if most is not None else "minProperties"
    return (
        f"/{keyword}: `{keyword}` is supported where every property is required, or where at most one of those that "
        "are not is counted. Make them required, or leave it out"
    )


def idle_most(schema: Schema, closed: bool) -> bool:
    """Whether `maxProperties` is not there, or asks for nothing."""
    most: float = schema.get("maxProperties", math.inf)
    return most >= (len(schema.get("properties") or ()) if closed else math.inf)
