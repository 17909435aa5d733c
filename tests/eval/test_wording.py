from __future__ import annotations

import math

import pytest

from eval.wording import value_text


@pytest.mark.parametrize(
    ("unit", "value", "reach", "told"),
    [
        ("points", 0.0030147, 0.003, "0.301 points"),
        ("points", 0.0044, 0.003, "0.44 points"),
        ("%", 0.078, 0.0785, "7.80 %"),
        ("%", 0.8596, 0.86, "85.96 %"),
        ("", 0.0301, 0.03, "0.0301"),
        ("", 0.9999, 1.0, "0.9999"),
    ],
)
def test_a_value_that_misses_its_target_is_not_written_as_if_it_were_it(
    unit: str, value: float, reach: float, told: str
) -> None:
    assert value_text({"value": value, "unit": unit, "reach": reach, "reached": False}) == told
    reached = value_text({"value": value, "unit": unit, "reach": reach, "reached": True})
    assert len(reached) <= len(told)


def test_a_value_that_no_digit_tells_from_its_target_is_written_as_the_target() -> None:
    for unit, said in (("points", "0.30 points"), ("%", "0.3 %"), ("", "0.003")):
        value = math.nextafter(0.003, 1)
        assert value_text({"value": value, "unit": unit, "reach": 0.003, "reached": False}) == said
