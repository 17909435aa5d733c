"""Checking a body against a model, and saying what is wrong as OpenAI says it."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from router.api.body import NOT_JSON
from router.api.errors import ApiError, invalid


class Checker:
    """Checks bodies against one model; the client's own values travel on, never a rebuilt copy."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._adapter = TypeAdapter(model)
        self.known = frozenset(model.model_fields)

    def check(self, body: object) -> dict[str, Any]:
        """The body itself. Raises `ApiError` about the first problem."""
        if not isinstance(body, dict):
            raise invalid(f"{NOT_JSON} It must be a JSON object.")
        try:
            self._adapter.validate_python(body)
        except ValidationError as error:
            raise _explain(error) from None
        return body


SHOWN_CHARS: Final = 40

_CODES: Final = {
    "less_than_equal": "{kind}_above_max_value",
    "less_than": "{kind}_above_max_value",
    "greater_than_equal": "{kind}_below_min_value",
    "greater_than": "{kind}_below_min_value",
    "too_long": "array_above_max_length",
    "too_short": "array_below_min_length",
    "string_too_long": "string_above_max_length",
    "string_too_short": "string_below_min_length",
    "string_pattern_mismatch": "invalid_value",
    "literal_error": "invalid_value",
}


def _explain(error: ValidationError) -> ApiError:
    problems = error.errors(include_url=False)
    # A union reports one problem for each of its arms; the deepest, or the one whose type fitted, was meant.
    first = problems[0]["loc"][:1]
    same = (p for p in problems if p["loc"][:1] == first)
    problem = max(same, key=lambda p: (len(p["loc"]), not p["type"].endswith("_type")))
    param, kind, value = _path(problem["loc"]), problem["type"], problem.get("input")
    if kind == "missing":
        return invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
    if kind == "extra_forbidden":
        return invalid(f"Unknown parameter: '{param}'.", param, "unknown_parameter")
    if kind == "too_short" and value == []:
        wants = "Expected an array with minimum length 1, but got an empty array instead."
        return invalid(f"Invalid '{param}': empty array. {wants}", param, "empty_array")
    if kind in _CODES:
        return _out_of_range(param, _CODES[kind], problem["msg"], value, problem.get("ctx", {}))
    got = type(value).__name__
    return invalid(f"Invalid type for '{param}': {problem['msg']}, but got {got} instead.", param, "invalid_type")


def _out_of_range(param: str, code: str, message: str, value: object, context: dict[str, Any]) -> ApiError:
    bound = next((context[key] for key in ("le", "ge", "lt", "gt") if key in context), None)
    if bound is None:
        return invalid(f"Invalid '{param}': {message}. Got {_shown(value)}.", param, code)
    number = "integer" if isinstance(bound, int) else "decimal"
    side, sign = ("above maximum", "<=") if "above" in code else ("below minimum", ">=")
    wants = f"Expected a value {sign} {bound}, but got {_shown(value)} instead."
    return invalid(f"Invalid '{param}': {number} {side} value. {wants}", param, code.format(kind=number))


_PLAIN_ARMS: Final = frozenset({"str", "float", "int", "bool"})
_ARMS: Final = ("list[", "dict[", "literal[", "constrained-", "function-")


def _path(loc: tuple[int | str, ...]) -> str:
    """A JSON path such as messages[0].role; the names pydantic gives a union's arms are left out."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in _PLAIN_ARMS and not part.startswith(_ARMS):
            path += f".{part}" if path else part
    return path


def _shown(value: object) -> str:
    """A value worth repeating to who sent it; of texts and lists only their size, for they may be a prompt."""
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= SHOWN_CHARS else f"{len(value)} characters"
    return f"{len(value)} items" if isinstance(value, list | dict) else str(value)
