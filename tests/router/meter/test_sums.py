"""The audit makes the published estimate of savings again from rows."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from router.meter.findings import Audit
from router.meter.hours_schema import DAY_US
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import Arm, Role
from router.meter.sums import check_savings
from router.meter.verified import savings
from tests.router.meter.conftest import make_intent, make_outcome
from tests.router.meter.test_paired import Book, big, small

HOUR_US = 3_600_000_000
NOVEMBER_US = 20_758 * DAY_US
"""2026-11-01."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Enough held back in two months, all of it added up by the hour."""
    book = Book(tmp_path / "ledger.sqlite", make_intent, make_outcome)
    for number in range(260):
        moment = NOVEMBER_US + (number - 130) * HOUR_US // 10
        held = big(90 + number % 17, energy_uj=9000 + 31 * number % 700)
        book.add([held], arm=Arm.HOLDBACK, shadow=small(50 + number % 23, role=Role.SHADOW), ts_us=moment)
        book.add([small(50 + number % 29)], arm=Arm.NORMAL, ts_us=moment)
    book.write()
    book.roll_up()
    return book.path


def checked(path: Path) -> Audit:
    found = Audit()
    with closing(read_ledger(path)) as connection:
        check_savings(connection, found)
    return found


def test_every_published_figure_is_estimated_again(path: Path) -> None:
    with closing(read_ledger(path)) as connection:
        told = savings(connection, NOVEMBER_US)
    assert told["standing"] == "provisional"
    assert told["low"]["energy"] < told["share"]["energy"] < told["high"]["energy"]
    found = checked(path)
    assert (found.wrong, found.findings) == (0, [])
    assert found.figures > 3 * 60, "everything, and two months"


def test_a_sum_that_was_changed_is_a_figure_that_is_another(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE hour_attempts SET energy_uj = energy_uj + 1000000 WHERE rowid = 1")
    found = checked(path)
    assert {"share.energy", "low.energy", "high.energy", "spent.energy_j"} <= set(found.by_figure)
    assert "share.cost" not in found.by_figure
    assert {finding.where for finding in found.findings} == {"the savings of everything", "the savings of 2026-10"}


def test_hours_whose_rows_are_gone_are_taken_as_read(path: Path) -> None:
    async def prune() -> int:
        ledger = Ledger.open(path)
        removed = await ledger.prune(NOVEMBER_US)
        await ledger.aclose()
        return removed

    assert asyncio.run(prune()) == 130
    assert checked(path).wrong == 0
