"""Of an hour whose rows are gone only its sums are left: a period that cuts it is told of as if it had all of it."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any

import pytest

from router.board.overview import overview
from router.meter.hours_schema import HOUR_US
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import Arm, Role
from router.meter.report import report
from router.meter.totals import GroupBy
from tests.router.meter.test_paired import Book, big, book, printed, small
from tests.router.meter.traffic import registry

__all__ = ["book"]

BEGIN_US = 491_000 * HOUR_US
SECOND_US = 1_000_000
CUTS_US = [
    (BEGIN_US, BEGIN_US + HOUR_US),
    (BEGIN_US + 1200 * SECOND_US, BEGIN_US + HOUR_US),
    (BEGIN_US, BEGIN_US + 1200 * SECOND_US),
    (BEGIN_US + 1210 * SECOND_US, BEGIN_US + 1240 * SECOND_US),
]
"""Periods of one hour and of parts of it."""


@pytest.fixture
def purged(book: Book) -> Book:
    """Two hours of requests, every other second one that was held back; the rows of the first are gone."""
    for number in range(2 * 360):
        told: dict[str, Any] = {"ts_us": BEGIN_US + number * 10 * SECOND_US, "label": f"{number % 3}", "key_id": "some"}
        if number % 2:
            beside = small(number % 90 + 1, role=Role.SHADOW)
            book.add([big(2 * (number % 90), 9000 + number)], arm=Arm.HOLDBACK, shadow=beside, **told)
        else:
            book.add([small(number % 80 + 1)], arm=Arm.NORMAL, **told)
    book.write()
    book.roll_up()
    asyncio.run(prune(book))
    return book


async def prune(book: Book) -> None:
    ledger = Ledger.open(book.path)
    assert await ledger.prune(BEGIN_US + HOUR_US) == 180
    await ledger.aclose()


@pytest.mark.parametrize("own", [None, "some"])
@pytest.mark.parametrize("group_by", ["domain", "day"])
def test_periods_that_cover_the_same_hours_say_the_same(purged: Book, own: str | None, group_by: GroupBy) -> None:
    with closing(read_ledger(purged.path)) as connection:
        whole, *parts = [report(connection, *cut, group_by, own=own).to_json() for cut in CUTS_US]
    assert whole["savings"]["routed"]["held_back"]["conversations"] == 180
    assert whole["savings"]["share"]["energy"] is not None
    for part in parts:
        assert part.pop("whole_hours")
        assert part.pop("asked") != {"from": whole["from"], "to": whole["to"]}
        assert part == whole


def test_an_end_among_rows_that_are_kept_stays_where_it_is(purged: Book) -> None:
    ends = BEGIN_US + 1800 * SECOND_US, BEGIN_US + HOUR_US + 1800 * SECOND_US
    with closing(read_ledger(purged.path)) as connection:
        found = report(connection, *ends)
    assert (found.since_us, found.until_us, found.asked) == (BEGIN_US, ends[1], ends)
    assert found.total.requests == 360 + 180
    assert found.routed["held_back"]["requests"] == 180 + 90


def test_the_report_says_which_time_it_is_of_and_which_was_asked_for(purged: Book) -> None:
    with closing(read_ledger(purged.path)) as connection:
        part, own = report(connection, *CUTS_US[3]), BEGIN_US + HOUR_US
        kept = report(connection, own + 10 * SECOND_US, own + 40 * SECOND_US)
    assert part.to_json()["asked"] == {"from": "2026-01-05T08:20:10+00:00", "to": "2026-01-05T08:20:40+00:00"}
    text = " ".join(printed(part).split())
    assert text.startswith("360 requests from 2026-01-05 08:00 UTC to 2026-01-05 09:00 UTC: 360 ok. Asked for was ")
    assert "from 2026-01-05 08:20:10 UTC to 2026-01-05 08:20:40 UTC" in text
    text = " ".join(printed(kept).split())
    assert text.startswith("3 requests from 2026-01-05 09:00:10 UTC to 2026-01-05 09:00:40 UTC: 3 ok ")
    assert "Asked for" not in text


def test_the_dashboard_shows_the_same_time_as_the_report(purged: Book) -> None:
    with closing(read_ledger(purged.path)) as connection:
        whole, *parts = [overview(connection, registry(), *cut) for cut in CUTS_US]
    for part in parts:
        assert part["period"] == whole["period"] == {"from_s": BEGIN_US / 1e6, "to_s": BEGIN_US / 1e6 + 3600}
        assert part["series"] == whole["series"]
        assert part["savings"] == whole["savings"]
