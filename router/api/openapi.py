"""The OpenAPI document: what this server answers, from the same models that check the requests."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import orjson
from pydantic.json_schema import models_json_schema

from router.api.answers import ANSWERS
from router.api.errors import ANTHROPIC_PATH
from router.api.operations import EVENTS, JSON, OPERATIONS, Operation

TEMPLATE: Final = "#/components/schemas/{model}"

_PATH_PARAMETER: Final = re.compile(r"{(\w+)}")
_KEY: Final[list[dict[str, list[str]]]] = [{"key": []}, {"x_api_key": []}, {}]
"""A key either way, and none where none is asked for: on loopback without keys."""


def document(title: str, version: str) -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    bodies = dict.fromkeys(operation.body for operation in OPERATIONS if operation.body is not None)
    _, definitions = models_json_schema([(body, "validation") for body in bodies], ref_template=TEMPLATE)
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    schemes = {
        "key": {"type": "http", "scheme": "bearer"},
        "x_api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": {**definitions.get("$defs", {}), **ANSWERS}, "securitySchemes": schemes},
        "security": _KEY,
    }


@cache
def written(title: str, version: str) -> bytes:
    """The same as JSON, made once: that takes 45 ms of the event loop's time."""
    return orjson.dumps(document(title, version))


def _operation(operation: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {"summary": operation.summary, "responses": _responses(operation)}
    told["parameters"] = [
        *(
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in _PATH_PARAMETER.findall(operation.path)
        ),
        *({"name": name, "in": "query", "schema": schema} for name, schema in operation.query),
    ]
    if operation.body is not None:
        schema = {"$ref": TEMPLATE.format(model=operation.body.__name__)}
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    if operation.admin:
        told["security"] = [{"key": []}, {"x_api_key": []}]
    elif operation.open:
        told["security"] = []
    return told


def _responses(operation: Operation) -> dict[str, Any]:
    error = "AnthropicError" if operation.path.startswith(ANTHROPIC_PATH) else "Error"
    content = {kind: {"schema": _answer(operation, kind)} for kind in operation.kinds}
    told: dict[str, Any] = {
        str(status): {"description": "The answer", "content": content} for status in operation.status
    }
    told["default"] = {
        "description": "An error",
        "content": {JSON: {"schema": {"$ref": TEMPLATE.format(model=error)}}},
    }
    return told


def _answer(operation: Operation, kind: str) -> dict[str, Any]:
    if kind == EVENTS:
        return {"type": "object", "required": ["data"], "properties": {"data": {"type": "string"}}}
    if kind != JSON:
        return {"type": "string"}
    return {"$ref": TEMPLATE.format(model=operation.answer)} if operation.answer else {"type": "object"}
