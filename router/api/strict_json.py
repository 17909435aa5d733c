"""JSON as strict as a gateway needs it: no key twice, no nesting beyond reason, no flood of tiny values. Pure.

What a parser alone lets pass is told apart by counting bytes, so a plain request costs a microsecond more. NaN,
Infinity, lone surrogates, byte-order marks and any encoding but UTF-8 are refused by the parser itself.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

MAX_DEPTH: Final = 64
MAX_CONTAINERS: Final = 100_000
"""Objects and arrays in one body; each costs memory far beyond its two bytes."""

MAX_KEYS: Final = 200_000

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")


class NotStrictJson(ValueError):
    """The body is no JSON that is taken here; the message says why, and holds nothing of the body."""


def parse(body: bytes) -> Any:
    """What `body` says. Raises NotStrictJson."""
    opened = body.count(b"[") + body.count(b"{")
    if opened > MAX_DEPTH or body.count(b":") > MAX_KEYS:
        _check_shape(body)
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotStrictJson(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    # A key that comes twice is parsed once, so fewer colons are left; only an escaped colon could make up for it.
    if body.count(b":") != orjson.dumps(found).count(b":") or b"\\u003" in body:
        _check_keys(body)
    return found


def _check_shape(body: bytes) -> None:
    """Raise NotStrictJson when there is too much of anything outside strings, or too deep."""
    bare = _STRING.sub(b"", body)
    if bare.count(b"[") + bare.count(b"{") > MAX_CONTAINERS or bare.count(b":") > MAX_KEYS:
        raise NotStrictJson(f"more than {MAX_CONTAINERS:,} objects and arrays, or {MAX_KEYS:,} keys")
    brackets = bare.translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")  # the innermost level, whatever its kind; the parser matches kinds
    if b"[" in brackets:
        raise NotStrictJson(f"nested deeper than {MAX_DEPTH} levels, or brackets that do not match")


def _check_keys(body: bytes) -> None:
    json.loads(body, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise NotStrictJson("a key that comes twice in one object")
        seen.add(key)
