from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.console import Console

from router.meter.amounts import WHOLE
from router.meter.compared import Compared, Sum
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import Attempt, EnergyMethod, Intent, Outcome, Role, Status
from router.meter.report import GroupBy, Report, render, report
from router.meter.units import dollars, grams, places, watt_hours
from tests.router.meter.traffic import add_up_all

MakeIntent = Callable[..., Intent]
MakeOutcome = Callable[..., Outcome]
MakeAttempt = Callable[..., Attempt]
Read = Callable[..., Report]

NOON_US = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp() * 1e6)
DAY_US = 86_400_000_000

GROUPS = list(get_args(GroupBy.__value__ if hasattr(GroupBy, "__value__") else GroupBy))


@pytest.fixture
async def read(path: Path, intent: MakeIntent, outcome: MakeOutcome, attempt: MakeAttempt) -> Read:
    """Writes a week of traffic of every kind; gives what reads a report of it."""
    helped = attempt(expert="shoal-help", price_version="", cost_nusd=0, energy_uj=0, co2_ug=0)
    timed_out = attempt(status=Status.ERROR, output_tokens=0, cost_nusd=17, error_code="timed_out")
    fallback = attempt(expert="chat", role=Role.FALLBACK, energy_method=EnergyMethod.TABLE, energy_uj=5_000_001)
    measured = attempt(energy_method=EnergyMethod.MEASURED, energy_uj=77)
    kinds: list[dict[str, Any]] = [
        {},
        {"answered_by": "shoal-help", "attempts": [helped]},
        {"answered_by": "chat", "escalated": "before", "attempts": [timed_out, fallback]},
        {"answered_by": "chat", "escalated": "after", "attempts": [attempt(), fallback]},
        {"status": Status.CANCELLED, "attempts": [attempt(status=Status.CANCELLED)]},
        {"status": Status.ERROR, "answered_by": None, "attempts": [], "counterfactual_cost_nusd": 0},
        {"attempts": [measured]},
    ]
    ledger = Ledger.open(path)

    async def serve(i: int) -> None:
        begun = intent(
            ts_us=NOON_US + i * DAY_US // 10,
            policy=("balanced", "frugal")[i % 2],
            label=(None, "text-to-sql", "chat")[i % 3],
            key_id=("", "team-a")[i % 2],
        )
        await ledger.begin(begun)
        await ledger.finish(outcome(begun.request_id, **kinds[i % len(kinds)]))

    await asyncio.gather(*map(serve, range(70)))
    await ledger.begin(intent(ts_us=NOON_US))
    await ledger.aclose()

    def read(since_us: int | None = None, until_us: int | None = None, group_by: GroupBy | None = None) -> Report:
        with closing(ledger.read()) as connection:
            return report(connection, since_us, until_us, group_by)

    return read


def test_the_total_is_the_sum_of_its_parts(read: Read) -> None:
    found = read()
    total, experts = found.total, list(found.by_expert.values())
    assert total.requests == 71
    assert total.requests == sum(found.by_status.values()) == sum(found.escalated.values())
    assert total.requests == sum(share.requests for share in experts) + found.unanswered
    assert total.attempts == sum(share.attempts for share in experts) == 80
    assert total.input_tokens == sum(share.input_tokens for share in experts)
    assert total.output_tokens == sum(share.output_tokens for share in experts)
    assert total.sums.cost_nusd == sum(share.sums.cost_nusd for share in experts)
    assert total.sums.energy_uj == sum(share.sums.energy_uj for share in experts) + found.router.energy_uj
    assert total.sums.energy_uj == sum(found.by_method.values())
    assert total.sums.co2_ug == sum(share.sums.co2_ug for share in experts) + found.router.co2_ug


def test_the_figures_are_those_that_went_in(read: Read) -> None:
    found = read()
    assert found.by_status == {Status.OK: 50, Status.CANCELLED: 10, Status.ERROR: 10, Status.INTERRUPTED: 1}
    assert found.escalated == {"no": 51, "before": 10, "after": 10}
    assert {name: share.requests for name, share in found.by_expert.items()} == {
        "sql": 30,
        "shoal-help": 10,
        "chat": 20,
    }
    assert found.by_expert["sql"].sums.cost_nusd == 10 * (12_345 * 4 + 17)
    assert found.by_expert["chat"].sums.energy_uj == 20 * 5_000_001
    assert found.router.energy_uj == 70 * 288
    assert found.total.compared.alone.cost_nusd == 60 * 54_321
    guess = found.savings["same_token_guess"]
    assert (guess["left_out"]["interrupted"], guess["requests"], found.savings["requests"]) == (1, 70, 70)
    assert found.total.unmetered == 1
    assert found.by_method[EnergyMethod.TABLE] == 20 * 5_000_001
    assert found.by_method[EnergyMethod.MEASURED] == 10 * 77


@pytest.mark.parametrize("group_by", GROUPS)
def test_groups_divide_the_total(read: Read, group_by: GroupBy) -> None:
    found = read(group_by=group_by)
    groups = list(found.groups.values())
    assert len(groups) > 1
    for name in ("requests", "attempts", "input_tokens", "output_tokens"):
        assert sum(getattr(group, name) for group in groups) == getattr(found.total, name)
    for name in ("cost_nusd", "energy_uj", "co2_ug"):
        assert sum(getattr(group.sums, name) for group in groups) == getattr(found.total.sums, name)
        for side in ("spent", "alone"):
            whole = getattr(getattr(found.total.compared, side), name)
            assert sum(getattr(getattr(group.compared, side), name) for group in groups) == whole


def test_groups_have_names_people_know(read: Read) -> None:
    assert set(read(group_by="key").groups) == {"(none)", "team-a"}
    assert set(read(group_by="domain").groups) == {"(none)", "text-to-sql", "chat"}
    assert set(read(group_by="expert").groups) == {"(none)", "sql", "chat", "shoal-help"}
    days = read(group_by="day").groups
    assert (min(days), max(days)) == ("2026-11-20", "2026-11-27")


def test_a_period_ends_before_its_end(read: Read) -> None:
    tenth = DAY_US // 10
    assert read(NOON_US, NOON_US + tenth).total.requests == 2
    assert read(NOON_US + 1, NOON_US + tenth + 1).total.requests == 1
    assert read(None, NOON_US).total.requests == 0
    week = [read(NOON_US + day * DAY_US, NOON_US + (day + 1) * DAY_US).total for day in range(7)]
    assert sum(day.sums.energy_uj for day in week) == read().total.sums.energy_uj


def test_json_is_in_the_units_of_the_outside(read: Read) -> None:
    found = read()
    told = json.loads(json.dumps(found.to_json()))
    assert told["requests"] == 71
    assert told["cost_usd"] == pytest.approx(found.total.sums.cost_nusd / 1e9)
    assert told["energy_j"] == pytest.approx(sum(told["energy_by_method"].values()))
    assert told["energy_j"] == pytest.approx(
        sum(share["energy_j"] for share in told["by_expert"].values()) + told["router"]["energy_j"]
    )
    assert told["by_status"] == {"ok": 50, "error": 10, "cancelled": 10, "interrupted": 1}
    assert told["escalated"] == {"no": 51, "before": 10, "after": 10}
    assert told["no_price"] == ["shoal-help"]
    assert told["counterfactual"]["method"] == told["savings"]["method"] == WHOLE
    savings, guess = told["savings"], told["savings"]["same_token_guess"]
    assert savings["verified"] is guess["verified"] is False
    assert savings["energy_j"] == pytest.approx(told["counterfactual"]["energy_j"] - told["energy_j"])
    assert savings["share"]["energy"] == pytest.approx(savings["energy_j"] / told["counterfactual"]["energy_j"])
    assert savings["cost_usd"] is savings["share"]["cost"] is None, "what shoal-help costs is unknown"
    assert guess["counterfactual"] == pytest.approx({n: savings["counterfactual"][n] for n in guess["counterfactual"]})
    assert "groups" not in told
    assert json.dumps(read(group_by="day").to_json()["groups"])


def printed(found: Report, width: int = 120) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(render(found))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_a_year_has_four_digits_however_early(read: Read) -> None:
    since_us, until_us = (int(datetime(*day, tzinfo=UTC).timestamp() * 1e6) for day in ((1, 1, 1), (2027, 1, 1)))
    for part_us, seconds in ((0, ""), (7_000_000, ":07")):
        text = " ".join(printed(read(since_us + part_us, until_us)).split())
        end = f"2027-01-01 00:00{seconds and ':00'} UTC"
        assert f"requests from 0001-01-01 00:00{seconds} UTC to {end}:" in text


def test_nothing_is_cut_on_eighty_columns_however_large(read: Read) -> None:
    found = read(group_by="policy")
    for share in (found.total, *found.by_expert.values(), *found.groups.values()):
        share.requests, share.input_tokens, share.output_tokens = 12_345_678, 999_999_999, 12_345_678_901
        share.attempts = 23_456_789
        share.sums.cost_nusd, share.sums.energy_uj, share.sums.co2_ug = (
            98_765_430_000_000,
            10_000_000_000_000,
            987_000_000_000,
        )
    found.by_expert["an expert with a very long name"] = found.by_expert.pop("chat")
    text = printed(found, 80)
    assert "\u2026" not in text
    assert max(map(len, text.splitlines())) <= 80
    for words in ("12,345,678", "23.46M", "1000M", "12.35B", "$98,765.43", "2.7778 kWh", "987 kg"):
        assert words in text, words


def test_answers_and_what_was_asked_for_them_are_told_apart(read: Read) -> None:
    lines = {line.split(" ")[0]: line.split() for line in printed(read()).splitlines() if line}
    assert lines["expert"][:4] == ["expert", "answers", "asked", "in"]
    assert lines["sql"][1:3] == ["30", "50"]
    assert lines["all"][1:3] == ["60", "80"], "of 71 requests nobody answered 11"


def test_keys_are_told_by_name_beside_their_ids(read: Read) -> None:
    console = Console(file=StringIO(), width=120)
    console.print(render(read(group_by="key"), {"team-a": "the first team"}))
    assert "the first team team-a" in " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("avoided", "allocated", "words"),
    [
        (
            5 * 10**9,
            2 * 10**9,
            (
                "$5.00 less was really paid",
                "$2.00 is the cost of the fallback's machines",
                "saved on paper only. It is taken off what was saved.",
            ),
        ),
        (-(10**9), 2 * 10**9, ("$1.00 more was really paid", "$2.00 is the cost of the fallback's machines")),
        (
            5 * 10**9,
            -3_670_000,
            (
                "$5.00 less was really paid",
                "$0.00367 is the cost of the small experts' machines",
                "spent on paper only. What was saved is that much more than the fallback alone less what was spent.",
            ),
        ),
    ],
)
def test_what_became_of_the_money_is_told_in_words_without_a_sign(
    read: Read, avoided: int, allocated: int, words: tuple[str, ...]
) -> None:
    found, priced = read(), Compared(1, Sum(), Sum(avoided + allocated), alone_avoidable_ppm_nusd=avoided * 10**6)
    found.total.compared, found.routed = priced, {}  # as of one key's
    table, _, notes = printed(found).partition("share saved")
    (row,) = (line for line in table.splitlines() if line.startswith("saved "))
    assert ("-$" in row) is (avoided < 0), "the row of what was saved has a sign"
    words_only = " ".join(notes.partition("\n")[2].split())
    assert "-$" not in words_only
    for each in words:
        assert each in words_only, each
    assert ("taken off what was saved" in words_only) is (allocated > 0)


def test_what_was_really_paid_less_is_the_amount_of_the_table(read: Read) -> None:
    """Whose last digit is such that the column adds up."""
    found = read()
    avoidable = {"avoidable_ppm_nusd": 228_121_000 * 10**6, "alone_avoidable_ppm_nusd": 400_415_000 * 10**6}
    found.total.compared, found.routed = Compared(1, Sum(228_540_000), Sum(400_415_000), **avoidable), {}
    table, _, notes = printed(found).partition("share saved")
    (row,) = (line for line in table.splitlines() if line.startswith("saved "))
    (amount,) = (word for word in row.split() if word.startswith("$"))
    assert f"{amount} less was really paid." in " ".join(notes.split())


def test_the_table_says_what_it_knows_and_what_it_does_not(read: Read) -> None:
    text = printed(read(group_by="policy"))
    for words in (
        "71 requests",
        "20 escalated",
        "shoal-help",
        "the router",
        "frugal",
        "fallback alone",
        "estimate",
        "* No price given for shoal-help: what it cost is unknown, not 0 (10 of 80 calls, ",
        "$0.000741*",
        "Answers that were thrown away took $",
        "1 request was interrupted",
    ):
        assert words in text, words
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("added_up", [False, True])
async def test_what_nobody_heard_is_at_least(
    path: Path, intent: MakeIntent, outcome: MakeOutcome, attempt: MakeAttempt, added_up: bool
) -> None:
    """Its client left before the first word: how many tokens were written by then, and what they cost, is unknown."""
    gone = attempt(
        expert="chat", status=Status.UNHEARD, output_tokens=0, first_byte_us=None, error_code="CancelledError"
    )
    ledger = Ledger.open(path)
    for policy, end in (("balanced", {}), ("frugal", {"status": Status.CANCELLED, "attempts": [gone]})):
        begun = intent(ts_us=NOON_US, policy=policy)
        await ledger.begin(begun)
        await ledger.finish(outcome(begun.request_id, **end))
    await ledger.aclose()
    if added_up:
        await add_up_all(path)
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None, "policy")
    told = found.to_json()
    assert (told["unheard"], told["unmetered"], told["by_status"]) == (1, {"requests": 0}, {"ok": 1, "cancelled": 1})
    for part, unheard in (("by_expert", {"sql": 0, "chat": 1}), ("groups", {"balanced": 0, "frugal": 1})):
        assert {name: each["unheard"] for name, each in told[part].items()} == unheard
    text = printed(found)
    assert "The clients of 1 answer left before the first word: what was written by then is unknown" in text
    for whose, least in {"all": 4, "chat": 4, "frugal": 4, "sql": 0, "balanced": 0, "the router": 0}.items():
        (line,) = (line for line in text.splitlines() if re.match(rf" *{whose} .*\$.*Wh", line))
        assert line.count("≥") == least, line


def test_an_empty_ledger_says_so(read: Read) -> None:
    assert "No requests" in printed(read(None, NOON_US))
    assert read(None, NOON_US).to_json()["savings"]["share"] == {"cost": None, "energy": None, "co2": None}


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (dollars(0), "$0.00"),
        (dollars(1), "$0.000000001"),
        (dollars(0.5), "$0.000000001"),
        (dollars(0.4), "<$0.000000001"),
        (dollars(-0.4), ">-$0.000000001"),
        (dollars(-1e-9), "$0.00"),  # no amount: what rounding left of a difference
        (dollars(1_200), "$0.00000120"),
        (dollars(5_475_000), "$0.00548"),
        (dollars(999_600_000), "$1.000"),
        (dollars(1_005_000_000), "$1.01"),
        (dollars(-54_321_000_000), "-$54.32"),
        (dollars(1_234_567_890_000), "$1,234.57"),
        (watt_hours(0), "0 Wh"),
        (watt_hours(912_345), "253 µWh"),
        (watt_hours(-1_500_000), "-417 µWh"),
        (watt_hours(999_700_000), "278 mWh"),
        (watt_hours(3_598_500), "1 mWh"),
        (watt_hours(3_598_500_000), "1 Wh"),
        (watt_hours(3_600_000_000_000), "1 kWh"),
        (grams(116), "116 µg"),
        (grams(2_510_000_000), "2.51 kg"),
    ],
)
def test_amounts_are_readable(shown: str, text: str) -> None:
    assert shown == text


def test_an_interval_that_only_rounding_makes_wide_has_no_width() -> None:
    assert (places(0.04, 0.1 + 0.2 - 0.26), places(0.36, 0.45), places(0.0399, 0.0401)) == (1, 1, 2)
