from __future__ import annotations

from datetime import UTC, datetime

import pytest

from experts.errors import ShoalError, WrongUsage
from router.meter.period import bounds, named

NOW = datetime(2026, 11, 25, 19, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [
        ("2026", "2026-01-01", "2027-01-01"),
        ("2024", "2024-01-01", "2025-01-01"),
        ("2026-02", "2026-02-01", "2026-03-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2026-11-30", "2026-11-30", "2026-12-01"),
        ("24h", "2026-11-24T19:30", "2026-11-25T19:30"),
        ("7d", "2026-11-18T19:30", "2026-11-25T19:30"),
        ("4w", "2026-10-28T19:30", "2026-11-25T19:30"),
    ],
)
def test_a_period_has_a_name(name: str, begin: str, end: str) -> None:
    expected = (datetime.fromisoformat(begin).replace(tzinfo=UTC), datetime.fromisoformat(end).replace(tzinfo=UTC))
    assert named(name, NOW) == expected


@pytest.mark.parametrize(
    "name",
    ["", "yesterday", "2026-13", "2026-02-30", "24m", "26-11", "0h", "00d", "0w", "9999", "9999-12", "9999-12-31"],
)
def test_what_is_no_period_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(ShoalError, match="Remedy: write it as 2026, 2026-11"):
        named(name, NOW)


def test_one_way_to_say_it_is_enough() -> None:
    assert bounds("2026-11-01", None, None) == (1_793_491_200_000_000, None)
    assert bounds(None, "2026-11-01T01:00+01:00", None) == (None, 1_793_491_200_000_000)
    for wrong in ("yesterday", "9999-12-31T23:59-12:00"):
        with pytest.raises(ShoalError, match="is no date"):
            bounds(wrong, None, None)
    with pytest.raises(ShoalError, match="cannot be combined with"):
        bounds("2026-11-01", None, "2026")


def test_an_end_that_is_not_after_the_beginning_is_an_error() -> None:
    for until, remedy in (("2026-11-20", "exchange them"), ("2026-11-21", "name a later --to")):
        with pytest.raises(WrongUsage, match=f"--from is not before --to.* Remedy: {remedy}"):
            bounds("2026-11-21", until, None)
