"""The OpenAPI document: what this server answers, from the same models that check the requests."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from router.api.chat_schema import ChatBody
from router.api.embeddings import EmbeddingsBody
from router.api.feedback import FeedbackBody

TEMPLATE: Final = "#/components/schemas/{model}"

POSTED: Final[dict[str, tuple[str, type[BaseModel]]]] = {
    "/v1/chat/completions": ("A chat completion, routed or by a named expert", ChatBody),
    "/v1/embeddings": ("Vectors of the router's own sentence encoder", EmbeddingsBody),
    "/v1/feedback": ("How good an answer was, by its x-request-id", FeedbackBody),
    "/v1/route": ("Who would answer a chat completion, and why; generates nothing", ChatBody),
}
READ: Final = {
    "/v1/models": "Every name a client may write as `model`",
    "/v1/models/{model}": "One of them",
    "/healthz": "Alive",
    "/readyz": "Can answer",
    "/metrics": "Prometheus text format",
    "/v1/dashboard": "Every figure of the dashboard, for a period",
}
ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def document(title: str, version: str) -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    bodies: list[tuple[type[BaseModel], Any]] = [
        (body, "validation") for body in (ChatBody, EmbeddingsBody, FeedbackBody)
    ]
    _, definitions = models_json_schema(bodies, ref_template=TEMPLATE)
    paths: dict[str, Any] = {path: {"post": _posted(told, body)} for path, (told, body) in POSTED.items()}
    paths |= {path: {"get": _read(path, told)} for path, told in READ.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Error": ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    }


def _posted(told: str, body: type[BaseModel]) -> dict[str, Any]:
    schema = {"$ref": TEMPLATE.format(model=body.__name__)}
    request = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {"summary": told, "requestBody": request, "responses": _responses()}


def _read(path: str, told: str) -> dict[str, Any]:
    found: dict[str, Any] = {"summary": told, "responses": _responses()}
    if "{model}" in path:
        found["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
    return found


def _responses() -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": TEMPLATE.format(model="Error")}}}
    return {"200": {"description": "The answer"}, "default": {"description": "An error", "content": error}}
