"""Checking a body against a model; what is wrong is said in `router.api.complaint`."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from router.api.body import not_json
from router.api.complaint import complaint, path, unknown


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
            read = self._adapter.validate_python(looked_at)
        except ValidationError as error:
            raise complaint(error) from None
        if strict and (where := _unknown(body, read)) is not None:
            raise unknown(path(where))
        return body

    def _narrowed(self, body: dict[str, Any]) -> dict[str, Any]:
        """`body` with no unknown name but the first: each takes time to find fault with, and one is told of."""
        unknown = next(name for name in body if name not in self.known)
        return {name: value for name, value in body.items() if name in self.known or name == unknown}


def _unknown(given: Any, read: Any) -> tuple[int | str, ...] | None:
    """Where in `given` the first name stands that its model, read as `read`, does not know; None when all are known.

    Looked for here, since pydantic would find and tell of every one: of 200,000 that took four seconds.
    """
    if isinstance(read, BaseModel):
        known = _attributes(type(read))
        for name, value in given.items():
            if name not in known:
                return (name,)
            if isinstance(value, dict | list) and (where := _unknown(value, getattr(read, known[name]))) is not None:
                return (name, *where)
    elif isinstance(read, list) and read and isinstance(read[0], BaseModel):
        for at, one in enumerate(read):
            if (where := _unknown(given[at], one)) is not None:
                return (at, *where)
    return None


@cache
def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """The names that a body may say, and those of the attributes they are read into."""
    return {field.alias or name: name for name, field in model.model_fields.items()}
