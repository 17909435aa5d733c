"""What is read from a real ledger for the savings figure: who counts, what is known, what is charged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from router.meter.holdback import WINDOW_DAYS
from router.meter.ledger import Ledger, read_ledger
from router.meter.paired import Paired, read, savings, seen
from router.meter.record import Arm, Attempt, Draw, EnergyMethod, Intent, Outcome, Role, Shadow, Status

RATE = 0.02
ROUTER_UJ = 288

Make = Callable[..., Intent]


class Book:
    """Writes requests into a ledger as serving does."""

    def __init__(self, path: Path, intent: Callable[..., Intent], outcome: Callable[..., Outcome]) -> None:
        self.path = path
        self._intent, self._outcome = intent, outcome
        self._entries: list[tuple[Intent, Outcome, Shadow | None]] = []

    def add(
        self, attempts: list[Attempt], *, arm: Arm | None, shadow: Attempt | None = None, **changes: object
    ) -> None:
        draw = None if arm is None else Draw(arm, round(RATE * 1e6), len(self._entries).to_bytes(8), 1)
        intent = self._intent(draw=draw, **changes)
        status = Status.OK if attempts and attempts[-1].status is Status.OK else Status.ERROR
        answered = attempts[-1].expert if status is Status.OK else None
        outcome = self._outcome(intent.request_id, status=status, answered_by=answered, attempts=attempts)
        beside = Shadow(intent.request_id, shadow) if shadow else None
        self._entries.append((intent, outcome, beside))

    def write(self) -> None:
        asyncio.run(self._write())

    async def _write(self) -> None:
        ledger = Ledger.open(self.path)
        await asyncio.gather(*(ledger.begin(intent) for intent, _, _ in self._entries))
        await asyncio.gather(*(ledger.finish(outcome) for _, outcome, _ in self._entries))
        await asyncio.gather(*(ledger.note(shadow) for _, _, shadow in self._entries if shadow))
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
    assert found.traffic.sums.tolist() == [[120, 80, 0.93], [120, 80, 0.93]]
    assert found.traffic.held.points.tolist() == [[120, 70, 0.93]]
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
    energy = found["energy"]
    assert energy["low"] < 1 - energy["spent"] * 1e6 / truth < energy["high"]
    assert energy["counterfactual"] == pytest.approx(truth / 1e6, rel=0.02)
    assert energy["coefficients"]["low"] < energy["share"] < energy["coefficients"]["high"]
    differs = energy["same_tokens_differs_by"]
    assert found["same_tokens"]["energy"] - energy["share"] == pytest.approx(differs["length"] + differs["uncharged"])


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
