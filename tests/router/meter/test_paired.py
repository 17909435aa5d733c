"""What is read from a real ledger for the savings figure: who counts, what is known, what is charged."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from router.meter.audit import audit
from router.meter.carbon import Grids, co2_ug
from router.meter.coefficients import Size, accelerator_j
from router.meter.export import rows as exported_rows
from router.meter.holdback import Seen
from router.meter.ledger import Ledger, read_ledger
from router.meter.paired import Paired, read
from router.meter.planning import seen
from router.meter.record import DRAWN, Arm, Attempt, Draw, EnergyMethod, Intent, Outcome, Pair, Role, Shadow, Status
from router.meter.report import render, report
from router.meter.rollup import add_up, due
from router.meter.savings import Held, Traffic, alone
from router.meter.segment import WATTS, Segment
from router.meter.spans import rows_first
from router.meter.totals import Report
from router.meter.units import dollars
from router.meter.verified import measured, savings
from tests.router.meter.conftest import make_intent, make_outcome

RATE = 0.02


HOUR_US = 3_600_000_000


def tariffs(fallback: str = "chat", **priced: str) -> str:
    """What a server keeps of its tariffs: who is the fallback, that `fixed...` have machines, who has which price."""
    told = {"price": [0, 0, 0, ""], "energy_pj": [0, 0], "capacity": "api", "avoidable_ppm": 1_000_000, "size": None,
            "embodied_ng_per_s": 0}  # fmt: skip
    machines = {**told, "capacity": "fixed", "avoidable_ppm": 0, "size": [70, None, 16, 8, "h100", None]}
    experts = {**dict.fromkeys(("sql", "chat", "chat2"), told), "fixed": machines, "fixed_small": machines}
    experts |= {name: {**experts[name], "price": [1, 1, 1, version]} for name, version in priced.items()}
    shared = {"uw_per_core": 1_920_000, "pue_ppm": 1_000_000, "embodied_ng_per_core_s": 0}
    return json.dumps({**shared, "fallback": fallback, "experts": experts})


ROUTER_UJ = 288

Make = Callable[..., Intent]


class Book:
    """Writes requests into a ledger as serving does."""

    def __init__(self, path: Path, intent: Callable[..., Intent], outcome: Callable[..., Outcome]) -> None:
        self.path = path
        self._intent, self._outcome = intent, outcome
        self._entries: list[tuple[Intent, Outcome, Shadow | None]] = []
        self._talks = count()

    def add(
        self,
        attempts: list[Attempt],
        *,
        arm: Arm | None,
        shadow: Attempt | None = None,
        pair: Pair | None = None,
        fallback: str = "chat",
        talk: int | None = None,
        rate: float = RATE,
        **changes: object,
    ) -> None:
        draw = None if arm is None else Draw(arm)
        if arm in DRAWN or talk is not None:
            assert arm is not None
            of = (next(self._talks) if talk is None else talk).to_bytes(8)
            draw = Draw(arm, round(rate * 1e6) if arm in DRAWN else None, of, 1)
        told = {"version": fallback, "fallback": fallback, "body": tariffs(fallback), **changes}
        intent = self._intent(draw=draw, **told)
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
        self._entries = []

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

    def segment(self) -> Segment:
        (found,) = self.read().segments
        return found


@pytest.fixture
def book(path: Path, intent: Callable[..., Intent], outcome: Callable[..., Outcome]) -> Book:
    return Book(path, intent, outcome)


def small(tokens: int = 80, *, role: Role = Role.ROUTED, status: Status = Status.OK, energy_uj: int = 1000) -> Attempt:
    return Attempt("sql", role, status, 120, tokens, energy_uj=energy_uj, energy_method=EnergyMethod.MODELLED)


def big(tokens: int = 100, energy_uj: int = 9000, expert: str = "chat") -> Attempt:
    return Attempt(expert, Role.FALLBACK, Status.OK, 130, tokens, energy_uj=energy_uj, energy_method=EnergyMethod.TABLE)


def test_every_request_is_put_where_it_belongs(book: Book) -> None:
    book.add([small()], arm=Arm.NORMAL)
    book.add([small()], arm=Arm.NORMAL, label="other")
    book.add([big()], arm=Arm.HOLDBACK, shadow=small(70, role=Role.SHADOW))
    book.add([big(energy_uj=5000)], arm=None)  # nobody was sure enough
    book.add([small(status=Status.ERROR), big(energy_uj=7000)], arm=Arm.NORMAL)  # the small one failed
    book.add([big()], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW, status=Status.ERROR))
    book.add([big()], arm=Arm.HOLDBACK)  # what ran beside was lost
    book.add([small(status=Status.ERROR)], arm=Arm.NORMAL)  # nobody answered
    book.add([small()], arm=None, policy="")  # named, not routed
    book.write()
    found = book.segment()
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
    assert found["held_back"] == {"requests": 300, "conversations": 300, "effective": 300}
    share, spent_uj = found["share"]["energy"], book.segment().traffic.spent[1]
    assert found["low"]["energy"] < 1 - spent_uj / truth < found["high"]["energy"]
    assert found["energy_j"] == pytest.approx((truth - spent_uj) / 1e6, rel=0.02)
    assert found["coefficients"]["low"] < share < found["coefficients"]["high"]
    differs = found["differs_by"]["energy"]
    assert found["same_tokens"]["energy"] - share == pytest.approx(
        differs["length"] + differs["batches"] + differs["uncharged"]
    )
    assert differs["batches"] == 0


def test_doubt_of_coefficients_too_is_never_less_wide_than_chance_alone(book: Book) -> None:
    """By counters no coefficient is in doubt: what is left is chance, drawn, and draws alone may come out narrower."""
    rng = np.random.default_rng(6)
    for number in range(1500):
        tokens = int(rng.gamma(2, 60)) + 1
        little = replace(small(tokens), energy_method=EnergyMethod.MEASURED)
        much = replace(big(2 * tokens, int(rng.gamma(2, 20_000))), energy_method=EnergyMethod.MEASURED)
        if number % 10 == 0:
            book.add([much], arm=Arm.HOLDBACK, shadow=replace(little, role=Role.SHADOW))
        else:
            book.add([little], arm=Arm.NORMAL)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = savings(connection)
    assert found["coefficients"]["low"] <= found["low"]["energy"]
    assert found["coefficients"]["high"] >= found["high"]["energy"]


def test_a_period_bounds_what_is_read(book: Book, intent: Callable[..., Intent]) -> None:
    book.add([small()], arm=Arm.NORMAL, ts_us=1000)
    book.add([small()], arm=Arm.NORMAL, ts_us=2000)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        assert read(connection, 1000, 2000).segments[0].traffic.rows.tolist() == [1]
        assert read(connection, 1001, 2001).segments[0].traffic.rows.tolist() == [1]
        assert read(connection, 0, 2001).segments[0].traffic.rows.tolist() == [2]


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
    raw = book.segment()
    book.roll_up()
    rolled = book.segment()
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


def test_another_fallback_spoils_nothing_of_what_was_measured_against_the_first(book: Book) -> None:
    rng = np.random.default_rng(7)

    def serve(many: int, fallback: str, uj_per_token: int, every: int) -> None:
        for number in range(many):
            tokens = int(rng.gamma(2, 60)) + 1
            answer = big(tokens, uj_per_token * tokens, expert=fallback)
            held, sure = number % every == 0, number % 3
            if held:
                book.add([answer], arm=Arm.HOLDBACK, shadow=small(tokens, role=Role.SHADOW), fallback=fallback)
            else:
                book.add([small(tokens) if sure else answer], arm=Arm.NORMAL, fallback=fallback)

    def told() -> dict[str, Any]:
        book.write()
        with closing(read_ledger(book.path)) as connection:
            return savings(connection)

    serve(2000, "chat", 300, every=5)
    before = told()
    serve(20, "chat2", 40, every=20)
    after = told()
    for name in ("standing", "share", "low", "high", "measured_on"):
        assert after[name] == before[name]
    for name in ("standing", "share", "low", "high"):
        assert after["by_fallback"]["chat"][name] == before[name]
    assert (before["measured_on"]["requests"], after["held_back"]["requests"]) == (400, 401)
    with closing(read_ledger(book.path)) as connection:
        assert "Measured on 400 conversations that were answered both ways." in printed(report(connection, None, None))
    assert after["by_fallback"]["chat2"]["standing"] == "estimate, unverified"
    assert after["by_fallback"]["chat2"]["held_back"] == {"requests": 1, "conversations": 1, "effective": 1}
    assert after["by_fallback"]["chat2"]["share"] is None
    serve(1500, "chat2", 40, every=5)
    both = told()
    first, second = both["by_fallback"].values()
    assert first["share"] == before["share"]
    assert second["share"]["energy"] < both["share"]["energy"] < first["share"]["energy"]
    assert seen(book.read(), "chat", 1e4).error != seen(book.read(), "chat2", 1e4).error, "each has pairs of its own"
    assert seen(book.read(), "chat3", 1e4) == Seen(1e4), "of who serves now nothing is known yet"


def test_a_dear_router_moves_both_intervals(book: Book) -> None:
    for number in range(600):
        if number % 3:
            book.add([small(number)], arm=Arm.NORMAL)
        else:
            book.add([big(number, 9000 + 30 * number)], arm=Arm.HOLDBACK, shadow=small(number, role=Role.SHADOW))
    book.write()
    told = []
    for router_uj in (ROUTER_UJ, 6000):
        with closing(sqlite3.connect(book.path)) as connection:
            connection.execute("UPDATE requests SET router_energy_uj = ?", (router_uj,))
            connection.commit()
        with closing(read_ledger(book.path)) as connection:
            told.append(savings(connection))
        assert told[-1]["coefficients"]["low"] < told[-1]["share"]["energy"] < told[-1]["coefficients"]["high"]
    cheap, dear = told
    assert cheap["share"]["energy"] - dear["share"]["energy"] > 0.2
    assert dear["coefficients"]["high"] < cheap["coefficients"]["low"]
    assert book.segment().spent_uj[WATTS] == 600 * 6000 + 600 * 1000


def test_rows_of_an_unknown_fallback_are_told_apart(book: Book) -> None:
    book.add([small()], arm=Arm.NORMAL, body="", version="lost")
    book.write()
    found = book.segment()
    assert (found.fallback, found.plain.requests, found.eligible) == ("(unknown)", 1, 1)
    assert found.traffic.known.tolist() == [0, 0, 0]


def test_who_could_not_be_drawn_is_counted_beside(book: Book) -> None:
    def serve(arm: Arm, many: int, tokens: int, fallback_uj: int) -> None:
        for number in range(many):
            if arm is Arm.NORMAL and number % 4 == 0:
                book.add(
                    [big(energy_uj=fallback_uj + number)], arm=Arm.HOLDBACK, shadow=small(tokens, role=Role.SHADOW)
                )
            else:
                book.add([small(tokens)], arm=arm)

    def told() -> dict[str, Any]:
        book.write()
        with closing(read_ledger(book.path)) as connection:
            return savings(connection)

    serve(Arm.NORMAL, 1600, 80, 9000)
    alone = told()
    assert alone["outside"] == {"requests": 0, "why": {}, "share_of_spent": {"cost": None, "energy": 0, "co2": None}}
    serve(Arm.BUSY, 500, 400, 50_000)
    serve(Arm.UNABLE, 30, 80, 9000)
    serve(Arm.OFF, 20, 80, 9000)
    serve(Arm.RESTRICTED, 10, 80, 9000)
    among = told()
    for name in ("share", "low", "high", "coefficients", "same_tokens", "energy_j", "spent", "counterfactual"):
        assert among[name] == alone[name]
    assert among["outside"]["why"] == {"busy": 500, "off": 20, "restricted": 10}, "what it cannot do is no case"
    assert among["outside"]["requests"] == 530
    beside, whole = 530 * (1000 + ROUTER_UJ) / 1e6, among["whole"]
    assert among["outside"]["share_of_spent"]["energy"] == pytest.approx(beside / whole["spent"]["energy_j"])
    assert whole["spent"]["energy_j"] == pytest.approx(alone["whole"]["spent"]["energy_j"] + beside)
    assert whole["unverified"]["energy_j"] == pytest.approx(530 * 2.291234)
    assert among["eligible"] == alone["eligible"] + 520
    assert book.segment().undrawn[Arm.BUSY].requests == 500


def test_a_time_without_draws_changes_nothing_whoever_answered_in_it(book: Book) -> None:
    """Of the fallback's answers nothing is saved: with them alone in the figure it would be of no traffic there was."""
    for number in range(1200):
        if number % 10 == 0:
            book.add([big(100 + number % 7)], arm=Arm.HOLDBACK, shadow=small(80 + number % 7, role=Role.SHADOW))
        else:
            book.add([small(80 + number % 7)] if number % 3 else [big()], arm=Arm.NORMAL)
    book.write()
    alone = book.read()
    for number in range(900):
        book.add([small()] if number % 3 else [big()], arm=Arm.OFF)
    book.write()
    among = book.read()
    for name in ("share", "low", "high"):
        assert measured(among)[name] == measured(alone)[name]
    assert among.eligible == alone.eligible + 600, "the fallback's own are none that could be held back"


def test_without_an_experiment_all_is_the_same_tokens(book: Book) -> None:
    for _ in range(10):
        book.add([small()], arm=Arm.OFF)
    book.add([big()], arm=None)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = savings(connection)
    assert found["outside"]["why"] == {"off": 10, "too_few": 1}
    alone, unverified = found["whole"]["counterfactual"], found["whole"]["unverified"]
    assert {name: alone[name] for name in unverified} == unverified
    assert found["whole"]["counterfactual"]["energy_j"] == pytest.approx(11 * 2.291234)
    assert book.read().eligible == 10


def serve_evenly(book: Book, fallback: str, many: int = 900) -> None:
    """A third held back, a third answered by the fallback by choice; each answer of its takes as much."""
    for number in range(many):
        if number % 3 == 0:
            answer = big(100, 9000 + number % 7, expert=fallback)
            book.add([answer], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW), fallback=fallback)
        elif number % 3 == 1:
            book.add([big(100, 9000, expert=fallback)], arm=None, fallback=fallback)
        else:
            book.add([small()], arm=Arm.NORMAL, fallback=fallback)
    book.add([big(100, 9000 * many // 3, expert=fallback)], arm=None, policy="", fallback=fallback)  # by name: a load
    book.write()


def per_token(batch: float) -> tuple[float, float]:
    return accelerator_j(Size(70, batch=batch))


def test_a_fallback_on_fixed_machines_would_have_run_larger_batches(book: Book, tmp_path: Path) -> None:
    found = []
    for fallback in ("chat", "fixed"):
        own = book if fallback == "chat" else Book(tmp_path / "fixed.sqlite", book._intent, book._outcome)
        serve_evenly(own, fallback)
        with closing(read_ledger(own.path)) as connection:
            found.append(savings(connection))
    api, fixed = found
    assert api["by_fallback"]["chat"]["fixed_capacity"] is None
    # Of four loads alike, one by name, the fallback really had three.
    run = fixed["by_fallback"]["fixed"]["fixed_capacity"]
    assert (run["batch"], run["batch_alone"]) == (8, pytest.approx(8 * 4 / 3, rel=1e-3))
    # Each of its answers read 130 tokens and wrote 100, and what reading takes is the same in any batch.
    now, then = (130 * asked + 100 * answered for asked, answered in map(per_token, (8, run["batch_alone"])))
    assert fixed["counterfactual"]["energy_j"] == pytest.approx(api["counterfactual"]["energy_j"] * then / now)
    assert fixed["low"]["energy"] < fixed["share"]["energy"] < fixed["high"]["energy"] < api["low"]["energy"]
    assert (
        fixed["share"]["energy"]
        == fixed["by_fallback"]["fixed"]["share"]["energy"]
        == fixed["whole"]["share"]["energy"]
    )
    assert fixed["coefficients"]["low"] < fixed["share"]["energy"] < fixed["coefficients"]["high"]
    assert fixed["same_tokens"] == api["same_tokens"]
    differs = fixed["differs_by"]["energy"]
    assert differs["batches"] > 0
    assert fixed["same_tokens"]["energy"] - fixed["share"]["energy"] == pytest.approx(sum(differs.values()))


@pytest.mark.parametrize(("taken_uj", "told"), [(1_000_000, "takes less"), (90_000_000, "takes more")])
def test_smaller_batches_make_a_token_dearer(book: Book, taken_uj: int, told: str) -> None:
    """Where the fallback wrote more than the guess has it write, it would have run smaller batches."""
    for _ in range(10):
        book.add([big(energy_uj=taken_uj, expert="fixed")], arm=Arm.OFF, fallback="fixed")
        book.add([small()], arm=Arm.NORMAL, fallback="fixed")
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = report(connection, None, None)
    text, alone = printed(found), found.routed["by_fallback"]["fixed"]["fixed_capacity"]["batch_alone"]
    assert f"The machines of fixed are fixed: alone it would have run batches of {alone:.3g}, not 8," in text
    assert f"in which each token it writes {told}; that is counted." in text
    assert "The same-token guess of 20 requests, everything charged, in the batches of today: " in text


def test_one_figure_is_the_headline_and_the_guess_is_called_so(book: Book) -> None:
    for many in (297, 900):  # 99 and 399 held back
        serve_evenly(book, "chat", many)
        with closing(read_ledger(book.path)) as connection:
            told = report(connection, None, None).to_json()
        saved = told["savings"]
        routed, guess = saved["routed"], saved["same_token_guess"]
        assert (routed["share"] is None) is (many == 297)
        of = routed["whole"] if many == 297 else routed
        for name in ("share", "energy_j", "co2_g", "cost_usd", "spent", "counterfactual", "requests"):
            assert saved[name] == of[name]
        assert (saved["standing"], saved["verified"]) == (routed["standing"], many == 900)
        assert saved["energy_j"] == pytest.approx(told["counterfactual"]["energy_j"] - saved["spent"]["energy_j"])
        assert saved["share"]["energy"] == pytest.approx(saved["energy_j"] / told["counterfactual"]["energy_j"])
        assert (saved["low"] is None) is (many == 297)
        assert (saved["cost_usd"], told["cost_usd"]) == (None, None), "chat has no price"
        assert (guess["verified"], guess["avoidable_usd"], guess["allocated_usd"]) == (False, None, None)
        assert "same-token guess" in guess["method"]
        assert guess["left_out"]["named"] == {297: 1, 900: 2}[many]
        assert guess["requests"] + guess["left_out"]["named"] == told["requests"]
    for kept in (saved["routed"], saved["routed"]["whole"]):
        assert kept["energy_j"] == pytest.approx(kept["counterfactual"]["energy_j"] - kept["spent"]["energy_j"])


def test_the_bill_avoided_is_measured_where_the_small_expert_has_no_price(book: Book) -> None:
    """The fallback is an API, the small expert a machine whose rate nobody declared."""
    rng = np.random.default_rng(3)
    paid, truth = 0, 0
    for number in range(1500):
        cost = 1000 + int(rng.gamma(2, 400))
        truth += cost
        dear = replace(big(), cost_nusd=cost, price_version="list")
        if number % 4:
            book.add([small()], arm=Arm.NORMAL, body=tariffs("chat", chat="list"))
        else:
            paid += cost
            held = {"arm": Arm.HOLDBACK, "shadow": small(role=Role.SHADOW)}
            book.add([dear], **held, body=tariffs("chat", chat="list"))
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = report(connection, None, None).savings
    for each in (found, found["routed"], found["routed"]["by_fallback"]["chat"]):
        assert (each["share"]["cost"], each["low"]["cost"], each["high"]["cost"]) == (None, None, None)
    assert found["cost_usd"] is found["spent"]["cost_usd"] is found["routed"]["same_tokens"]["cost"] is None
    assert set(found["routed"]["differs_by"]["cost"].values()) == {None}
    bill = found["fallback_bill_avoided"]
    assert bill["before_cost_of"] == ["sql"]
    assert bill["low"] < 1 - paid / truth < bill["high"]
    assert bill["usd"] == pytest.approx((truth - paid) / 1e9, rel=0.05)
    assert bill["usd"] == pytest.approx(bill["share"] * found["counterfactual"]["cost_usd"])


@pytest.mark.parametrize(("held", "cost_nusd"), [(0, 90_000), (400, 90_000), (400, 40)])
def test_of_a_smaller_bill_what_others_cost_is_taken_though_one_has_no_price(
    book: Book, held: int, cost_nusd: int
) -> None:
    """One expert has no price, and another may cost more than the fallback: its bill avoided is no money saved."""
    told: dict[str, Any] = {"body": tariffs("chat", sql="list", chat="list")}
    alone = spent = paid = 0
    for number in range(600):
        cheap, dear = (replace(each(), price_version="list") for each in (small, big))
        cheap, dear = replace(cheap, cost_nusd=cost_nusd), replace(dear, cost_nusd=5000 + number * 37 % 800)
        alone += dear.cost_nusd
        spent += cost_nusd
        if number < held:
            paid += dear.cost_nusd
            book.add([dear], arm=Arm.HOLDBACK, shadow=replace(cheap, role=Role.SHADOW), **told)
        else:
            book.add([cheap], arm=Arm.NORMAL, **told)
    book.add([replace(small(), expert="chat2")], arm=Arm.NORMAL, label="other", **told)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = report(connection, None, None)
    bill, most = found.savings["fallback_bill_avoided"], found.savings["at_most"]
    assert (bill["before_cost_of"], most["no_price"]) == (["chat2", "sql"], ["chat2"])
    assert most["others_usd"] == spent / 1e9
    assert most["usd"] == pytest.approx(bill["usd"] - spent / 1e9)
    assert most["share"] == pytest.approx(most["usd"] / found.savings["counterfactual"]["cost_usd"])
    lost = cost_nusd > 40
    assert (most["usd"] < 0, bill["usd"] > 0) == (lost, True)
    if held:
        assert most["usd"] == pytest.approx((alone - paid - spent) / 1e9, rel=0.05)
        assert most["low"] < most["share"] < most["high"]
    console = Console(file=StringIO(), width=100)
    console.print(render(found))
    text = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    amount, known = (dollars(abs(most[name]) * 1e9) for name in ("usd", "others_usd"))
    assert f"At least {amount} more was paid than the fallback alone would cost, -" in text or not lost
    assert f"At most {amount} was saved, " in text or lost
    assert f"before what chat2, sql and the router's own work cost. Of that {known} is known; not in it is what" in text
    assert "what chat2 cost, which is not declared" in text


def test_one_call_without_a_price_hides_no_more_than_its_like(book: Book) -> None:
    """Two domains: of one all is priced, in the other one call was made of an expert without a price."""
    rng = np.random.default_rng(5)
    spent = truth = 0
    told: dict[str, Any] = {"body": tariffs("chat", sql="list", chat="list")}
    for number in range(1200):
        cost = 1000 + int(rng.gamma(2, 400))
        cheap = replace(small(), cost_nusd=40, price_version="list")
        dear = replace(big(), cost_nusd=cost, price_version="list")
        truth += cost
        spent += 40 + (cost if number % 3 == 0 else 0)
        if number % 3 == 0:
            book.add([dear], arm=Arm.HOLDBACK, shadow=replace(cheap, role=Role.SHADOW), **told)
        else:
            book.add([cheap], arm=Arm.NORMAL, **told)
    other = {**told, "label": "other"}
    for _ in range(30):
        book.add([replace(small(), cost_nusd=40, price_version="list")], arm=Arm.NORMAL, **other)
    book.add([small()], arm=Arm.NORMAL, **other)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = report(connection, None, None, "domain")
        assert savings(connection, divide=rows_first)["priced_part"] == found.routed["priced_part"]
        assert [each for each in audit(connection).findings if "savings" in each.where] == []
    part = found.savings["priced_part"]
    assert (found.savings["cost_usd"], part["requests"], part["of"]) == (None, 1200, 1231)
    assert (part["standing"], part["calls_without_price"], part["tokens_without_price"]) == ("published", 1, 200)
    assert part["low"] < 1 - spent / truth < part["high"]
    assert part["cost_usd"] == pytest.approx((truth - spent) / 1e9, rel=0.05)
    assert part["cost_usd"] == pytest.approx(part["counterfactual_usd"] - part["spent_usd"])
    guesses = {name: group["same_token_guess"]["priced_part"] for name, group in found.to_json()["groups"].items()}
    assert (guesses["text-to-sql"], guesses["other"]["requests"], guesses["other"]["cost_usd"]) == (None, 0, None)
    text = printed(found)
    assert "saved on 1,200 of 1,231" in text
    assert "1 call (200 tokens) has no price" in text


def priced_evenly(book: Book, fallback: str, expert: str = "sql") -> dict[str, Any]:
    """A small expert, paid by use as a rule, beside a dear fallback; a third held back. What a report says."""
    rng = np.random.default_rng(4)
    told = {"body": tariffs(fallback, **{expert: "list", fallback: "list"}), "fallback": fallback}
    for number in range(1200):
        cheap = replace(small(), expert=expert, cost_nusd=40, price_version="list")
        dear = replace(big(expert=fallback), cost_nusd=1000 + int(rng.gamma(2, 400)), price_version="list")
        if number % 3 == 0:
            book.add([dear], arm=Arm.HOLDBACK, shadow=replace(cheap, role=Role.SHADOW), **told)
        else:
            book.add([cheap], arm=Arm.NORMAL, **told)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = report(connection, None, None)
    return {**found.to_json()["savings"], "text": printed(found)}


def test_money_of_machines_that_are_paid_for_anyway_is_not_called_saved(book: Book, tmp_path: Path) -> None:
    api = priced_evenly(book, "chat")
    fixed = priced_evenly(Book(tmp_path / "fixed.sqlite", book._intent, book._outcome), "fixed")
    assert api["share"]["cost"] > 0.6
    assert (
        api["cost_usd"]
        == api["avoidable_usd"]
        == pytest.approx(api["counterfactual"]["cost_usd"] - api["spent"]["cost_usd"])
    )
    assert (api["allocated_usd"], api["allocated_share"], "on paper" in api["text"]) == (0, 0, False)
    added_usd, alone_usd = 1200 * 40 / 1e9, fixed["counterfactual"]["cost_usd"]
    assert alone_usd == pytest.approx(api["counterfactual"]["cost_usd"])
    routed = fixed["routed"]
    assert routed["by_fallback"]["fixed"]["capacity"] == "fixed"
    for each in (fixed, routed, routed["whole"]):
        assert each["cost_usd"] == each["avoidable_usd"] == pytest.approx(-added_usd), "what small experts really add"
        assert each["share"]["cost"] == pytest.approx(-added_usd / alone_usd)
        assert each["allocated_usd"] == pytest.approx(alone_usd - each["spent"]["cost_usd"] + added_usd)
        assert each["allocated_share"] == pytest.approx(each["allocated_usd"] / alone_usd)
        assert each["fallback_bill_avoided"]["usd"] == 0
    for each in (fixed, routed, routed["by_fallback"]["fixed"]):
        assert each["low"]["cost"] < each["share"]["cost"] < each["high"]["cost"] < 0
    differs = routed["differs_by"]["cost"]
    assert differs["allocated"] == fixed["allocated_share"]
    assert routed["same_tokens"]["cost"] - fixed["share"]["cost"] == pytest.approx(sum(differs.values()))
    less, paper = dollars(round(added_usd * 1e9)), dollars(round(fixed["allocated_usd"] * 1e9))
    assert f"{less} more was really paid. {paper} is the cost of the fallback's machines" in fixed["text"]
    assert f"what is saved on paper only {differs['allocated'] * 100:+.1f} points of cost" in fixed["text"]


def test_what_others_publish_is_told_where_nothing_is_saved(book: Book) -> None:
    fixed = priced_evenly(book, "fixed", "fixed_small")
    for each in (fixed, fixed["routed"], fixed["routed"]["whole"]):
        assert (each["cost_usd"], each["share"]["cost"]) == (0, 0)
    assert (fixed["low"]["cost"], fixed["high"]["cost"]) == (0, 0), "that is certain"
    usual = fixed["routed"]["same_tokens"]["cost"]
    assert usual > 0.9
    assert f"as others publish it, says {usual:.1%} of cost" in fixed["text"]


def printed(found: Report) -> str:
    """As on a terminal, in one line."""
    text = StringIO()
    Console(file=text, width=200).print(render(found))
    return " ".join(text.getvalue().split())


def test_what_the_fallback_cannot_do_and_who_names_a_model_is_left_out(book: Book) -> None:
    book.add([small()], arm=Arm.NORMAL, ts_us=HOUR_US)
    book.add([small(energy_uj=50)], arm=Arm.UNABLE, ts_us=HOUR_US)
    for _ in range(20):
        vectors = Attempt("encoder", Role.NAMED, Status.OK, 4_000, 0, energy_method=EnergyMethod.MODELLED)
        book.add([vectors], arm=Arm.UNABLE, policy="", endpoint="embeddings", ts_us=HOUR_US)
        book.add([vectors], arm=None, policy="", endpoint="embeddings")  # as it was written before
    book.add([small(role=Role.NAMED)], arm=None, policy="")
    book.write()
    for rolled in (False, True):
        if rolled:
            book.roll_up()
        with closing(read_ledger(book.path)) as connection:
            found = report(connection, None, None, "expert")
            again = report(connection, None, None, grids=Grids.of("FRA")).to_json()["carbon"]
            rows = [row for row in exported_rows(connection, None, None, {}) if row["SkuId"] == "router"]
        told = [row["x_counterfactual_energy_uj"] for row in rows]
        assert (sum(each or 0 for each in told), told.count(None)) == (2_291_234, 42)
        assert again["counterfactual_co2_g"] == co2_ug(2_291_234, Grids.of("FRA").at(HOUR_US).mg_per_kwh) / 1e6
        guess = found.savings["same_token_guess"]
        assert guess["left_out"] == {"named": 21, "unable": 21, "failed": 0, "interrupted": 0}
        assert (guess["requests"], found.total.requests) == (1, 43)
        assert found.savings["counterfactual"]["energy_j"] == guess["counterfactual"]["energy_j"] == 2.291234
        assert guess["spent"]["energy_j"] == (1000 + ROUTER_UJ) / 1e6
        assert found.groups["encoder"].compared.requests == 0
        assert found.accepted == 3, "vectors are no answers"


def test_an_outage_of_the_fallback_saves_nothing(book: Book) -> None:
    failed = Attempt("chat", Role.FALLBACK, Status.ERROR, error_code="expert_unavailable")
    book.add([small()], arm=Arm.NORMAL, ts_us=HOUR_US)
    for _ in range(24):
        book.add([failed, small(role=Role.FALLBACK)], arm=Arm.FAILED, ts_us=HOUR_US)
    book.write()
    for rolled in (False, True):
        if rolled:
            book.roll_up()
        with closing(read_ledger(book.path)) as connection:
            found = report(connection, None, None)
        guess = found.savings["same_token_guess"]
        assert guess["left_out"] == {"named": 0, "unable": 0, "failed": 24, "interrupted": 0}
        assert (guess["requests"], found.savings["requests"], found.total.requests) == (1, 1, 25)
        assert guess["spent"]["energy_j"] == (1000 + ROUTER_UJ) / 1e6
        assert found.savings["counterfactual"]["energy_j"] == guess["counterfactual"]["energy_j"] == 2.291234
        assert found.routed["outside"]["requests"] == 1, "only the one that is compared"
        assert "Left out: 24 requests for which the fallback was asked and failed, as it would have alone." in printed(
            found
        )


def test_one_is_told_as_one_and_what_has_no_price_without_a_star(book: Book) -> None:
    book.add([small()], arm=Arm.UNABLE)
    book.add([small(role=Role.NAMED)], arm=None, policy="")
    book.add([big()], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW, energy_uj=10_200_000))
    book.write()
    with closing(read_ledger(book.path)) as connection:
        text = printed(report(connection, None, None))
    assert "Left out: 1 request for which a model was named, so that nothing was chosen; 1 request that the" in text
    assert "(1 conversation held back; 100 are needed)" in text
    assert "made only to compare, took 2.83 mWh of the energy above; what that cost is unknown." in text
    assert "No price given for chat and sql: what they cost is unknown, not 0 (4 of 4 calls, 100%)." in text
    assert "*" not in text, "there is no amount that a star could stand at"


@pytest.mark.parametrize("fallback", ["chat", "fixed"])
def test_one_quantity_is_one_number_to_the_last_digit(path: Path, fallback: str) -> None:
    """It was computed in two ways: a reader who compares figures saw two, and asked which is right."""
    rng = np.random.default_rng(17)
    book = Book(path, make_intent, make_outcome)
    told = {"body": tariffs(fallback, sql="list", **{fallback: "list"}), "fallback": fallback}
    for number in range(480):
        taken = [int(each) for each in rng.integers(1_000, 90_000, 5)]
        cheap = replace(small(), cost_nusd=taken[0], energy_uj=taken[1], co2_ug=taken[2], price_version="list")
        dear = replace(big(expert=fallback), cost_nusd=9 * taken[3], energy_uj=9 * taken[4], co2_ug=7 * taken[2],
                       price_version="list")  # fmt: skip
        held = number % 3 == 0
        beside = replace(cheap, role=Role.SHADOW) if held else None
        book.add([dear if held else cheap], arm=Arm.HOLDBACK if held else Arm.NORMAL, shadow=beside, **told)
        if number % 30 == 29:
            book.write()
            with closing(read_ledger(path)) as connection:
                saved = report(connection, None, None).to_json()["savings"]
            routed, guess = saved["routed"], saved["same_token_guess"]
            assert (routed["share"] is None) is (number + 1 < 300)
            assert saved["share"] == routed["whole"]["share"]
            assert saved["fallback_bill_avoided"]["share"] == routed["whole"]["fallback_bill_avoided"]["share"]
            if routed["share"] is None and fallback == "chat":
                assert saved["share"] == guess["share"]


def test_carbon_by_another_table_sets_what_was_spent_on_the_same_requests_beside_the_fallback(
    book: Book, tmp_path: Path
) -> None:
    """It set all that was spent beside what the fallback would have taken for a part of it."""
    hours = tmp_path / "hours.csv"
    hours.write_text("zone,hour,g_per_kwh,marginal_g_per_kwh\nFRA,1970-01-01T01:00,41.44,400\n")
    joule = 1_000_000
    book.add([small(energy_uj=joule)], arm=Arm.NORMAL, ts_us=HOUR_US)
    book.add([small(energy_uj=2 * joule)], arm=Arm.NORMAL, ts_us=HOUR_US)
    book.add([small(energy_uj=40 * joule)], arm=Arm.UNABLE, ts_us=HOUR_US)
    book.add([small(energy_uj=500 * joule, role=Role.NAMED)], arm=None, policy="", ts_us=HOUR_US)
    book.write()
    for rolled in (False, True):
        if rolled:
            book.roll_up()
        with closing(read_ledger(book.path)) as connection:
            found = report(connection, None, None, grids=Grids.of("FRA", hours))
        told = found.to_json()["carbon"]
        assert told["compared_requests"] == 2
        for by, mg in ((told, 41_440), (told["marginal"], 400_000)):
            assert by["co2_g"] == co2_ug(543 * joule + 4 * ROUTER_UJ, mg) / 1e6
            assert by["compared_co2_g"] == co2_ug(3 * joule + 2 * ROUTER_UJ, mg) / 1e6
            assert by["counterfactual_co2_g"] == co2_ug(2 * 2_291_234, mg) / 1e6
        text = printed(found)
        assert "6.25 mg spent in all; on the 2 requests that are compared 35 µg, by the fallback alone 53 µg" in text
        assert text.count("(same-token guess)") == 2, "and by its marginal figures"


def test_carbon_by_another_zone_is_the_measured_energy_by_its_weight(book: Book, tmp_path: Path) -> None:
    hours = tmp_path / "hours.csv"
    hours.write_text("zone,hour,g_per_kwh\nFRA,1970-01-01T01:00,400\n")
    for number in range(600):
        at = {"ts_us": HOUR_US * (1 + number % 2)}
        if number % 3:
            book.add([small()], arm=Arm.NORMAL, **at)
        else:
            book.add([big(energy_uj=9_000_000 + number)], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW), **at)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = report(connection, None, None, grids=Grids.of("FRA"))
        of_hours = report(connection, None, None, grids=Grids.of("FRA", hours))
    uneven = of_hours.to_json()["carbon"]
    told, routed = found.to_json()["carbon"]["measured"], found.routed
    g_per_kwh = Grids.of("FRA").at(HOUR_US).mg_per_kwh / 1000
    assert told["counterfactual_co2_g"] == pytest.approx(routed["counterfactual"]["energy_j"] / 3.6e6 * g_per_kwh)
    assert told["share"] == pytest.approx(1 - told["spent_co2_g"] / told["counterfactual_co2_g"])
    assert (told["low"], told["high"]) == (routed["low"]["energy"], routed["high"]["energy"])
    assert told["low"] < told["share"] < told["high"]
    assert "; measured, " in printed(found)
    assert uneven["measured"] is None and uneven["hours"] == {"of_their_own": 1, "of_their_year": 1, "with_marginal": 0}
    assert "no measured saving, for these hours weigh differently" in " ".join(printed(of_hours).split())
    assert "no measured saving" not in printed(found)


def test_where_everybody_was_held_back_nothing_is_estimated(book: Book) -> None:
    for number in range(150):
        pair = Pair(False, 600_000, 700_000)
        book.add([big(energy_uj=9000 + number)], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW), pair=pair)
    book.write()
    with closing(sqlite3.connect(book.path)) as connection, connection:
        connection.execute("UPDATE requests SET pi_ppm = 1000000")
    with closing(read_ledger(book.path)) as connection:
        found = report(connection, None, None).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["savings"]["standing"], found["savings"]["routed"]["quality"]["gap"]) == (
        "estimate, unverified",
        None,
    )
    held = Held(np.zeros(150, int), np.ones((150, 1)), np.ones((150, 1)), np.ones(150), np.arange(150))
    with pytest.raises(ValueError, match="a share of 1 was held back"):
        alone(Traffic(np.ones(1), np.ones(1), np.ones(1), np.ones((1, 1)), held))


def test_a_held_back_answer_that_nothing_stands_beside_is_told_by_the_report_as_by_the_audit(book: Book) -> None:
    book.add([big()], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW), key_id="own")
    book.add([big()], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW, status=Status.ERROR), key_id="own")
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = report(connection, None, None)
        assert (found.routed["quality"]["lost_pairs"], audit(connection).without_shadow) == (0, 0)
        assert "nothing beside" not in printed(found)
    book.add([big()], arm=Arm.HOLDBACK, key_id="own")
    book.add([big()], arm=Arm.HOLDBACK, key_id="other")
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found, own = report(connection, None, None), report(connection, None, None, own="own")
        assert (found.routed["quality"]["lost_pairs"], audit(connection).without_shadow) == (2, 2)
        assert own.routed["quality"]["lost_pairs"] == 1
        assert found.routed["held_back"]["conversations"] == 1, "nothing is estimated from them"
    told = " ".join(printed(found).split())
    assert "2 held-back answers have nothing beside them: what ran there is under way" in told
    assert "1 held-back answer has nothing beside it" in " ".join(printed(own).split())
