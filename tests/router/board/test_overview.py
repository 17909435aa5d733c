"""The overview of a real ledger: its parts add up to the report, which is the same report as everywhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from experts.registry import load_registry
from experts.spec import Registry
from router.board.calibration import MOST_RATED
from router.board.overview import overview
from router.board.period import MOST_STEPS, Period
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import Arm, Draw, EnergyMethod, Feedback, Role, Status
from router.meter.report import report
from router.meter.rollup import add_up, due
from router.meter.tariff import Tariffs
from router.meter.ulid import ulid_text
from router.reason import Reason
from tests.router.meter.conftest import make_attempt, make_intent, make_outcome
from tests.service.server import write_registry

NOON_US = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp() * 1e6)
HOUR_US = 3_600_000_000
LATER_US = NOON_US + 5 * HOUR_US
Look = Callable[..., dict[str, Any]]


def kinds() -> list[dict[str, Any]]:
    """Every way a request can go."""
    big = make_attempt(expert="big", role=Role.FALLBACK, energy_method=EnergyMethod.TABLE, energy_uj=5_000_001)
    broke = make_attempt(expert="poet", status=Status.ERROR, output_tokens=0, cost_nusd=17, error_code="timed_out")
    return [
        {"answered_by": "poet", "attempts": [make_attempt(expert="poet")]},
        {"answered_by": "cook", "attempts": [make_attempt(expert="cook", energy_uj=77, cost_nusd=0)]},
        {"answered_by": "big", "escalated": "before", "why": Reason.FAILED, "attempts": [broke, big]},
        {"answered_by": "big", "escalated": "before", "why": Reason.NOT_SURE, "attempts": [big]},
        {
            "answered_by": "big",
            "escalated": "after",
            "why": Reason.ANSWER,
            "attempts": [make_attempt(expert="poet"), big],
        },
        {
            "status": Status.ERROR,
            "answered_by": None,
            "attempts": [],
            "counterfactual_cost_nusd": 0,
            "counterfactual_energy_uj": 0,
            "counterfactual_co2_ug": 0,
        },
    ]


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    """Sixty requests over thirty hours, one of them still open."""
    ledger, ways = Ledger.open(tmp_path / "ledger.sqlite"), kinds()
    for number in range(60):
        way = number % len(ways)
        begun = make_intent(
            ts_us=NOON_US + number * HOUR_US // 2,
            expert=("poet", "cook", "poet", "big", "poet", "poet")[way],
            role=Role.FALLBACK if way == 3 else Role.ROUTED,
        )
        await ledger.begin(begun)
        if number:
            ways[3]["why"] = Reason.OUT_OF_DOMAIN if number % 12 == 3 else Reason.NOT_SURE
            await ledger.finish(make_outcome(begun.request_id, total_us=1000 * number, **ways[way]))
    await ledger.aclose()
    return ledger.path


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Three scripted experts."""
    return load_registry(write_registry(tmp_path)).registry


@pytest.fixture
def look(ledger: Path, registry: Registry) -> Iterator[Look]:
    """Looks at a period."""
    with closing(read_ledger(ledger)) as connection:
        yield lambda since=None, until=None: overview(connection, registry, since, until)


def test_the_curves_add_up_to_the_report(look: Look, ledger: Path) -> None:
    with closing(read_ledger(ledger)) as connection:
        told = report(connection, None, None).to_json()
    found = look()
    curves = found["series"]
    assert found["totals"] == told
    assert curves["fallback_method"].startswith("same-token guess")
    assert len({len(column) for column in (curves["t_s"], curves["requests"], *curves["by_expert"].values())}) == 1
    assert sum(curves["requests"]) == told["requests"] == 60
    assert {name: sum(column) for name, column in curves["by_expert"].items()} == {
        name: share["requests"] for name, share in told["by_expert"].items()
    }
    for unit in ("cost_usd", "energy_j", "co2_g"):
        assert sum(curves["spent"][unit]) == pytest.approx(told[unit])
        assert sum(curves["fallback"][unit]) == pytest.approx(told["counterfactual"][unit])
        guess = told["savings"]["same_token_guess"]["spent"][unit]
        assert sum(curves["compared"][unit]) == pytest.approx(guess)
    assert {name: pytest.approx(sum(column)) for name, column in curves["energy_j_by_source"].items()} == told[
        "energy_by_method"
    ]


def test_what_is_written_meanwhile_is_in_no_part_of_an_answer(ledger: Path, registry: Registry) -> None:
    with closing(read_ledger(ledger)) as connection, closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        names = [name for _, name, *_ in other.execute("PRAGMA table_info(requests)")]
        others = ", ".join(name for name in names if name != "request_id")
        copied = f"INSERT INTO requests (request_id, {others}) SELECT ?, {others} FROM requests ORDER BY 2 DESC LIMIT 1"  # noqa: S608
        numbers = count(1)
        connection.set_trace_callback(lambda _: other.execute(copied, (next(numbers).to_bytes(16, "big"),)) and None)
        found = overview(connection, registry, None, None)
        connection.set_trace_callback(None)
        written = next(numbers) - 1
        later = overview(connection, registry, None, None)
    assert 60 <= found["totals"]["requests"] < later["totals"]["requests"] == 60 + written
    for told in (found, later):
        assert sum(told["series"]["requests"]) == told["totals"]["requests"]
        assert told["savings"]["energy"]["share"][-1] == told["totals"]["savings"]["share"]["energy"]


async def test_money_that_is_unknown_is_not_drawn_as_known(ledger: Path, look: Look) -> None:
    begun = make_intent(ts_us=NOON_US, version="")
    opened = Ledger.open(ledger)
    await opened.begin(begun)
    free = make_attempt(expert="poet", cost_nusd=0, price_version="")
    await opened.finish(make_outcome(begun.request_id, answered_by="poet", attempts=[free]))
    await opened.aclose()
    found = look()
    curves, told = found["series"], found["totals"]
    first, *later = curves["spent"]["cost_usd"]
    assert first is None, "one call of that step has no price"
    assert None not in later
    known = curves["spent"]["known_usd"]
    assert known[1:] == later
    assert sum(known) == pytest.approx(told["cost_usd"])
    assert (curves["unpriced"][0], sum(curves["unpriced"]), sum(curves["attempts"])) == (1, 1, told["attempts"])
    assert told["unpriced"] == {"attempts": 1, "share": 1 / told["attempts"]}


def test_the_savings_curve_ends_at_the_report_and_says_what_it_is(look: Look) -> None:
    found = look()
    for what, share in found["totals"]["savings"]["routed"]["whole"]["share"].items():
        assert found["savings"][what]["share"][-1] == share
    assert found["savings"]["status"] == "estimate, unverified"
    assert found["savings"]["energy"]["low"] is None


async def test_hours_whose_rows_are_gone_are_still_in_the_curves(ledger: Path, look: Look) -> None:
    period = (NOON_US, NOON_US + 30 * HOUR_US)
    before = look(*period)
    opened = Ledger.open(ledger)
    with closing(opened.read()) as connection:
        for hour in due(connection, period[1] + HOUR_US):
            await opened.roll_up(add_up(connection, hour))
    assert look(*period)["series"] == before["series"]
    removed = await opened.prune(period[1])
    await opened.aclose()
    after = look(*period)
    assert removed >= 40
    assert after["series"] == before["series"]
    assert after["escalations"] == before["escalations"]
    assert after["break_even"] == before["break_even"]


def test_every_escalation_is_counted_once_with_its_reason(look: Look) -> None:
    found = look()
    reasons = {name: row["requests"] for name, row in found["escalations"]["by_reason"].items()}
    assert {name: count for name, count in reasons.items() if count} == {
        "out_of_domain": 5, "not_sure": 5, "failed": 10, "answer": 10,
    }  # fmt: skip
    assert set(reasons) == {*Reason, "not_kept", "fallback_failed"}
    assert (found["escalations"]["to_fallback"], found["escalations"]["from_fallback"]) == (30, 0)
    assert found["escalations"]["requests"] == sum(found["series"]["escalated"]) == 30
    assert sum(found["escalations"]["by_domain"].values()) == 30


async def test_a_small_expert_that_answers_for_a_fallback_that_failed_is_no_way_to_it(
    tmp_path: Path, registry: Registry
) -> None:
    tariffs = Tariffs.of_registry(registry)
    kept = {"version": tariffs.terms.version, "body": tariffs.terms.body}
    big = make_attempt(expert=registry.fallback, role=Role.FALLBACK)
    broke = replace(big, status=Status.ERROR, output_tokens=0)
    ledger = Ledger.open(tmp_path / "outage.sqlite")
    for answerer, first, second in (
        ("poet", broke, make_attempt(expert="poet")),
        (registry.fallback, make_attempt(expert="poet", status=Status.ERROR), big),
        (None, make_attempt(expert="poet", status=Status.ERROR), broke),
    ):
        begun = make_intent(ts_us=NOON_US, expert=first.expert, role=first.role, **kept)
        await ledger.begin(begun)
        way = {"answered_by": answerer, "escalated": "before", "why": Reason.FAILED, "attempts": [first, second]}
        await ledger.finish(make_outcome(begun.request_id, **way))
    await ledger.aclose()
    with closing(read_ledger(ledger.path)) as connection:
        found = overview(connection, registry, None, None)["escalations"]
    told = {name: row["requests"] for name, row in found["by_reason"].items() if row["requests"]}
    assert told == {"fallback_failed": 1, "failed": 2}
    assert (found["to_fallback"], found["from_fallback"], found["share"]) == (2, 1, 2 / 3)


async def test_what_stands_in_for_a_fallback_that_a_key_may_not_use_is_no_failure(
    tmp_path: Path, registry: Registry
) -> None:
    tariffs = Tariffs.of_registry(registry)
    kept = {"version": tariffs.terms.version, "body": tariffs.terms.body}
    ledger = Ledger.open(tmp_path / "restricted.sqlite")
    begun = make_intent(ts_us=NOON_US, expert="poet", role=Role.FALLBACK, draw=Draw(Arm.RESTRICTED), **kept)
    await ledger.begin(begun)
    answer = make_attempt(expert="poet", role=Role.FALLBACK)
    way = {"answered_by": "poet", "escalated": "before", "why": Reason.OUT_OF_DOMAIN, "attempts": [answer]}
    await ledger.finish(make_outcome(begun.request_id, **way))
    for _ in range(2):
        with closing(ledger.read()) as connection:
            found = overview(connection, registry, NOON_US, NOON_US + 30 * HOUR_US)["escalations"]
            told = {name: row["requests"] for name, row in found["by_reason"].items() if row["requests"]}
            assert (told, found["to_fallback"], found["from_fallback"]) == ({"out_of_domain": 1}, 1, 0)
            hours = [add_up(connection, hour) for hour in due(connection, NOON_US + 2 * HOUR_US)]
        for hour in hours:
            await ledger.roll_up(hour)
        await ledger.prune(NOON_US + 2 * HOUR_US)
    await ledger.aclose()


async def test_who_is_at_work_without_being_chosen_is_not_told_as_unasked(tmp_path: Path, registry: Registry) -> None:
    ledger = Ledger.open(tmp_path / "named.sqlite")
    begun = make_intent(ts_us=NOON_US, expert="poet", role=Role.NAMED, policy=None)
    await ledger.begin(begun)
    answer = make_attempt(expert="poet", role=Role.NAMED)
    await ledger.finish(make_outcome(begun.request_id, answered_by="poet", attempts=[answer]))
    await ledger.aclose()
    with closing(read_ledger(ledger.path)) as connection:
        found = overview(connection, registry, None, None)
    assert found["answered"]["by_expert"]["poet"]["requests"] == 1
    told = {who: row["energy"]["unknown"] for who, row in found["break_even"].items()}
    assert told["poet"].startswith("none of its answers is compared with the fallback (")
    assert told["cook"] == "nobody asked it in this period"


def test_latency_is_of_answered_requests_only(look: Look) -> None:
    rows = look()["latency"]["rows"]
    assert list(rows) == ["all", "big", "cook", "poet"]
    assert rows["all"]["requests"] == sum(row["requests"] for name, row in rows.items() if name != "all") == 49
    assert rows["cook"]["total_s"]["p50"] in {n / 1000 for n in range(1, 60, 6)}


async def test_first_words_are_of_streams_as_in_the_metrics(tmp_path: Path, registry: Registry) -> None:
    """An answer in one piece has none: its end, which is noted there, would stand for how soon streams speak."""
    ledger = Ledger.open(tmp_path / "streams.sqlite")
    for stream, first_us, who in ((True, 40_000, "poet"), (False, 900_000, "poet"), (False, 700_000, "cook")):
        begun = make_intent(ts_us=NOON_US, expert=who, stream=stream)
        await ledger.begin(begun)
        ended = make_outcome(begun.request_id, answered_by=who, total_us=1_000_000, first_byte_us=first_us)
        await ledger.finish(ended)
    await ledger.aclose()
    with closing(read_ledger(ledger.path)) as connection:
        rows = overview(connection, registry, NOON_US, LATER_US)["latency"]["rows"]
    assert {who: row["requests"] for who, row in rows.items()} == {"all": 3, "poet": 2, "cook": 1}
    for who in ("all", "poet"):
        assert set(rows[who]["first_byte_s"].values()) == {0.04}
    assert set(rows["cook"]["first_byte_s"].values()) == {None}


async def test_latency_is_not_told_of_hours_whose_rows_are_gone(tmp_path: Path, registry: Registry) -> None:
    """Only those held back have rows left of such an hour, and they took longer."""
    ledger = Ledger.open(tmp_path / "gone.sqlite")
    for moment_us, total_us, arm in ((NOON_US, 10, Arm.NORMAL), (NOON_US, 900, Arm.HOLDBACK), (LATER_US, 20, None)):
        begun = make_intent(
            ts_us=moment_us, expert="poet", draw=None if arm is None else Draw(arm, 20_000, b"8 bytes.", 1)
        )
        await ledger.begin(begun)
        await ledger.finish(make_outcome(begun.request_id, answered_by="poet", total_us=total_us * 1000))
    with closing(ledger.read()) as connection:
        before = overview(connection, registry, NOON_US, LATER_US + HOUR_US)["latency"]
        for hour in [add_up(connection, hour) for hour in due(connection, LATER_US)]:
            await ledger.roll_up(hour)
    assert await ledger.prune(LATER_US) == 1
    await ledger.aclose()
    with closing(read_ledger(ledger.path)) as connection:
        part, nothing = (
            overview(connection, registry, NOON_US, until_us)["latency"] for until_us in (LATER_US + HOUR_US, LATER_US)
        )
    assert (before["rows_since_s"], before["rows"]["all"]["requests"]) == (None, 3)
    assert part["rows_since_s"] == nothing["rows_since_s"] == (NOON_US + HOUR_US) / 1e6
    assert (part["rows"]["all"]["requests"], part["rows"]["poet"]["total_s"]["p99"]) == (1, 0.02)
    assert nothing["rows"] == {}


def test_break_even_names_every_expert_but_the_fallback(look: Look) -> None:
    found = look(NOON_US, NOON_US + 30 * HOUR_US)["break_even"]
    assert list(found) == ["poet", "cook"]
    assert found["cook"]["requests_per_day"] == pytest.approx(10 * 24 / 30)
    assert found["cook"]["energy"]["saved_j_per_request"] == pytest.approx((2_291_234 - 288 - 77) / 1e6)


async def test_feedback_becomes_the_calibration_plot(ledger: Path, look: Look) -> None:
    assert look()["calibration"] == {
        "source": "feedback", "newest": MOST_RATED, "n": 0, "ece": None, "turned_out": None, "bins": [],
        "small_experts": {"n": 0, "mean_score": None},
    }  # fmt: skip
    with closing(read_ledger(ledger)) as connection:
        rows = connection.execute("SELECT request_id FROM requests WHERE answered_by = expert ORDER BY ts_us LIMIT 4")
        rated = [ulid_text(request_id) for (request_id,) in rows]
    opened = Ledger.open(ledger)
    for place, request_id in enumerate(rated):
        await opened.hear(Feedback(request_id, 1, 500_000, None))
        await opened.hear(Feedback(request_id, 2, 1_000_000 * (place % 2), None))
    await opened.aclose()
    found = look()["calibration"]
    assert (found["n"], found["turned_out"]) == (4, 0.5)
    assert found["bins"] == [{"from": 0.9, "to": 1.0, "n": 4, "stated": pytest.approx(0.93), "turned_out": 0.5}]


async def test_scores_of_the_fallbacks_own_answers_are_in_the_bins_but_not_in_the_mean_of_small_experts(
    tmp_path: Path, registry: Registry
) -> None:
    ledger = Ledger.open(tmp_path / "rated.sqlite")
    restricted = {"answered_by": "cook", "attempts": [make_attempt(expert="cook")]}
    own = {"draw": Draw(Arm.RESTRICTED), "expert": "cook"}
    rows: list[tuple[dict[str, Any], dict[str, Any], int]] = [
        ({"expert": "poet"}, kinds()[0], 800_000),
        ({"expert": "poet", "fallback": "poet"}, kinds()[0], 0),  # the fallback of that time
        ({"expert": "big"}, kinds()[3], 100_000),  # sure enough of its own
        ({"expert": "big", "role": Role.FALLBACK}, kinds()[3], 200_000),
        (own, restricted, 500_000),
        ({**own, "role": Role.FALLBACK}, restricted, 300_000),  # the key's own fallback
    ]
    for begun, ended, score in rows:
        intent = make_intent(**{"fallback": "big", "ts_us": NOON_US, "draw": Draw(Arm.NORMAL), **begun})
        await ledger.begin(intent)
        await ledger.finish(make_outcome(intent.request_id, **ended))
        await ledger.hear(Feedback(intent.request_id, 1, score, None))
    await ledger.aclose()
    with closing(read_ledger(ledger.path)) as connection:
        found = overview(connection, registry, None, None)["calibration"]
    assert (found["n"], found["turned_out"]) == (6, pytest.approx(1.9 / 6))
    assert found["small_experts"] == {"n": 2, "mean_score": pytest.approx(0.65)}


def test_a_period_has_few_steps_however_long(ledger: Path) -> None:
    with closing(read_ledger(ledger)) as connection:
        for hours in (0, 0.1, 1, 24, 24 * 7, 24 * 30, 24 * 365):
            period = Period.of(connection, NOON_US, NOON_US + int(hours * HOUR_US))
            assert 1 <= len(period.steps) <= MOST_STEPS + 1
        open_ended = Period.of(connection, None, NOON_US + 7)
    assert open_ended.since_us == NOON_US


def test_an_open_period_begins_with_the_first_request_or_with_the_first_hour_whose_rows_are_gone(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("DELETE FROM requests WHERE ts_us = ?", (NOON_US,))
        connection.execute("INSERT INTO hours (hour, requests) VALUES (?, 1)", (NOON_US // HOUR_US,))
        assert Period.of(connection, None, None).since_us == NOON_US + HOUR_US // 2
        connection.execute("UPDATE hours SET pruned = 2")
        assert Period.of(connection, None, None).since_us == NOON_US


@pytest.mark.parametrize("since", [None, NOON_US + 20 * HOUR_US])
def test_rows_of_a_clock_that_ran_ahead_are_in_all_parts_of_an_open_period(
    since: int | None, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.board.period.utc_us", lambda: NOON_US + 25 * HOUR_US)
    found = look(since)
    asked, totals = 60 if since is None else 20, found["totals"]
    assert totals["requests"] == sum(found["series"]["requests"]) == asked
    assert found["answered"]["requests"] == sum(one["requests"] for one in totals["by_expert"].values())
    assert found["latency"]["rows"]["all"]["requests"] == totals["by_status"]["ok"]
    escalations = found["escalations"]
    assert escalations["requests"] == sum(count for when, count in totals["escalated"].items() if when != "no")
    assert escalations["share"] == escalations["to_fallback"] / asked
    assert sum(found["series"]["spent"]["energy_j"]) == pytest.approx(totals["energy_j"])
    assert found["period"]["to_s"] == (NOON_US + 59 * HOUR_US // 2 + 1) / 1e6


def test_an_open_period_ends_with_the_last_hour_whose_rows_are_gone_or_now(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.board.period.utc_us", lambda: NOON_US)
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("INSERT INTO hours (hour, requests, pruned) VALUES (?, 1, 2)", (LATER_US // HOUR_US + 30,))
        assert Period.of(connection, None, None).until_us == LATER_US + 31 * HOUR_US
        monkeypatch.setattr("router.board.period.utc_us", lambda: LATER_US + 40 * HOUR_US)
        assert Period.of(connection, None, None).until_us == LATER_US + 40 * HOUR_US


async def test_a_new_ledger_is_an_empty_picture(tmp_path: Path, registry: Registry) -> None:
    ledger = Ledger.open(tmp_path / "new.sqlite")
    await ledger.aclose()
    with closing(ledger.read()) as connection:
        found = overview(connection, registry, None, None)
    assert found["totals"]["requests"] == sum(found["series"]["requests"]) == 0
    assert found["savings"]["energy"]["share"][-1] is None
    assert found["latency"]["rows"] == {}
