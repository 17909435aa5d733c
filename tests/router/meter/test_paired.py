"""What is read from a real ledger for the savings figure: who counts, what is known, what is charged."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from router.meter.holdback import WINDOW_DAYS
from router.meter.ledger import Ledger, read_ledger
from router.meter.paired import Paired, read, seen
from router.meter.record import Arm, Attempt, Draw, EnergyMethod, Intent, Outcome, Pair, Role, Shadow, Status
from router.meter.rollup import add_up, due
from router.meter.verified import savings

RATE = 0.02

TARIFFS = json.dumps(
    {
        "uw_per_core": 1_920_000,
        "pue_ppm": 1_000_000,
        "embodied_ng_per_core_s": 0,
        "fallback": "chat",
        "experts": {
            name: {"price": [0, 0, 0, ""], "energy_pj": [0, 0], "capacity": "api", "avoidable_ppm": 0, "size": None,
                   "embodied_ng_per_s": 0}
            for name in ("sql", "chat")
        },
    }
)  # fmt: skip
"""What a server keeps of its tariffs; here only who is the fallback counts."""
ROUTER_UJ = 288

Make = Callable[..., Intent]


class Book:
    """Writes requests into a ledger as serving does."""

    def __init__(self, path: Path, intent: Callable[..., Intent], outcome: Callable[..., Outcome]) -> None:
        self.path = path
        self._intent, self._outcome = intent, outcome
        self._entries: list[tuple[Intent, Outcome, Shadow | None]] = []

    def add(
        self,
        attempts: list[Attempt],
        *,
        arm: Arm | None,
        shadow: Attempt | None = None,
        pair: Pair | None = None,
        **changes: object,
    ) -> None:
        draw = None if arm is None else Draw(arm, round(RATE * 1e6), len(self._entries).to_bytes(8), 1)
        intent = self._intent(draw=draw, coefficients=TARIFFS, **changes)
        status = Status.OK if attempts and attempts[-1].status is Status.OK else Status.ERROR
        answered = attempts[-1].expert if status is Status.OK else None
        outcome = self._outcome(intent.request_id, status=status, answered_by=answered, attempts=attempts)
        beside = Shadow(intent.request_id, [shadow], pair) if shadow else None
        self._entries.append((intent, outcome, beside))

    def write(self) -> None:
        asyncio.run(self._write())

    async def _write(self) -> None:
        ledger = Ledger.open(self.path)
        await asyncio.gather(*(ledger.begin(intent) for intent, _, _ in self._entries))
        await asyncio.gather(*(ledger.finish(outcome) for _, outcome, _ in self._entries))
        await asyncio.gather(*(ledger.note(shadow) for _, _, shadow in self._entries if shadow))
        await ledger.aclose()

    def roll_up(self) -> None:
        asyncio.run(self._roll_up())

    async def _roll_up(self) -> None:
        ledger = Ledger.open(self.path)
        with closing(ledger.read()) as connection:
            rollups = [add_up(connection, hour) for hour in due(connection, time.time_ns() // 1000)]
        assert rollups
        for each in rollups:
            await ledger.roll_up(each)
        await ledger.aclose()

    def read(self) -> Paired:
        with closing(read_ledger(self.path)) as connection:
            return read(connection)


@pytest.fixture
def book(path: Path, intent: Callable[..., Intent], outcome: Callable[..., Outcome]) -> Book:
    return Book(path, intent, outcome)


def small(tokens: int = 80, *, role: Role = Role.ROUTED, status: Status = Status.OK, energy_uj: int = 1000) -> Attempt:
    return Attempt("sql", role, status, 120, tokens, energy_uj=energy_uj, energy_method=EnergyMethod.MODELLED)


def big(tokens: int = 100, energy_uj: int = 9000) -> Attempt:
    return Attempt("chat", Role.FALLBACK, Status.OK, 130, tokens, energy_uj=energy_uj, energy_method=EnergyMethod.TABLE)


def test_every_request_is_put_where_it_belongs(book: Book) -> None:
    book.add([small()], arm=Arm.NORMAL)
    book.add([small()], arm=None, label="other")
    book.add([big()], arm=Arm.HOLDBACK, shadow=small(70, role=Role.SHADOW))
    book.add([big(energy_uj=5000)], arm=None)  # nobody was sure enough
    book.add([small(status=Status.ERROR), big(energy_uj=7000)], arm=Arm.NORMAL)  # the small one failed
    book.add([big()], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW, status=Status.ERROR))
    book.add([big()], arm=Arm.HOLDBACK)  # what ran beside was lost
    book.add([small(status=Status.ERROR)], arm=Arm.NORMAL)  # nobody answered
    book.add([small()], arm=None, policy="")  # named, not routed
    book.write()
    found = book.read()
    assert found.traffic.rows.tolist() == [1, 1]
    assert found.traffic.sums.tolist() == [[120, 80], [120, 80]]
    assert found.traffic.held.points.tolist() == [[120, 70]]
    assert found.traffic.held.fallback.tolist() == [[0, 9000, 0]]
    assert found.traffic.held.rate.tolist() == [RATE]
    assert found.traffic.known[1] == 9000 + 5000 + 7000 + 9000 + 9000
    charged = 1000 * 6 + 9000 * 3 + 5000 + 7000 + 8 * ROUTER_UJ
    assert found.traffic.spent[1] == charged
    assert found.eligible == 3


def test_an_empty_ledger_says_that_nothing_is_verified(book: Book) -> None:
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = savings(connection)
    assert found["standing"] == "estimate, unverified"
    assert found["same_tokens"] == {"cost": None, "energy": None, "co2": None}
    assert seen(book.read(), WINDOW_DAYS).eligible == 0


def test_savings_come_near_the_truth_with_an_interval_and_say_why_the_usual_figure_differs(book: Book) -> None:
    rng = np.random.default_rng(5)
    truth = 0.0
    for number in range(3000):
        tokens = int(rng.gamma(2, 60)) + 1
        fallback_uj = 20_000 + 300 * tokens + int(rng.normal(0, 3000))
        truth += fallback_uj
        if number % 10 == 0:
            book.add([big(2 * tokens, fallback_uj)], arm=Arm.HOLDBACK, shadow=small(tokens, role=Role.SHADOW))
        else:
            book.add([small(tokens)], arm=Arm.NORMAL)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = savings(connection)
    assert (found["standing"], found["verified"]) == ("published", True)
    assert found["held_back"] == {"requests": 300, "conversations": 300}
    share, spent_uj = found["share"]["energy"], book.read().traffic.spent[1]
    assert found["low"]["energy"] < 1 - spent_uj / truth < found["high"]["energy"]
    assert found["energy_j"] == pytest.approx((truth - spent_uj) / 1e6, rel=0.02)
    assert found["coefficients"]["low"] < share < found["coefficients"]["high"]
    differs = found["differs_by"]["energy"]
    assert found["same_tokens"]["energy"] - share == pytest.approx(differs["length"] + differs["uncharged"])


def test_the_next_rate_is_planned_from_what_was_seen(book: Book) -> None:
    for number in range(400):
        book.add([big(energy_uj=5000 + 40 * number)], arm=Arm.HOLDBACK, shadow=small(number + 1, role=Role.SHADOW))
    book.write()
    found = seen(book.read(), days=15)
    assert (found.eligible, found.held) == (800, 400)
    assert found.variation == pytest.approx(0.355, abs=0.01)
    assert found.explained > 0.98


def test_a_period_bounds_what_is_read(book: Book, intent: Callable[..., Intent]) -> None:
    book.add([small()], arm=Arm.NORMAL, ts_us=1000)
    book.add([small()], arm=Arm.NORMAL, ts_us=2000)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        assert read(connection, 1000, 2000).traffic.rows.tolist() == [1]
        assert read(connection, 1001, 2001).traffic.rows.tolist() == [1]
        assert read(connection, 0, 2001).traffic.rows.tolist() == [2]


def test_sums_of_hours_say_what_raw_rows_say(book: Book) -> None:
    rng = np.random.default_rng(9)
    for number in range(60):
        ts_us = 3_600_000_000 * (10 + number // 20) + number
        label = ["text-to-sql", "other", None][number % 3]
        if number % 5:
            book.add([small(int(rng.integers(1, 99)))], arm=Arm.NORMAL, ts_us=ts_us, label=label)
        else:
            book.add([big()], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW), ts_us=ts_us, label=label)
    book.write()
    raw = book.read()
    book.roll_up()
    rolled = book.read()
    assert rolled.traffic.spent.tolist() == raw.traffic.spent.tolist()
    assert rolled.traffic.known.tolist() == raw.traffic.known.tolist()
    assert sorted(rolled.traffic.sums.tolist()) == sorted(raw.traffic.sums.tolist())
    assert rolled.same_tokens.tolist() == raw.same_tokens.tolist()
    assert rolled.eligible == raw.eligible == 60


def test_grades_become_a_gap_and_words_an_agreement(book: Book) -> None:
    for number in range(40):
        pair = Pair(number % 4 == 0, 600_000 + 1000 * number, 700_000 + 1000 * number)
        book.add([big()], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW), pair=pair)
    book.add([big()], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW), pair=Pair(True))
    book.write()
    with closing(read_ledger(book.path)) as connection:
        quality = savings(connection)["quality"]
    assert (quality["pairs"], quality["same_answer"]) == (41, 11 / 41)
    assert quality["gap"] == pytest.approx({"mean": 0.1, "low": 0.1, "high": 0.1, "graded": 40})
