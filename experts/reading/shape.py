"""The shape of the registry: what pydantic found wrong, put into plain words with a remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from experts.hardware import Hardware
from experts.policy import Policy
from experts.price import Price
from experts.reading.problems import Key, Problem, shown, suggestion, value_at
from experts.spec import (
    AnySpec,
    Encoder,
    Energy,
    Learning,
    Power,
    Registry,
    Savings,
    Timeouts,
    Weights,
)

KINDS: dict[str, type[BaseModel]] = {
    get_args(spec.model_fields["kind"].annotation)[0]: spec for spec in get_args(get_args(AnySpec)[0])
}
"""Kind of expert to its model."""

SECTIONS: dict[str, type[BaseModel]] = {
    "encoder": Encoder,
    "learning": Learning,
    "savings": Savings,
    "power": Power,
    "policies": Policy,
    "price": Price,
    "hardware": Hardware,
    "energy": Energy,
    "timeouts": Timeouts,
    "weights": Weights,
}

EXAMPLES: dict[str, str] = {
    "power": '{dynamic_w_per_core: 1.92, source: "SPECpower_ssj2008, AMD EPYC 9xx5", as_of: 2026-03-09}',
    "policies": "{balanced: {threshold: 0.7}}",
}
"""Section that must be there to one that will do, for a remedy."""

PATTERNS = {
    "id": ("a-z, 0-9, dot, dash and underscore, 64 at most, a letter or digit first", "rename it"),
    "fallback": ("an expert's id", "write the id of an expert listed under experts"),
    "sha256": ("64 digits 0-9 and a-f", "take it from `sha256sum FILE`"),
    "source": (
        "pypi:PACKAGE==VERSION/PATH/IN/WHEEL, hf:OWNER/REPO@REVISION/FILE or file:PATH",
        "write it in one of these forms",
    ),
    "device": ("cpu, or gpu:0 and so on", "name the processor or a card of this machine, or leave it out"),
    "list_price": ("PROVIDER/MODEL, as genai-prices names them", "write it like openai/gpt-4o"),
    "key_env": (
        "the name of an environment variable such as MY_API_KEY, never the key itself",
        "put the key into the environment and its name here",
    ),
}
"""Key to what its pattern means, and the remedy."""

FORMS: dict[Key, tuple[str, str]] = {
    ("savings", "holdback"): (
        "must be auto or a share of conversations from 0 to 0.5, got {got}",
        "write auto, 0 for nobody, or a share such as 0.02",
    ),
}
"""Key of several forms to what is wrong when it has none, and the remedy. Pydantic would tell of each form."""

SHARES: dict[str, str] = {"confidence": "0.9 for 90 %", "max_risk": "0.02 for 2 points of 100"}
"""Key of a share below 1 to how it is written, for those who think in per cent."""

UNSHOWN = ("key_env",)
"""Keys whose wrong value is never repeated: it may be a secret put in the wrong place."""

POWER_OF_TEN = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d{1,2}")
"""How a number is written that YAML takes for text: 6e-07, but not 6.0e-07."""

EASILY_READ = 8
"""Signs of a number that is written out in full."""

WORDS = {
    "greater_than_equal": ("must be {ge} or more, got {got}", "write a number that is {ge} or more"),
    "greater_than": ("must be more than {gt}, got {got}", "write a number above {gt}"),
    "less_than_equal": ("must be {le} or less, got {got}", "write a number that is {le} or less"),
    "less_than": ("must be less than {lt}, got {got}", "write a number below {lt}"),
    "string_type": ("must be text, got {got}", "put the value in quotes"),
    "string_too_short": ("must be {min_length} character(s) or more, got {got}", "write it out"),
    "int_type": ("must be a whole number, got {got}", "write a whole number, without quotes"),
    "float_type": ("must be a number, got {got}", "write a number, without quotes"),
    "finite_number": ("must be a finite number, got {got}", "write a finite number"),
    "tuple_type": ("must be a list, got {got}", "write one item a line, each after `- `"),
    "frozen_set_type": ("must be a list, got {got}", "write it as [one, two]"),
    "dict_type": ("must be a section of keys, got {got}", "write `key: value` lines, indented under it"),
    "model_type": ("must be a section of keys, got {got}", "write `key: value` lines, indented under it"),
    "too_short": ("is empty", "write at least one entry"),
    "url_parsing": ("is not a URL: {error}", "write it like http://127.0.0.1:8000/v1"),
    "url_scheme": ("must start with http:// or https://", "write it like http://127.0.0.1:8000/v1"),
    "url_type": ("must be a URL, got {got}", "write it like http://127.0.0.1:8000/v1"),
    "url_fragment": ("goes on behind a #, which no server is sent", "leave out the # and what follows it"),
    "url_endpoint": ("ends in an endpoint, which is put behind it", "write it up to and including /v1"),
    "date_type": ("must be a date, got {got}", "write it like 2026-03-09"),
    "date_parsing": ("must be a date, got {got}", "write it like 2026-03-09"),
    "date_from_datetime_parsing": ("must be a date, got {got}", "write it like 2026-03-09"),
    "policy_aim": ("names {named}", "write exactly one of {aims}"),
    "policy_confidence": ("names a confidence but no max_risk", "add max_risk, or remove confidence"),
    "dear_token": (
        "makes a token cost more than ten cents",
        "correct what an hour costs, or how many tokens a second it gives",
    ),
    "path_type": ("must be a path, got {got}", "put the path in quotes"),
}
"""Pydantic's error type to what is wrong and the remedy; names in braces come from its context."""


def shape_problems(error: ValidationError, data: Mapping[str, Any]) -> list[Problem]:
    """Everything pydantic found in `data`, in plain words."""
    problems = []
    for fault in error.errors(include_url=False):
        key = _key(fault["loc"])
        got = value_at(data, key)
        if key in FORMS:
            what, remedy = FORMS[key]
            problem = Problem(key, what.format(got=shown(got)), remedy)
            problems += [] if problem in problems else [problem]
            continue
        if fault["type"] == "too_short" and got:
            continue  # pydantic counts only the valid items, and the others are reported by themselves
        problems.append(_problem(fault, key, got, data))
    return problems


def _key(loc: tuple[int | str, ...]) -> Key:
    """Pydantic's location without the union's tag that follows an expert's number, or a key of several forms."""
    if loc[:2] in FORMS:
        return loc[:2]
    return (*loc[:2], *loc[3:]) if loc[:1] == ("experts",) else loc


def _problem(fault: ErrorDetails, key: Key, got: Any, data: Mapping[str, Any]) -> Problem:
    kind, context, name = fault["type"], fault.get("ctx", {}), key[-1] if key else ""
    if kind == "missing":
        return Problem(key, "is missing", _add(key, data))
    if kind == "extra_forbidden":
        return Problem(key, "is not a known key", suggestion(name, known_keys(key[:-1], data)))
    if kind == "union_tag_not_found":
        return Problem((*key, "kind"), "is missing", f"add one of: {', '.join(KINDS)}")
    if kind == "union_tag_invalid":
        return Problem((*key, "kind"), f"{shown(got['kind'])} is no kind of expert", suggestion(got["kind"], KINDS))
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"]) or [context["expected"]]
        return Problem(key, f"must be one of {', '.join(known)}, got {shown(got)}", suggestion(got, known))
    if kind == "string_pattern_mismatch" and name in PATTERNS:
        meaning, remedy = PATTERNS[str(name)]
        what = f"must be {meaning}" if name in UNSHOWN else f"must be {meaning}, got {shown(got)}"
        return Problem(key, what, remedy)
    what, remedy = WORDS.get(kind, (fault["msg"], "correct it"))
    if kind.startswith(("less_than", "greater_than")) and name in SHARES:
        remedy = f"write {SHARES[str(name)]}"
    if kind == "float_type" and isinstance(got, str) and POWER_OF_TEN.fullmatch(got):
        remedy = f"write {_as_yaml(Decimal(got))}: YAML takes a power of ten for text unless it has a point and a sign"
    numbers = {k: _as_yaml(Decimal(f"{v:g}")) if isinstance(v, float) else v for k, v in context.items()}
    return Problem(key, what.format(got=shown(got), **numbers), remedy.format(**numbers))


def _as_yaml(number: Decimal) -> str:
    """A number as YAML takes it for one, without more noughts than can be counted at a glance."""
    plain = f"{number:f}"
    if len(plain) <= EASILY_READ:
        return plain
    power = number.adjusted()
    digits = f"{number.scaleb(-power).normalize():f}"
    return f"{digits}{'' if '.' in digits else '.0'}e{power:+d}"


def known_keys(key: Key, data: Mapping[str, Any]) -> set[str]:
    """The keys the section at `key` may have."""
    model = _model(key, data)
    return set(model.model_fields) if model else set()


def _model(key: Key, data: Mapping[str, Any]) -> type[BaseModel] | None:
    if not key:
        return Registry
    if len(key) == 2 and key[0] == "experts":
        return KINDS.get(str(value_at(data, (*key, "kind"))))
    return SECTIONS.get(str(key[0] if key[0] != "experts" else key[-1]))


def _add(key: Key, data: Mapping[str, Any]) -> str:
    model = _model(key[:-1], data)
    field = model.model_fields.get(str(key[-1])) if model else None
    meaning = f" ({field.description})" if field and field.description else ""
    example = f" {EXAMPLES[str(key[0])]}" if len(key) == 1 and key[0] in EXAMPLES else ""
    return f"add `{key[-1]}:{example}`{meaning}"
