"""What is wrong with a value -> the words, the path and the code that OpenAI uses for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any, Final

from pydantic import ValidationError

from router.api.errors import ApiError, invalid

SHOWN_CHARS: Final = 40
NAME_CHARS: Final = 64
"""Of a name that the client made up, said in a path."""

_WANTED: Final = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a decimal",
    "finite_number": "a decimal",
    "bool_type": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "literal_error": "a string",  # of another type; a string that is none of the choices is told which there are
}
_NUMBER: Final = {
    "less_than_equal": ("above maximum", "above_max_value", "<="),
    "less_than": ("above maximum", "above_max_value", "<"),
    "greater_than_equal": ("below minimum", "below_min_value", ">="),
    "greater_than": ("below minimum", "below_min_value", ">"),
}
_GOT: Final[Sequence[tuple[type, str]]] = (
    (type(None), "null"),
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a decimal"),
    (str, "a string"),
    (list, "an array"),
    (dict, "an object"),
)
_BEYOND: Final = 2.0**63
"""Integers beyond 64 bits reach us as decimals: the parser makes them so."""

_REASONING: Final = frozenset({"thinking", "redacted_thinking", "reasoning"})
_PAPERS: Final = frozenset({"document", "search_result"})
_OF_SERVERS: Final = ("_call", "_call_output", "_tool_use", "_tool_result")

_PLAIN_ARMS: Final = frozenset({"str", "float", "int", "bool"})
_ARMS: Final = (
    "list[",
    "dict[",
    "literal[",
    "constrained-",
    "function-",
    "nullable",
    "lax-or-strict",
    "json-or-python",
)

_Path = tuple[int | str, ...]


def complaint(error: ValidationError) -> ApiError:
    """The answer about the first problem of a body."""
    problems = _of_right_kind(error.errors(include_url=False))
    first = problems[0]["loc"][:1]
    # A union reports the problems of each of its arms: the one whose types fit was meant, or that got furthest.
    same = [(_bare(p["loc"]), p) for p in problems if p["loc"][:1] == first]
    same = [(loc, p) for loc, p in same if not _is_type(p)] or same
    furthest, _ = max(same, key=_weight)
    there = [p for loc, p in same if loc == furthest]
    problem = next((p for p in there if not _is_type(p)), None)
    if problem is None:
        wanted, value = _unique(_WANTED[p["type"]] for p in there), there[0].get("input")
        if "an integer" in wanted and isinstance(value, float) and abs(value) >= _BEYOND:
            return _huge(path(furthest), value)
        return wrong_type(path(furthest), wanted, value)
    return _said(path(furthest), problem)


def _of_right_kind(problems: Sequence[Any]) -> list[Any]:
    """Without what is said of the parts of things that are themselves of a wrong kind."""
    wrong = {p["loc"][:-1] for p in problems if p["loc"][-1:] == ("type",) and _is_bad_choice(p)}
    return [p for p in problems if not _is_within(p["loc"], wrong)]


def _is_within(loc: _Path, wrong: Set[_Path]) -> bool:
    """Whether a place is in one of these things, and not what tells its kind; as quick for many of them as for few."""
    return any(loc[:depth] in wrong and loc[depth:] != ("type",) for depth in range(len(loc) + 1))


def _is_bad_choice(problem: Any) -> bool:
    return problem["type"] == "literal_error" and isinstance(problem.get("input"), str)


def _weight(found: tuple[_Path, Any]) -> tuple[int, bool, list[str]]:
    """How much a problem explains: the kind of thing meant decides what it must hold, so a wrong kind comes first."""
    loc, problem = found
    return len(loc), problem["type"] == "literal_error", [str(part).zfill(9) for part in loc]


def wrong_type(param: str, wanted: Sequence[str], value: object) -> ApiError:
    """A value of another type than any that is wanted ("a string", "an array", ...)."""
    expected = wanted[0] if len(wanted) == 1 else f"one of {', '.join(wanted[:-1])} or {wanted[-1]}"
    message = f"Invalid type for '{param}': expected {expected}, but got {got(value)} instead."
    return invalid(message, param, "invalid_type")


def missing(param: str) -> ApiError:
    """A parameter that must be there is not."""
    return invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def unknown(param: str) -> ApiError:
    """There is no such parameter."""
    return invalid(f"Unknown parameter: '{param}'.", param, "unknown_parameter")


def bad_value(param: str, value: object, choices: Iterable[str]) -> ApiError:
    """A value that is none of those there are."""
    names = [f"'{name}'" for name in choices]
    listed = (
        names[0] if len(names) == 1 else " and ".join([", ".join(names[:-1]) + ("," * (len(names) > 2)), names[-1]])
    )
    message = f"Invalid value: {shown(value)}. Supported values are: {listed}.{_instead(param, value, listed)}"
    return invalid(message, param, "invalid_value")


def _instead(param: str, kind: object, choices: str) -> str:
    """What to do with a part of a conversation that other servers know and no expert here reads; empty for the rest."""
    what = f"'{param.removesuffix('.type')}'"
    if not isinstance(kind, str) or what == f"'{param}'":
        return ""
    if kind in _REASONING:
        return f" Leave {what} out: reasoning of earlier turns is not read here."
    if kind in _PAPERS:
        text = "input_text" if "input_text" in choices else "text"
        return f" Send what {what} says as '{text}'."
    if kind.endswith(_OF_SERVERS):
        return f" Leave {what} out, or say in a message what came of it: tools that a server runs are not known here."
    return ""


def empty_array(param: str) -> ApiError:
    """An array that must hold something holds nothing."""
    wants = "Expected an array with minimum length 1, but got an empty array instead."
    return invalid(f"Invalid '{param}': empty array. {wants}", param, "empty_array")


def got(value: object) -> str:
    """What a JSON value is, in words."""
    return next((words for kind, words in _GOT if isinstance(value, kind)), "something else")


def shown(value: object) -> str:
    """A value worth repeating to who sent it; of texts and lists only their size, for they may be a prompt."""
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= SHOWN_CHARS else f"{len(value)} characters"
    return f"{len(value)} items" if isinstance(value, list | dict) else str(value)


def path(loc: _Path) -> str:
    """A JSON path such as messages[0].role."""
    said = ""
    for part in loc:
        if isinstance(part, int):
            said += f"[{part}]"
        else:
            name = part if len(part) <= NAME_CHARS else f"{part[: NAME_CHARS - 1]}…"
            said += f".{name}" if said else name
    return said


def _bare(loc: _Path) -> _Path:
    """A path without the names pydantic gives the arms of a union."""
    return tuple(p for p in loc if isinstance(p, int) or not (p in _PLAIN_ARMS or p.startswith(_ARMS) or _is_class(p)))


def _is_class(part: str) -> bool:
    """Arms that are models go by their class name; no parameter is written so."""
    return part[:1].isupper() and part.isalpha()


def _is_type(problem: Any) -> bool:
    kind = problem["type"]
    return kind in _WANTED and not _is_bad_choice(problem)


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _said(param: str, problem: Any) -> ApiError:
    kind, value, context = problem["type"], problem.get("input"), problem.get("ctx", {})
    if kind == "missing":
        return missing(param)
    if kind == "extra_forbidden":
        return unknown(param)
    if kind in _NUMBER:
        return _beyond(param, kind, value, context)
    if kind == "literal_error":
        return bad_value(param, value, _choices(context["expected"]))
    if kind in ("too_long", "too_short", "string_too_long", "string_too_short"):
        return _length(param, kind, value, context)
    if kind == "unsupported_value":
        return invalid(f"Unsupported value for '{param}': {problem['msg']}", param, kind)
    if kind == "string_pattern_mismatch":
        wants = f"Expected a string that matches the pattern '{context['pattern']}'."
        return invalid(f"Invalid '{param}': string does not match pattern. {wants}", param, "invalid_value")
    return invalid(f"Invalid '{param}': {problem['msg']}.", param, "invalid_value")


def _choices(expected: str) -> list[str]:
    """The names in pydantic's "'a', 'b' or 'c'"."""
    return [name.strip().strip("'") for name in expected.replace(" or ", ", ").split(",")]


def _beyond(param: str, kind: str, value: object, context: dict[str, Any]) -> ApiError:
    side, code, sign = _NUMBER[kind]
    bound = next(context[key] for key in ("le", "ge", "lt", "gt") if key in context)
    number = "integer" if isinstance(bound, int) else "decimal"
    limit = f"{bound:g}" if isinstance(bound, float) else str(bound)
    wants = f"Expected a value {sign} {limit}, but got {shown(value)} instead."
    return invalid(f"Invalid '{param}': {number} {side} value. {wants}", param, f"{number}_{code}")


def _huge(param: str, value: float) -> ApiError:
    side, code, _ = _NUMBER["less_than" if value > 0 else "greater_than"]
    wants = f"Expected one of 64 bits, but got {value:g} instead."
    return invalid(f"Invalid '{param}': integer {side} value. {wants}", param, f"integer_{code}")


def _length(param: str, kind: str, value: object, context: dict[str, Any]) -> ApiError:
    if kind == "too_short" and value == []:
        return empty_array(param)
    bound = context.get("max_length", context.get("min_length"))
    what, count = ("string", value) if kind.startswith("string") else (got(value).split()[1], value)
    size = len(count) if isinstance(count, str | list | dict) else context.get("actual_length")
    side, code = ("too long", "above_max_length") if kind.endswith("long") else ("too short", "below_min_length")
    least = "maximum" if kind.endswith("long") else "minimum"
    article = "an" if what[0] in "aeiou" else "a"
    if what == "object":
        wants = f"Expected an object with at most {bound} properties, but got one with {size} properties instead."
        return invalid(f"Invalid '{param}': too many properties. {wants}", param, "object_above_max_properties")
    wants = (
        f"Expected {article} {what} with {least} length {bound}, but got {article} {what} with length {size} instead."
    )
    return invalid(f"Invalid '{param}': {what} {side}. {wants}", param, f"{what}_{code}")
