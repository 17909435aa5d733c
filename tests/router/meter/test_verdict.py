"""What `shoal meter report` says of the savings is what it knows of them, all of it."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from router.meter.ledger import read_ledger
from router.meter.quality_notes import answers
from router.meter.record import Arm, Pair, Role, Status
from router.meter.report import Report, render, report
from router.meter.units import grams, percent, watt_hours
from router.meter.verdict import _outside, between
from tests.router.meter.conftest import make_intent, make_outcome
from tests.router.meter.test_paired import Book, big, small, tariffs

TURNS = 150


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """Enough held back, of which every second pair was graded."""
    made = Book(tmp_path / "ledger.sqlite", make_intent, make_outcome)
    for number in range(TURNS):
        pair = Pair(number % 3 == 0, 600_000 + 1000 * number, 700_000) if number % 2 else Pair(number % 3 == 0)
        held = big(90 + number % 17, energy_uj=9000 + 31 * number % 700)
        made.add([held], arm=Arm.HOLDBACK, shadow=small(50 + number % 23, role=Role.SHADOW), pair=pair)
        made.add([small(50 + number % 29)], arm=Arm.NORMAL)
    return made


def told(book: Book) -> tuple[Report, str]:
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = report(connection, None, None)
    console = Console(file=StringIO(), width=120)
    console.print(render(found))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return found, " ".join(text.split())


def test_both_intervals_the_usual_figure_with_why_and_both_answers_are_told(book: Book) -> None:
    found, text = told(book)
    routed = found.routed
    usual, differs, second = routed["same_tokens"]["energy"], routed["differs_by"]["energy"], routed["coefficients"]
    why = (differs["length"] * 100, differs["uncharged"] * 100)
    own_uj = found.by_expert["chat"].sums.energy_uj
    for words in (
        f"in doubt too, the energy saved is within {second['low']:.1%} to {second['high']:.1%}.",
        f"The same-token guess of those answers, as others publish it, says {usual:.1%} of energy: "
        f"answers of another length {why[0]:+.1f} and what it does not charge {why[1]:+.1f} points of energy.",
        f"would have taken 0 Wh, not {watt_hours(own_uj)}, which is in the points for length.",
        f"Of {TURNS} pairs of answers 33% were the same word for word; of the 75 graded the fallback's are +0.025 (",
        f"({routed['low']['energy']:.1%} to {routed['high']['energy']:.1%})",
    ):
        assert words in text, words
    assert routed["share"]["energy"] + sum(differs.values()) == pytest.approx(usual)
    assert "of cost" not in text, "nothing has a price"


def test_conversations_of_unlike_length_are_said_to_count_as_fewer(tmp_path: Path) -> None:
    book = Book(tmp_path / "uneven.sqlite", make_intent, make_outcome)
    for number in range(1200):
        if number < 300:
            answer = big(100 + number % 7, 9000 + number % 11)
            book.add([answer], arm=Arm.HOLDBACK, shadow=small(80, role=Role.SHADOW), talk=number % 200)
        else:
            book.add([small(80)], arm=Arm.NORMAL)
    found, text = told(book)
    assert found.routed["measured_on"] == {"requests": 300, "conversations": 200, "effective": 180}
    count = "which count as 180, as some stand for more requests than others"
    assert f"Measured on 200 conversations that were answered both ways, {count}." in text


@pytest.mark.parametrize(("pj", "said"), [(90_000_000, False), (93_000_000, False), (180_000_000, True)])
def test_a_guess_by_other_joules_per_token_than_the_fallbacks_answers_took_is_told(
    tmp_path: Path, pj: int, said: bool
) -> None:
    plain = json.loads(tariffs())
    rated = {**plain["experts"], "chat": {**plain["experts"]["chat"], "energy_pj": [0, pj]}}
    body = json.dumps({**plain, "experts": rated})
    few = Book(tmp_path / "few.sqlite", make_intent, make_outcome)
    few.add([big(100, energy_uj=9_000)], arm=None, body=body)
    few.add([small()], arm=Arm.NORMAL, body=body)
    found, text = told(few)
    words = (
        "For others' answers it goes by joules per token: by these the fallback's own would have taken 5 µWh, not 2.5"
    )
    assert (words in text) is said
    own = found.savings["same_token_guess"]["fallback_answers"]
    assert own == {"energy_j": 0.009, "by_rate_j": pj * 100 / 1e12, "differ": said}


def test_what_nobody_knows_is_left_out(tmp_path: Path) -> None:
    few = Book(tmp_path / "few.sqlite", make_intent, make_outcome)
    for _ in range(3):
        few.add([big()], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW))
    _, text = told(few)
    assert "a same-token guess, unverified (3 conversations held back; 100 are needed):" in text
    assert "in doubt too" not in text
    assert "as others publish it" not in text


def test_answers_that_were_not_graded_are_compared_word_for_word(tmp_path: Path) -> None:
    plain = Book(tmp_path / "plain.sqlite", make_intent, make_outcome)
    for number in range(TURNS):
        plain.add([big()], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW), pair=Pair(number % 2 == 0))
        plain.add([small()], arm=Arm.NORMAL)
    assert f"Of {TURNS} pairs of answers 50% were the same word for word; none was graded." in told(plain)[1]


def test_answers_of_several_fallbacks_are_said_to_be_compared_together(tmp_path: Path) -> None:
    """What was saved is told by fallback, so that nobody takes one for the other."""
    book = Book(tmp_path / "two.sqlite", make_intent, make_outcome)
    for name in ("old", "new"):
        for _ in range(TURNS):
            held: dict[str, Any] = {"shadow": small(role=Role.SHADOW), "pair": Pair(True), "fallback": name}
            book.add([big(expert=name)], arm=Arm.HOLDBACK, **held)
            book.add([small()], arm=Arm.NORMAL, fallback=name)
    quality = told(book)[0].routed["quality"]
    assert quality["fallbacks"] == ["new", "old"]
    assert answers(quality) == [
        f"Of {2 * TURNS} pairs of answers, with new and old together, 100% were the same word for word; "
        "none was graded."
    ]


@pytest.mark.parametrize(
    ("ends", "shown"),
    [
        ((0.36, 0.41, 0.45), "41.0% (36.0% to 45.0%)"),
        ((0.0391, 0.0404, 0.0417), "4.0% (3.9% to 4.2%)"),
        ((0.0399, 0.04, 0.0401), "4.00% (3.99% to 4.01%)"),
        ((0.04, 0.04, 0.04), "4.0% (4.0% to 4.0%)"),
        ((None, 0.04, None), "4%"),
        ((None, -0.0004, None), ">-1%"),
    ],
)
def test_an_interval_is_seen_to_have_a_width(ends: tuple[float | None, float, float | None], shown: str) -> None:
    assert between(*ends) == shown


def test_amounts_that_are_compared_are_in_one_unit_unless_one_is_tiny() -> None:
    shown = [
        watt_hours(1_015e6, 9_396e6),
        watt_hours(9_396e6, 9_396e6),
        watt_hours(2_290, 909e6),
        grams(129_000, 1.19e6),
        watt_hours(1_015e6, 0),
    ]
    assert shown == ["0.282 Wh", "2.61 Wh", "636 nWh", "0.129 g", "282 mWh"]
    assert [watt_hours(each) for each in (999.6e6, 3_599.6e6, 1_015e6)] == ["278 mWh", "1 Wh", "282 mWh"]


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (-0.42, "-42%"),
        (-0.003, ">-1%"),
        (-0.0, "0%"),
        (0.0, "0%"),
        (0.003, "<1%"),
        (0.0051, "1%"),
        (0.42, "42%"),
        (0.994, "99%"),
        (0.997, ">99%"),
        (1.0, "100%"),
    ],
)
def test_a_part_that_is_little_is_not_told_as_none(share: float, shown: str) -> None:
    assert percent(share) == shown


def test_what_little_is_left_out_is_told_as_little(book: Book) -> None:
    book.add([small(energy_uj=1)], arm=Arm.OFF)
    assert "It leaves out 1 request, <1% of energy: 1 while nobody was held back" in told(book)[1]


def test_what_is_left_out_is_told_in_money_as_in_energy() -> None:
    """It may be few requests, little energy and nearly all of the money."""
    outside = {
        "requests": 540, "why": {"too_few": 540}, "share_of_spent": {"cost": 0.96, "energy": 0.003, "co2": None},
    }  # fmt: skip
    (told,) = _outside(outside, {"share": {"cost": None, "energy": None, "co2": None}})
    assert told.startswith("It leaves out 540 requests, 96% of cost and <1% of energy: 540 ")


def test_a_bill_that_is_larger_is_not_called_smaller_by_less_than_nothing(tmp_path: Path) -> None:
    """The fallback broke off once, which is charged too, and what another took has no price."""
    body, dear = tariffs("chat", sql="list", chat="list"), Book(tmp_path / "dear.sqlite", make_intent, make_outcome)
    own = replace(big(), cost_nusd=100_000, price_version="list")
    dear.add([replace(small(), cost_nusd=40_000, price_version="list")], arm=Arm.NORMAL, body=body)
    dear.add([replace(own, status=Status.PARTIAL), own], arm=None, body=body)
    dear.add([replace(small(), expert="chat2")], arm=Arm.NORMAL, body=body)
    found, text = told(dear)
    assert found.savings["fallback_bill_avoided"]["usd"] == pytest.approx((3 * 54_321 - 200_000) / 1e9)
    assert "the fallback's bill is $0.0000370 larger, -23%, before what chat2, sql and the router's own work" in text


def test_why_requests_are_left_out_is_told_apart(book: Book) -> None:
    """Two reasons were joined by an `and` behind a comma, and read as one."""
    book.add([small(role=Role.NAMED)], arm=None, policy="")
    book.add([small()], arm=Arm.UNABLE)
    _, text = told(book)
    reasons = "1 request for which a model was named, so that nothing was chosen; 1 request that the fallback could not"
    assert f"Left out: {reasons} have answered." in text


def test_of_a_fallback_that_takes_nothing_no_share_is_told(tmp_path: Path) -> None:
    book = Book(tmp_path / "ledger.sqlite", make_intent, make_outcome)
    for _ in range(TURNS):
        book.add([big(energy_uj=0)], arm=Arm.HOLDBACK, shadow=small(role=Role.SHADOW))
        book.add([small()], arm=Arm.NORMAL)
    found, text = told(book)
    assert [found.routed[end]["energy"] for end in ("share", "low", "high")] == [None, None, None]
    assert "0%" not in text.partition("share saved")[2].partition("Measured on")[0]
