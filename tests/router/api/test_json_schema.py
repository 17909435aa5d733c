"""What schemas may ask of whoever checks them."""

from __future__ import annotations

from typing import Any

import pytest

from router.api.errors import ApiError
from router.api.json_schema import FORMAT, MAX_PATTERNS, check_schema

DIGITS = "9" * 5000
"""More than Python makes a number of."""


def refusal(schema: dict[str, Any]) -> str:
    with pytest.raises(ApiError) as refused:
        check_schema(schema, "schema", "format 'f'", FORMAT)
    assert (refused.value.status, refused.value.code) == (400, FORMAT)
    return refused.value.message


@pytest.mark.parametrize("pattern", ["(", "[", "a{" + DIGITS + "}", "(?:" * 5000])
def test_what_is_no_regular_expression_is_told(pattern: str) -> None:
    told = refusal({"properties": {"a": {"pattern": pattern}}})
    assert ("/properties/a/pattern is not a regular expression" in told) is (len(pattern) <= MAX_PATTERNS)


def test_patterns_together_have_a_bound() -> None:
    """Of classes as these, five thousand characters took 17 s to compile."""
    half = "(?i)" + "[a-\uffff]" * 800
    check_schema({"pattern": half}, "schema", "format 'f'", FORMAT)
    told = refusal({"properties": {name: {"pattern": half} for name in ("a", "b", "c")}})
    assert f"its patterns have {3 * len(half)} characters, and {MAX_PATTERNS} may be" in told


def test_a_pattern_of_a_functions_arguments_is_only_passed_on() -> None:
    patterns = ["^\\p{L}+$", "^(?<year>\\d{4})$", "(?i)" + "[a-\uffff]" * 8_000]
    schema = {"properties": {str(at): {"pattern": pattern} for at, pattern in enumerate(patterns)}}
    check_schema(schema, "tools[0]", "function 'f'", "invalid_function_parameters")
    with pytest.raises(ApiError, match="/pattern must be a string"):
        check_schema({"pattern": 1}, "tools[0]", "function 'f'", "invalid_function_parameters")


def test_a_reference_to_a_place_of_very_many_digits_is_told() -> None:
    assert "is not in the schema" in refusal({"$ref": f"#/anyOf/{DIGITS}", "anyOf": [{}]})
