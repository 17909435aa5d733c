"""What is shown together adds up."""

from __future__ import annotations

import random
import re

import pytest

from router.meter.compared import Sum
from router.meter.scale import DOLLARS, Scale, Scales, difference
from router.meter.units import GRAMS, WATT_HOURS

NUMBER = re.compile(r"[\d,]+\.?\d*")


def figure(shown: str) -> int:
    """The digits of an amount, as a whole number; 0 of less than the least."""
    found = int(NUMBER.findall(shown)[0].replace(",", "").replace(".", ""))
    return 0 if shown[0] in "<>" else -found if shown.startswith("-") else found


@pytest.mark.parametrize(
    ("sides", "shown"),
    [
        ((3.267 * 3600, 2.2741 * 3600, 0.9929 * 3600), ("3.267 Wh", "2.274 Wh", "0.993 Wh")),
        ((3.8449 * 3600, 2.7649 * 3600, 1.08 * 3600), ("3.84 Wh", "2.76 Wh", "1.08 Wh")),
        ((3.6, 3.6e-7, 3.6 - 3.6e-7), ("1.0000 mWh", "<0.0001 mWh", "1.0000 mWh")),
        ((36.0, 72.0, -36.0), ("10.0 mWh", "20.0 mWh", "-10.0 mWh")),
        ((36.0, None, None), ("10.0 mWh", "unknown", "unknown")),
        ((0.0, 0.0, 0.0), ("0 Wh", "0 Wh", "0 Wh")),
    ],
)
def test_what_was_saved_is_the_difference_of_what_is_shown(
    sides: tuple[float, float, float], shown: tuple[str, ...]
) -> None:
    assert difference(WATT_HOURS, *sides) == shown


def test_what_is_saved_on_paper_only_is_in_no_difference() -> None:
    assert difference(DOLLARS, 10.0, 3.0, 1.0, 6.0) == ("$10.00", "$3.00", "$1.00")
    assert difference(DOLLARS, 10.0, 3.0, 1.0) == ("$10.00", "$3.00", "$1.00"), "what is none is told as it is"


@pytest.mark.parametrize("units", [DOLLARS, WATT_HOURS, GRAMS])
def test_parts_add_up_to_their_whole(units: tuple[tuple[float, str], ...]) -> None:
    draw = random.Random(3)  # noqa: S311
    for _ in range(300):
        amounts = [10 ** draw.uniform(-6, 3) for _ in range(draw.randrange(1, 9))]
        whole = sum(amounts)
        scale = Scale.of(units, [whole, *amounts])
        shown = scale.parts(amounts, whole)
        assert sum(map(figure, shown)) == figure(scale.told(whole))
        assert len({each.rpartition(" ")[2] for each in shown} | {""}) <= 2 or units is DOLLARS, "one unit"
        alone, spent = whole, amounts[0]
        ends = [figure(each) for each in difference(units, alone, spent, alone - spent)]
        assert ends[0] - ends[1] == ends[2]


@pytest.mark.parametrize("units", [DOLLARS, WATT_HOURS, GRAMS])
def test_a_part_that_grows_is_never_shown_as_less(units: tuple[tuple[float, str], ...]) -> None:
    """The router's work beside what two experts took, from a tenth of the last place on."""
    scale, shown = Scale(units[-1][0], units[-1][1], 2), list[int]()
    for tenths in range(1, 60):
        amounts = [each / 1000 * units[-1][0] for each in (5233, 1127, tenths)]
        told = scale.parts(amounts, sum(amounts))
        assert sum(map(figure, told)) == figure(scale.told(sum(amounts)))
        shown.append(figure(told[2]))
    assert shown == sorted(shown)
    assert shown[-1] == 6


def test_columns_of_a_table_share_units_and_decimals() -> None:
    sums = [Sum(1_234_000, 40_538_000_000, 18_578_000), Sum(7_000, 495_000, 217)]
    whole = Sum(1_241_000, 40_538_495_000, 18_578_217)
    scales = Scales.of([whole, *sums])
    assert scales.told(whole) == ("$0.0012410", "11.261 Wh", "18.578 g")
    assert scales.parts(sums, whole)[1] == ("$0.0000070", "<0.001 Wh", "<0.001 g")


def test_a_difference_beside_another_takes_its_unit() -> None:
    joules = [744 * 3600.0, 159 * 3600.0, 585 * 3600.0]
    assert difference(WATT_HOURS, *joules) == ("744 Wh", "159 Wh", "585 Wh")
    guess = (1035 * 3600.0, 159 * 3600.0, 876 * 3600.0)
    assert difference(WATT_HOURS, *guess, 0.0, joules) == ("1,035 Wh", "159 Wh", "876 Wh")
    assert difference(WATT_HOURS, *guess, 0.0, [None, 0.0]) == difference(WATT_HOURS, *guess)
