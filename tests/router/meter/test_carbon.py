from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.meter.carbon import UnknownZone, co2_ug, grid


def test_a_kilowatt_hour_weighs_what_the_grid_says() -> None:
    world = grid("WOR")
    assert (world.year, world.ci_mg_per_kwh, world.version) == (2025, 458_290, "WOR 2025")
    assert co2_ug(3_600_000_000_000, world.ci_mg_per_kwh) == 458_290_000


@pytest.mark.parametrize("zone", ["USA", "FRA", "DEU", "GBR", "IND", "CHN", "SWE", "POL", "IRL", "WOR"])
def test_every_zone_names_its_source_and_licence(zone: str) -> None:
    row = grid(zone)
    assert 10_000 < row.ci_mg_per_kwh < 1_000_000
    assert row.source
    assert row.licence


def test_an_unknown_zone_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownZone, match=r"'Narnia'.*DEU.*WOR"):
        grid("Narnia")


@given(st.integers(0, 10**15), st.integers(0, 2_000_000))
def test_carbon_is_the_exact_product_rounded_half_up(energy_uj: int, ci_mg_per_kwh: int) -> None:
    exact = Fraction(energy_uj, 3_600_000_000_000) * ci_mg_per_kwh * 1000
    assert co2_ug(energy_uj, ci_mg_per_kwh) == (exact + Fraction(1, 2)).__floor__()
