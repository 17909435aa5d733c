"""What was saved by key, domain, policy and day: each is the estimate of a ledger that has nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import router.meter.savings
from router.meter.by_group import groups_of, saved_by_answers
from router.meter.by_group import told as told_of
from router.meter.ledger import read_ledger
from router.meter.paired import Of, Rows
from router.meter.record import Arm, Intent, Outcome, Role
from router.meter.report import report
from router.meter.savings import Alone, Traffic, alone
from router.meter.spans import Divide, rows_first, spans
from router.meter.verified import figures, savings
from tests.router.meter.test_paired import Book, big, book, printed, small, tariffs

__all__ = ["book"]

DAY_US = 86_400_000_000
KEYS = {"many": (8, 20_000), "some": (20, 90_000), "few": (100, 20_000)}
DEAR = {"dear": (8, 60_000)}
"""Of each key: one of how many requests is held back, and what the fallback takes beside 300 uJ a token."""


def savings_by(connection: sqlite3.Connection, of: Of, divide: Divide = spans) -> dict[int | None, dict[str, Any]]:
    """As reports are made of each group, but all that is said of it."""
    return {
        group: figures(paired) for group, paired in groups_of(Rows.read(connection, of, None, None, divide)).items()
    }


def serve(book: Book, *keys: str, fallback: str = "chat", count: int = 2400) -> dict[str, float]:
    """Requests of these keys alone, the same whichever; gives what the fallback would have taken for each key."""
    truth = {}
    for key in keys:
        rng, (one_of, more_uj) = np.random.default_rng(len(key)), (KEYS | DEAR)[key]
        truth[key] = 0.0
        for number in range(count):
            tokens = int(rng.gamma(2, 60)) + 1
            fallback_uj = more_uj + 300 * tokens + int(rng.normal(0, 3000))
            truth[key] += fallback_uj
            told = {"key_id": key, "fallback": fallback, "label": f"{number % 3}", "ts_us": 40 * DAY_US + number}
            if number % one_of == 0:
                beside = small(tokens, role=Role.SHADOW)
                book.add([big(2 * tokens, fallback_uj, fallback)], arm=Arm.HOLDBACK, shadow=beside, **told)
            else:
                book.add([small(tokens)], arm=Arm.NORMAL, **told)
    book.write()
    return truth


@pytest.fixture
def connection(book: Book) -> Iterator[sqlite3.Connection]:
    serve(book, *KEYS)
    with closing(read_ledger(book.path)) as found:
        yield found


def test_each_key_is_told_by_itself_or_why_it_is_not(book: Book) -> None:
    truth = serve(book, *KEYS)
    with closing(read_ledger(book.path)) as connection:
        found, whole = report(connection, None, None, "key"), savings(connection)
    said = found.to_json()
    told = {name: group["savings"] for name, group in said["groups"].items()}
    assert [told[key]["standing"] for key in KEYS] == ["published", "provisional", "estimate, unverified"]
    assert [told[key]["held_back"]["conversations"] for key in KEYS] == [300, 120, 24]
    for key in ("many", "some"):
        spent_j, share = told[key]["spent"]["energy_j"], {end: told[key][end]["energy"] for end in ("low", "high")}
        assert share["low"] < 1 - spent_j / (truth[key] / 1e6) < share["high"], key
        assert told[key]["why_not"] is None
    assert told["some"]["low"]["energy"] > told["many"]["high"]["energy"], "and these two are not alike"
    assert told["few"]["why_not"] == "24 conversations were held back, 100 are needed"
    assert (told["few"]["share"], told["few"]["energy_j"]) == (None, None)
    one, none, long = (
        {**told["few"], "by_fallback": {"big": {"held_back": {"conversations": n, "effective": worth}}}}
        for n, worth in ((1, 1), (0, 0), (212, 63))
    )
    assert told_of(one)["why_not"] == "1 conversation was held back, 100 are needed"
    assert told_of(none)["why_not"] == "0 conversations were held back, 100 are needed"
    few = "212 conversations were held back, which count as 63, as some stand for more requests than others"
    assert told_of(long)["why_not"] == f"{few}, 100 are needed"
    assert said["savings"]["share"] == whole["share"], "the figure of all is what it was"
    text = printed(found)
    assert "Saved, by key: each estimated by itself" in text
    assert "Of 1 other fewer than 100 conversations were held back: not told." in text


def test_what_an_experts_answers_save_is_measured_on_those_it_answered_in_the_shadow(book: Book) -> None:
    """Two answer in one domain; the fallback writes less than one of them, more than the other."""
    truth, rng = {"sql": 0, "poet": 0, "rare": 0}, np.random.default_rng(3)
    for number in range(4000):
        expert = "rare" if number % 100 == 99 else ("sql", "poet")[number // 8 % 2]
        tokens = int(rng.gamma(2, 60)) + 1
        fallback_uj = (20_000 if expert == "sql" else 60_000) + 300 * tokens + int(rng.normal(0, 3000))
        if number % 8 == 0:
            beside = replace(small(tokens, role=Role.SHADOW), expert=expert)
            book.add([big(2 * tokens, fallback_uj)], arm=Arm.HOLDBACK, shadow=beside)
        else:
            truth[expert] += fallback_uj
            book.add([replace(small(tokens), expert=expert)], arm=Arm.NORMAL)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found, answered = saved_by_answers(connection), report(connection, None, None).to_json()["by_expert"]
    assert set(found) == {"sql", "poet"}, "of the third too few were held back"
    for expert, told in found.items():
        assert told["held_back"] == 250
        assert told["requests"] == answered[expert]["requests"]
        assert told["counterfactual"]["energy_j"] == pytest.approx(truth[expert] / 1e6, rel=0.02)
        assert told["energy_j"] == pytest.approx(told["counterfactual"]["energy_j"] - told["spent"]["energy_j"])


def answered(book: Book, rng: np.random.Generator, count: int, fallback: str = "chat", more_uj: int = 20_000) -> float:
    """Answers of one expert, one in eight held back; what the fallback would have taken for the others."""
    truth = 0.0
    for number in range(count):
        tokens = int(rng.gamma(2, 60)) + 1
        fallback_uj = more_uj + 300 * tokens + int(rng.normal(0, 9000))
        if number % 8 == 0:
            held = big(2 * tokens, fallback_uj, fallback)
            book.add([held], arm=Arm.HOLDBACK, shadow=small(tokens, role=Role.SHADOW), fallback=fallback)
        else:
            truth += fallback_uj
            book.add([small(tokens)], arm=Arm.NORMAL, fallback=fallback)
    return truth


def test_what_answers_save_rests_on_the_time_in_which_enough_was_held_back(book: Book) -> None:
    """Under the second fallback fifty are held back, and some came while nobody was: nothing is guessed of them."""
    rng = np.random.default_rng(5)
    truth_uj = answered(book, rng, 1600)
    answered(book, rng, 400, "chat2", more_uj=900_000)
    for _ in range(30):
        book.add([small()], arm=Arm.OFF)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        told = saved_by_answers(connection)["sql"]
    assert (told["held_back"], told["requests"], told["of"]) == (200, 1400, 1400 + 350 + 30)
    assert told["standing"] == "provisional"
    saved_j = truth_uj / 1e6 - told["spent"]["energy_j"]
    assert told["energy_j"] == pytest.approx(saved_j, rel=0.03)
    assert told["low"]["energy_j"] < saved_j < told["high"]["energy_j"]


@pytest.mark.parametrize("fallback", ["chat", "fixed"])
def test_the_ledger_is_read_once_for_the_groups_and_for_the_batches_of_all(book: Book, fallback: str) -> None:
    answered(book, np.random.default_rng(7), 800, fallback)
    book.write()
    asked: list[str] = []
    with closing(read_ledger(book.path)) as connection:
        connection.set_trace_callback(asked.append)
        assert saved_by_answers(connection)["sql"]["held_back"] == 100
    assert sum("JOIN attempts s ON" in query for query in asked) == 1


def test_of_each_fallback_the_estimate_is_made_once(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    for fallback in ("chat", "chat2"):
        answered(book, np.random.default_rng(7), 800, fallback)
    book.write()
    made: list[Traffic] = []

    def counted(traffic: Traffic) -> Alone:
        made.append(traffic)
        return alone(traffic)

    monkeypatch.setattr("router.meter.savings.alone", counted)
    assert figures(book.read())["standing"] == "provisional"
    assert len(made) == 2


def test_a_keys_figure_is_that_of_a_ledger_with_nothing_else(
    connection: sqlite3.Connection, tmp_path: Path, intent: Callable[..., Intent], outcome: Callable[..., Outcome]
) -> None:
    names = dict(connection.execute("SELECT name, id FROM names"))
    by_key = savings_by(connection, "key")
    for key in KEYS:
        alone = Book(tmp_path / f"{key}.sqlite", intent, outcome)
        serve(alone, key)
        with closing(read_ledger(alone.path)) as own:
            expected = {name: value for name, value in savings(own).items() if name not in ("quality", "priced_part")}
        assert by_key[names[key]] == expected
        mine = report(connection, None, None, own=key)
        assert mine.savings["share"] == (expected["share"] or expected["whole"]["share"])
        assert mine.routed["quality"]["pairs"] == 0


@pytest.mark.parametrize(("count", "standing"), [(150, "estimate, unverified"), (600, "provisional")])
def test_a_keys_figure_tells_the_part_of_which_all_money_is_known(book: Book, count: int, standing: str) -> None:
    """Of two domains one has a call without a price, and another key has more of these."""
    rng, told = (
        np.random.default_rng(count),
        {"body": tariffs("chat", sql="list", chat="list"), "key_id": "own"},
    )
    for number in range(count):
        cheap = replace(small(), cost_nusd=40, price_version="list")
        if number % 3 == 0:
            dear = replace(big(), cost_nusd=1000 + int(rng.gamma(2, 400)), price_version="list")
            book.add([dear], arm=Arm.HOLDBACK, shadow=replace(cheap, role=Role.SHADOW), **told)
        else:
            book.add([cheap], arm=Arm.NORMAL, **told)
    for key in ("own", "others", "others"):
        book.add([small()], arm=Arm.NORMAL, **{**told, "label": "other", "key_id": key})
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = report(connection, None, None, own="own").savings
        every = report(connection, None, None).savings["priced_part"]
    part, guess = found["priced_part"], found["same_token_guess"]["priced_part"]
    assert (found["cost_usd"], part["standing"], part["cost_usd"] > 0) == (None, standing, True)
    assert (part["requests"], part["of"]) == (guess["requests"], guess["of"]) == (count, count + 1)
    assert (part["calls_without_price"], part["tokens_without_price"]) == (1, 200)
    assert (every["calls_without_price"], every["of"], every["share"]) == (3, count + 3, part["share"])
    assert (part["low"] is None) == (standing == "estimate, unverified")


@pytest.mark.parametrize("of", ["domain", "policy", "key", "day"])
def test_sums_and_rows_say_the_same_of_every_group(of: str, book: Book) -> None:
    serve(book, *KEYS)
    book.roll_up()
    with closing(read_ledger(book.path)) as connection:
        assert connection.execute("SELECT count(*) FROM hours").fetchone()[0] > 0
        assert savings_by(connection, of) == savings_by(connection, of, divide=rows_first)


def test_one_group_that_is_everything_is_the_figure_of_everything(connection: sqlite3.Connection) -> None:
    whole = savings(connection)
    for of in ("policy", "day"):
        (found,) = savings_by(connection, of).values()
        assert found == {name: whole[name] for name in found}


def test_groups_on_fixed_machines_have_the_batches_that_all_of_them_would_have(book: Book) -> None:
    serve(book, "many", "dear", fallback="fixed")
    with closing(read_ledger(book.path)) as connection:
        whole, by_key = savings(connection), savings_by(connection, "key").values()
    batches = whole["by_fallback"]["fixed"]["fixed_capacity"]
    for each in by_key:
        assert each["by_fallback"]["fixed"]["fixed_capacity"] == pytest.approx(batches)
        assert each["low"]["energy"] < each["share"]["energy"] < each["high"]["energy"]
    together = sum(each["counterfactual"]["energy_j"] for each in by_key)
    assert together == pytest.approx(whole["counterfactual"]["energy_j"], rel=0.02)


def test_an_experts_answers_are_no_fair_sample(connection: sqlite3.Connection) -> None:
    found = report(connection, None, None, "expert")
    assert all("savings" not in group for group in found.to_json()["groups"].values())
    assert "No savings by expert: who answers is known only after the draw" in printed(found)


def test_where_nobody_was_held_back_enough_the_report_says_so(book: Book) -> None:
    serve(book, "few")
    with closing(read_ledger(book.path)) as connection:
        text = printed(report(connection, None, None, "domain"))
    assert (
        "No savings by domain yet: it takes 100 conversations that were held back, and no domain has more than 8."
        in text
    )


@pytest.mark.parametrize("of", ["domain", "policy", "key", "day"])
def test_a_grouped_report_reads_the_ledger_once_and_estimates_nothing_twice(
    of: str, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(book, *KEYS)
    book.roll_up()
    fit, fits, read = router.meter.savings.alone, list[Traffic](), list[str]()
    monkeypatch.setattr(router.meter.savings, "alone", lambda traffic: (fits.append(traffic), fit(traffic))[1])
    with closing(read_ledger(book.path)) as connection:
        connection.set_trace_callback(read.append)
        found = report(connection, None, None, of)
    sums = [query for query in read if "FROM hour_attempts" in query and "reasoning_tokens" in query]
    held = [query for query in read if "JOIN attempts" in query and "conversation" in query]
    assert (len(sums), len(held)) == (1, 1)
    sure = [group for group in found.groups.values() if group.savings["share"] is not None]
    assert len(fits) == 1 + len(sure) > 1, "of all, and of each group that enough was held back of"
