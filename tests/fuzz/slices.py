"""The OpenAPI document in slices: one property of a body at large, the other required ones right.

A whole body of forty parameters takes Schemathesis 75 ms to make and is wrong in the first place that is looked at; a
slice takes a fraction of that, and every parameter gets its share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

GOOD: Final[dict[str, Any]] = {
    "model": "poet",
    "messages": [{"role": "user", "content": "a poem"}],
    "input": "a poem",
    "prompt": "a poem",
    "max_tokens": 8,
    "request_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "score": 1,
    "text": "version: 1",
    "expert": {"id": "poet"},
}
"""A right value of each property that some body requires."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of a document: what of it is asked."""

    name: str
    document: dict[str, Any]
    body: dict[str, Any] = field(default_factory=dict)
    """The schema of whole bodies: what a slice calls wrong, because another value stands where one was fixed or another
    alternative fits, may be right by it."""


def slices(document: dict[str, Any]) -> list[Slice]:
    """Every operation without a body as it is; of every body each property, and the whole."""
    return [one for path, operations in document["paths"].items() for one in _of_path(document, path, operations)]


def _of_path(document: dict[str, Any], path: str, operations: dict[str, Any]) -> Iterator[Slice]:
    for method, operation in operations.items():
        narrow = {**document, "paths": {path: {method: operation}}}
        body = _body(document, operation)
        whole = {**body, "components": document.get("components", {})}
        yield Slice(f"{method.upper()} {path}", narrow, whole)
        for name in body.get("properties", {}):
            narrowed = {**operation, "requestBody": _with(operation["requestBody"], _only(body, name))}
            yield Slice(f"{method.upper()} {path} {name}", {**document, "paths": {path: {method: narrowed}}}, whole)


def _body(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    """The schema of an operation's JSON body, or an empty one."""
    content = operation.get("requestBody", {}).get("content", {})
    schema: dict[str, Any] = content.get("application/json", {}).get("schema", {})
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _only(body: dict[str, Any], name: str) -> dict[str, Any]:
    required = body.get("required", [])
    right = {
        other: {"const": GOOD[other]} if other in GOOD else body["properties"][other]
        for other in required
        if other != name
    }
    return {**body, "properties": right | {name: body["properties"][name]}}


def _with(request_body: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return {**request_body, "content": {"application/json": {"schema": schema}}}
