"""JSON as strict as a gateway needs it: no key twice, no nesting beyond reason, no flood of tiny values. Pure.

What a parser alone lets pass is told apart by counting bytes, so a plain request costs a microsecond more. NaN,
Infinity, lone surrogates, byte-order marks and any encoding but UTF-8 are refused by the parser itself.
A large body is looked at a window at a time: whoever does that in a thread keeps nobody waiting for the interpreter.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

MAX_DEPTH: Final = 64
MAX_CONTAINERS: Final = 20_000
"""Objects and arrays in one body; to check each against its model takes some 1.5 us of the event loop's time. The most
messages there may be, each a call or the result of one in parts, and the most tools, take less than half of it."""

MAX_KEYS: Final = 200_000
MAX_VALUES: Final = 1_000_000
"""Values in one body; the parser holds the interpreter while it makes them."""

LARGE_BYTES: Final = 65_536
"""Also the window in which a larger body is looked at."""

_NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b"[]{}:,"))
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")


class NotStrictJson(ValueError):
    """The body is no JSON that is taken here; the message says why, and holds nothing of the body."""


def parse(body: bytes) -> Any:
    """What `body` says. Raises NotStrictJson."""
    structure = None
    if len(body) > LARGE_BYTES or body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        structure = _structure(body)
        _check_shape(structure)
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotStrictJson(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    # A key that comes twice is parsed once, so fewer colons are left; only an escaped colon could make up for it.
    if structure is not None:
        _check_keys(structure, found)
    elif body.count(b":") != orjson.dumps(found).count(b":") or b"\\u003" in body:
        _check_keys(_structure(body), found)
    return found


def _structure(body: bytes) -> bytes:
    """The brackets, colons and commas of `body` outside its strings."""
    kept: list[bytes] = []
    start, inside = 0, 0
    while window := body[start : start + LARGE_BYTES]:
        if b"\\" in window:
            if (len(window) - len(window.rstrip(b"\\"))) % 2:  # what is escaped lies in the next one
                window = body[start : start + LARGE_BYTES + 1]
            start += len(window)
            window = window.replace(b"\\\\", b"").replace(b'\\"', b"")
        else:
            start += len(window)
        parts = window.split(b'"')
        kept.append(b"".join(parts[inside::2]).translate(None, _NOT_STRUCTURE))
        inside = (inside + len(parts) - 1) % 2
    return b"".join(kept)


def _check_shape(structure: bytes) -> None:
    """Raise NotStrictJson when there is too much of anything, or too deep."""
    if structure.count(b"[") + structure.count(b"{") > MAX_CONTAINERS or structure.count(b":") > MAX_KEYS:
        raise NotStrictJson(f"more than {MAX_CONTAINERS:,} objects and arrays, or {MAX_KEYS:,} keys")
    if structure.count(b",") >= MAX_VALUES:
        raise NotStrictJson(f"more than {MAX_VALUES:,} values")
    brackets = structure.translate(_ONE_KIND, b":,")
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")  # the innermost level, whatever its kind; the parser matches kinds
    if b"[" in brackets:
        raise NotStrictJson(f"nested deeper than {MAX_DEPTH} levels, or brackets that do not match")


def _check_keys(structure: bytes, found: object) -> None:
    """Raise NotStrictJson when fewer keys were parsed than were written."""
    objects, keys = structure.count(b"{"), structure.count(b":")
    waiting = [found]
    while waiting and objects:
        top = waiting.pop()
        if isinstance(top, dict):
            objects -= 1
            keys -= len(top)
            waiting.extend(value for value in top.values() if isinstance(value, dict | list))
        elif isinstance(top, list):
            waiting.extend(value for value in top if isinstance(value, dict | list))
    if keys:
        raise NotStrictJson("a key that comes twice in one object")
