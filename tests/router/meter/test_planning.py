"""How large a share is held back next, from a real ledger: conversations count, not requests."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from router.meter.hours_schema import DAY_US, HOUR_US
from router.meter.ledger import read_ledger
from router.meter.planning import conversations, planned_share, seen
from router.meter.record import Arm, Intent, Outcome, Role, Status
from tests.router.meter.test_paired import Book, big, small

NOW_US = time.time_ns() // 1000


@pytest.fixture
def book(path: Path, intent: Callable[..., Intent], outcome: Callable[..., Outcome]) -> Book:
    return Book(path, intent, outcome)


def counted(book: Book) -> float:
    book.write()
    with closing(read_ledger(book.path)) as connection:
        return conversations(connection, NOW_US - 30 * DAY_US, NOW_US + DAY_US)


def share(book: Book) -> float:
    book.write()
    with closing(read_ledger(book.path)) as connection:
        return planned_share(connection, "chat", NOW_US + HOUR_US)


@pytest.mark.parametrize("arm", [Arm.NORMAL, Arm.OFF, Arm.BUSY])
def test_turns_of_one_conversation_are_one(book: Book, arm: Arm) -> None:
    for number in range(60):
        book.add([small()], arm=arm, talk=number % 5)
    assert counted(book) == pytest.approx(5)


def test_only_what_was_or_might_have_been_held_back_counts(book: Book) -> None:
    for number in range(3):
        book.add([small()], arm=Arm.NORMAL, talk=number)
    book.add([big()], arm=Arm.HOLDBACK, shadow=small(70, role=Role.SHADOW), talk=3)
    book.add([small(status=Status.ERROR)], arm=Arm.NORMAL, talk=4)
    book.add([small(status=Status.ERROR), big()], arm=Arm.NORMAL, talk=5)
    book.add([big()], arm=Arm.OFF)
    book.add([small()], arm=Arm.UNABLE)
    book.add([small()], arm=Arm.OFF, talk=6, ts_us=NOW_US - 31 * DAY_US)
    assert counted(book) == pytest.approx(4)


def test_a_question_of_half_of_the_traffic_is_one(book: Book) -> None:
    for number in range(400):
        book.add([small()], arm=Arm.OFF, talk=number if number % 2 else 0)
    assert counted(book) == pytest.approx(400**2 / (200**2 + 200))


@pytest.mark.parametrize("arm", [Arm.NORMAL, Arm.OFF])
def test_many_turns_of_few_conversations_are_too_thin(book: Book, arm: Arm) -> None:
    """300 conversations of 12 turns: a share of 5 % would hold back 15, for nothing."""
    for number in range(3600):
        book.add([small()], arm=arm, talk=number % 300)
    assert share(book) == 0


@pytest.mark.parametrize("turns", [1, 3])
def test_as_many_conversations_are_needed_however_many_turns_they_have(book: Book, turns: int) -> None:
    for number in range(1990 * turns):
        book.add([small()], arm=Arm.OFF, talk=number % 1990)
    assert share(book) == 0
    for number in range(10 * turns):
        book.add([small()], arm=Arm.OFF, talk=1990 + number % 10)
    assert share(book) == 0.05


def test_where_rows_are_gone_the_rest_stands_for_their_time(book: Book) -> None:
    for number in range(90):
        book.add([small()], arm=Arm.NORMAL, talk=number, ts_us=NOW_US - number * DAY_US // 3 - HOUR_US)
    assert counted(book) == pytest.approx(90)
    gone = (NOW_US - 20 * DAY_US) // HOUR_US
    with closing(sqlite3.connect(book.path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO hours (hour, requests, pruned) VALUES (?, 1, 2)", (gone - 1,))
        left = 90 - connection.execute("DELETE FROM requests WHERE ts_us < ?", (gone * HOUR_US,)).rowcount
    assert 55 < left < 65
    assert counted(book) == pytest.approx(90, rel=0.05)


def test_the_next_share_is_planned_by_how_exact_the_pairs_are(book: Book) -> None:
    rng = np.random.default_rng(3)
    for number in range(2000):
        if number % 5:
            book.add([small(50)], arm=Arm.NORMAL)
        else:
            uj = int(rng.uniform(1000, 9000))
            book.add([big(energy_uj=uj)], arm=Arm.HOLDBACK, shadow=small(50, role=Role.SHADOW), rate=0.2)
    book.write()
    error = 0.8 * 8000 / 12**0.5 / 5000  # four in five are unknown, each by the deviation of all
    assert seen(book.read(), "chat", 1e4).error == pytest.approx(error, rel=0.1)
