"""Checking a body against a model; what is wrong is said in `router.api.complaint`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from router.api.body import not_json
from router.api.complaint import complaint


class Checker:
    """Checks bodies against one model; the client's own values travel on, never a rebuilt copy."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._adapter = TypeAdapter(model)
        self.known = frozenset(field.alias or name for name, field in model.model_fields.items())

    def check(self, body: object, strict: bool = False) -> dict[str, Any]:
        """The body itself. Raises `ApiError` about the first problem; `strict`: also about a name that is unknown."""
        if not isinstance(body, dict):
            raise not_json("it must be a JSON object")
        looked_at = self._narrowed(body) if len(body) > len(self.known) + 1 else body
        try:
            if strict:
                self._adapter.validate_python(looked_at, extra="forbid")
            else:
                self._adapter.validate_python(looked_at)
        except ValidationError as error:
            raise complaint(error) from None
        return body

    def _narrowed(self, body: dict[str, Any]) -> dict[str, Any]:
        """`body` with no unknown name but the first: each takes time to find fault with, and one is told of."""
        unknown = next(name for name in body if name not in self.known)
        return {name: value for name, value in body.items() if name in self.known or name == unknown}
