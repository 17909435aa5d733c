"""The savings curve of a ledger in which conversations were held back: a band where it is sure enough, none before."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from router.board.period import Period
from router.board.savings import savings
from router.meter.ledger import read_ledger
from router.meter.record import Arm, Role
from router.meter.verified import savings as verified
from tests.router.meter.conftest import make_intent, make_outcome
from tests.router.meter.test_paired import Book, big, small

HOUR_US = 3_600_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    book = Book(tmp_path / "ledger.sqlite", make_intent, make_outcome)
    for number in range(150):
        moment = number * HOUR_US // 10
        book.add([big(energy_uj=9000 + 10 * number)], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW), ts_us=moment)
        for _ in range(4):
            book.add([small()], arm=Arm.NORMAL, ts_us=moment)
    book.write()
    return book.path


def test_the_band_begins_where_enough_was_held_back_and_ends_at_the_report(path: Path) -> None:
    with closing(read_ledger(path)) as connection:
        found = savings(connection, Period(0, 15 * HOUR_US, HOUR_US), "provisional")
        told = verified(connection, 0, 15 * HOUR_US)
    energy = found["energy"]
    assert found["status"] == told["standing"] == "provisional"
    assert [share is None for share in energy["share"]] == [True] * 9 + [False] * 6
    assert energy["share"][-1] == told["share"]["energy"]
    assert (energy["low"][-1], energy["high"][-1]) == (told["low"]["energy"], told["high"]["energy"])
    assert all(
        low < share < high
        for low, share, high in zip(energy["low"][9:], energy["share"][9:], energy["high"][9:], strict=True)
    )
    usual = {unit: found[unit]["same_tokens"][-1] for unit in ("cost", "energy", "co2")}
    assert usual == told["same_tokens"]


def test_what_is_not_measured_is_of_routed_requests_too(path: Path) -> None:
    book = Book(path, make_intent, make_outcome)
    for _ in range(50):
        book.add([big(energy_uj=9_000_000)], arm=None, policy="", ts_us=HOUR_US)  # asked by name
    book.write()
    with closing(read_ledger(path)) as connection:
        found = savings(connection, Period(0, 5 * HOUR_US, HOUR_US), "estimate, unverified")
        told = verified(connection, 0, 5 * HOUR_US)
    energy = found["energy"]
    assert energy["share"][-1] == told["whole"]["share"]["energy"]
    assert None not in energy["share"]
    assert (energy["low"], energy["same_tokens"]) == (None, None)
