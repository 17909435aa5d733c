"""The savings curve of a ledger in which conversations were held back: a band where it is sure enough, none before."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from router.board.period import Period
from router.board.savings import savings
from router.meter.ledger import read_ledger
from router.meter.record import Arm, Role
from router.meter.verified import savings as verified
from tests.router.meter.conftest import make_intent, make_outcome
from tests.router.meter.test_paired import Book, big, small, tariffs

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


@pytest.mark.parametrize("pairs", [150, 70])
def test_one_call_without_a_price_leaves_the_curve_of_the_requests_of_which_all_money_is_known(
    tmp_path: Path, pairs: int
) -> None:
    """Its last point is what the report says of them, measured or not; the call comes in the middle of the period."""
    book = Book(tmp_path / "ledger.sqlite", make_intent, make_outcome)
    told = {"body": tariffs("chat", sql="list", chat="list")}
    cheap = replace(small(), cost_nusd=40, price_version="list")
    for number in range(pairs):
        told["ts_us"] = number * HOUR_US // 10
        dear = replace(big(), cost_nusd=50_000 + 100 * number, price_version="list")
        book.add([dear], arm=Arm.HOLDBACK, shadow=replace(cheap, role=Role.SHADOW), **told)
        book.add([cheap], arm=Arm.NORMAL, **told)
    until_us = pairs * HOUR_US // 10
    book.add([small()], arm=Arm.NORMAL, label="other", **(told | {"ts_us": until_us // 2}))
    book.write()
    with closing(read_ledger(book.path)) as connection:
        report = verified(connection, 0, until_us)
        found = savings(connection, Period(0, until_us, HOUR_US), report["standing"])
    part, curve = report["priced_part"], found["priced_part"]
    assert {name: curve[name] for name in ("requests", "of")} == {"requests": 2 * pairs, "of": 2 * pairs + 1}
    assert curve["status"] == part["standing"] == ("provisional" if pairs > 100 else "estimate, unverified")
    assert found["cost"]["share"][-1] is None
    assert curve["share"][-1] == part["share"] != 0
    if pairs < 100:
        assert None not in curve["share"]
        assert (curve["low"], curve["high"], curve["same_tokens"]) == (None, None, None)
        return
    assert [share is None for share in curve["share"]] == [True] * 9 + [False] * 6
    assert (curve["low"][-1], curve["high"][-1]) == (part["low"], part["high"])
    assert curve["low"][9] < curve["share"][9] < curve["high"][9]
    assert None not in curve["same_tokens"][9:]


def test_where_all_money_is_known_no_part_of_it_is_told(tmp_path: Path) -> None:
    book = Book(tmp_path / "ledger.sqlite", make_intent, make_outcome)
    cheap = replace(small(), cost_nusd=40, price_version="list")
    book.add([cheap], arm=Arm.NORMAL, body=tariffs("chat", sql="list", chat="list"), ts_us=HOUR_US)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = savings(connection, Period(0, 5 * HOUR_US, HOUR_US), "estimate, unverified")
    assert found["cost"]["share"][-1] is not None
    assert found["priced_part"] is None
