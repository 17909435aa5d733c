from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experts.engines.schema_bounds import MAX_BOUND, inward

NUMBERS = st.one_of(st.integers(-(2**64), 2**64), st.floats(allow_nan=False, allow_infinity=False))


@given(NUMBERS)
def test_a_bound_is_told_as_a_float_that_keeps_to_it(bound: int | float) -> None:
    for keyword in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
        told = inward(keyword, bound)
        assert Fraction(float(told)) == Fraction(told), "the engine reads what it is told"
        assert abs(told) <= MAX_BOUND
        if abs(bound) <= MAX_BOUND:
            assert told >= bound if keyword.endswith("inimum") else told <= bound


@pytest.mark.parametrize(
    ("keyword", "bound", "told"),
    [
        ("minimum", 2**53 + 1, 2**53 + 2),
        ("maximum", 2**53 + 1, 2**53),
        ("exclusiveMinimum", -(2**53) - 1, -(2**53)),
        ("maximum", 0.1, 0.1),
        ("minimum", -5, -5),
        ("maximum", 2**63 - 1, 2**63 - 1024),
        ("minimum", -(2**63), -(2**63) + 1024),
    ],
)
def test_only_what_a_float_cannot_say_is_told_otherwise(keyword: str, bound: float, told: float) -> None:
    assert inward(keyword, bound) == told
