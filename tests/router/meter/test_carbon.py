from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.meter.carbon import GRID_TABLE, BadGridHours, Grids, UnknownZone, co2_ug, grid, yearly_mg_per_kwh
from router.meter.hours_schema import HOUR_US


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


HOURS = """zone,hour,g_per_kwh,marginal_g_per_kwh
FRA,2026-11-01T08:00,30.5,420
DEU,2026-11-01T08:00,310,700
FRA,2026-11-01T10:00+01:00,31,
"""
EIGHT_US = 1_793_520_000_000_000


def test_an_hour_is_taken_from_the_file_and_else_from_the_year(tmp_path: Path) -> None:
    path = tmp_path / "hours.csv"
    path.write_text(HOURS)
    grids = Grids.of("FRA", path)
    assert grids.hours is not None
    assert grids.at(EIGHT_US + 59 * 60_000_000) == (grids.hours.version, 30_500)
    assert grids.at(EIGHT_US + HOUR_US) == (grids.hours.version, 31_000)
    assert grids.at(EIGHT_US + 2 * HOUR_US) == ("FRA 2025", 41_440)
    assert grids.hours.marginal == {EIGHT_US // HOUR_US: 420_000}
    assert grids.hours.version.startswith("FRA hourly ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("zone,hour\nFRA,2026-11-01T08:00\n", "no column 'g_per_kwh'"),
        ("zone,hour,g_per_kwh\nDEU,2026-11-01T08:00,1\n", "no row of zone 'FRA'"),
        ("zone,hour,g_per_kwh\nFRA,2026-11-01T08:00,-1\n", r"hours.csv:2: '-1' is no amount"),
        ("zone,hour,g_per_kwh\nFRA,yesterday,1\n", r"hours.csv:2: .*Remedy: write hours like"),
        ("zone,hour,g_per_kwh\nFRA,2026-11-01T08:00\n", r"hours.csv:2: the row is too short"),
        ("zone,hour,g_per_kwh\nFRA\n", r"hours.csv:2: the row is too short"),
        ("zone;hour;g_per_kwh\nFRA;2026-11-01T08:00;1\n", "no column 'zone'"),
        ('zone,hour,g_per_kwh\nFRA,2026-11-01T08:00,"30,5"\n', r"hours.csv:2: .*'30,5'"),
        ("zone,hour,g_per_kwh\nFRA,2026-11-01,30\n", r"hours.csv:2: '2026-11-01' is a day, no hour"),
        ("zone,hour,g_per_kwh\nFRA,2026-11-01T08:00,384000\n", r"hours.csv:2: '384000' is no amount of grams"),
        ("zone,hour,g_per_kwh\nFRA,2026-11-01T08:00,nan\n", r"hours.csv:2: 'nan' is no amount of grams"),
        ("zone,hour,g_per_kwh\nFRA,2025,0.041\nFRA,2026-11-01T08:00,.03\n", "below 1, as kilograms would be"),
        (
            "zone,hour,g_per_kwh\nFRA,2026-10-25T02:00,30\nFRA,2026-10-25T03:00,31\nFRA,2026-10-25T02:00,33\n",
            r"hours.csv:4: 2026-10-25T02:00 has two figures; of a local time without its offset one comes twice",
        ),
        ("zone,hour,g_per_kwh\nFRA,2025,30\nFRA,2025,31\n", r"hours.csv:3: 2025 has two figures"),
        ("zone;hour;g_per_kwh\nFRA;2025;30\n", r"no column 'zone', only 'zone;hour;g_per_kwh'. .* with commas between"),
        ("zone,hour,g_per_kwh\nfra,2025,30\nDEU,2025,300\n", r"no row of zone 'FRA'; it has 'fra', 'DEU'. Remedy: "),
        ("", "no row of zone 'FRA'; it has no rows. Remedy: "),
    ],
)
def test_a_file_that_cannot_be_used_says_where(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "hours.csv"
    path.write_text(text)
    with pytest.raises(BadGridHours, match=told):
        Grids.of("FRA", path)
    with pytest.raises(BadGridHours, match="cannot be read"):
        Grids.of("FRA", tmp_path / "none.csv")


def test_the_hour_that_comes_twice_in_autumn_is_two_where_offsets_tell(tmp_path: Path) -> None:
    path = tmp_path / "hours.csv"
    path.write_text("zone,hour,g_per_kwh\nFRA,2026-10-25T02:00+02:00,30\nFRA,2026-10-25T02:00+01:00,33\n")
    hours = Grids.of("FRA", path).hours
    assert hours is not None
    midnight = 1_792_886_400 // 3600  # 2026-10-25T00:00 UTC
    assert hours.average == {midnight: 30_000, midnight + 1: 33_000}


def test_half_hours_are_averaged_and_what_stands_twice_alike_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "hours.csv"
    rows = ("08:00,100", "08:30,200,700", "08:30,200,700", "09:00,0")
    lines = "".join(f"GBR,2026-11-01T{row}\n" for row in rows)
    path.write_text(f"zone,hour,g_per_kwh,marginal_g_per_kwh\n{lines}")
    hours = Grids.of("GBR", path).hours
    assert hours is not None
    eight = EIGHT_US // HOUR_US
    assert hours.average == {eight: 150_000, eight + 1: 0}
    assert hours.marginal == {eight: 700_000}


def test_every_year_of_a_file_is_used_for_its_own_time(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("zone,hour,g_per_kwh\nAUT,2025,110\nAUT,2026,100\n")
    grids = Grids.of("AUT", path)
    a_year_us = 365 * 24 * HOUR_US
    found = [grids.at(EIGHT_US + years * a_year_us) for years in (-2, -1, 0, 1)]
    assert [each.mg_per_kwh for each in found] == [100_000, 110_000, 100_000, 100_000]
    assert [each.version[:8] for each in found] == ["AUT 2026", "AUT 2025", "AUT 2026", "AUT 2026"]


def test_a_zone_that_is_not_shipped_comes_from_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("zone,hour,g_per_kwh\nAFG,2024,120\nAFG,2025,110.5\nAFG,2026-11-01T08:00,90\nFRA,2025,40\n")
    own = Grids.of("AFG", path)
    assert own.at(EIGHT_US).mg_per_kwh == 90_000
    assert own.at(EIGHT_US + HOUR_US).mg_per_kwh == 110_500
    assert own.at(EIGHT_US + HOUR_US).version.startswith("AFG 2025 ")
    assert Grids.of("FRA", path).at(EIGHT_US).mg_per_kwh == 40_000
    assert yearly_mg_per_kwh(Grids.of("FRA", path).year.version) is None, "an audit does not know the user's own file"
    with pytest.raises(UnknownZone, match=r"'AFG' is not in the grid table. Remedy: .*grid_hours, as AFG,2025,110"):
        Grids.of("AFG")


def test_every_column_of_the_shipped_table_is_there() -> None:
    lines = GRID_TABLE.read_text().splitlines()
    assert lines[0] == "zone,year,g_per_kwh,source,licence"
    assert GRID_TABLE.stat().st_size < 6_000
    page = (GRID_TABLE.parents[2] / "docs/metering.md").read_text()
    assert f"one of the {len(lines) - 1} zones of the shipped table" in page
    assert all(len(line.split(",")) == 5 for line in lines[1:])
