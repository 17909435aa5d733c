"""What the fallback was declared as, and how large, changed within a period: each holds for the time when it held."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router.meter.audit import audit
from router.meter.kept import hash_of
from router.meter.ledger import read_ledger
from router.meter.paired import read_up_to
from router.meter.planning import seen
from router.meter.record import Arm, Intent, Outcome, Role
from router.meter.report import report
from router.meter.spans import rows_first
from router.meter.verified import savings
from tests.router.meter.test_by_group import savings_by
from tests.router.meter.test_paired import Book, big, book, printed, small

__all__ = ["book"]

HOUR_US = 3_600_000_000
SHARES = ("share", "low", "high")


def declared(capacity: str, params_b: float = 70, batch: float = 8) -> str:
    """What a server keeps of its tariffs, of a fallback that costs 54,321 nano-dollars whichever it is."""
    told = {"price": [1, 1, 1, "list"], "energy_pj": [0, 0], "capacity": "api", "avoidable_ppm": 1_000_000,
            "size": None, "embodied_ng_per_s": 0}  # fmt: skip
    own = {**told, "capacity": capacity, "size": [params_b, None, 16, batch, "h100", None]}
    own["avoidable_ppm"] = 100_000 if capacity == "fixed" else 1_000_000
    shared = {"uw_per_core": 1_920_000, "pue_ppm": 1_000_000, "embodied_ng_per_core_s": 0}
    return json.dumps({**shared, "fallback": "big", "experts": {"sql": told, "big": own}})


def serve(book: Book, body: str, hour: int, many: int, *, uj: int = 2_000_000, every: int = 10, **told: object) -> None:
    """Requests of an hour, one in so many held back, one in five answered by the fallback by choice."""
    rng = np.random.default_rng([hour, many])
    for number in range(many):
        tokens = int(rng.gamma(2, 60)) + 1
        dear = replace(
            big(tokens, uj + 3000 * tokens, "big"), cost_nusd=40_000 + 100 * tokens, co2_ug=250, price_version="list"
        )
        cheap = replace(small(tokens), cost_nusd=40, price_version="list")
        what: dict[str, Any] = {
            "fallback": "big", "body": body, "version": hash_of(body), "ts_us": hour * HOUR_US + number, **told,
        }  # fmt: skip
        if number % every == 0:
            book.add([dear], arm=Arm.HOLDBACK, shadow=replace(cheap, role=Role.SHADOW), **what)
        elif number % 5 == 1:
            book.add([dear], arm=None, **what)
        else:
            book.add([cheap], arm=Arm.NORMAL, **what)
    book.write()


def told(book: Book, since_us: int | None = None, until_us: int | None = None) -> dict[str, Any]:
    with closing(read_ledger(book.path)) as connection:
        return savings(connection, since_us, until_us)


@pytest.fixture
def fixed(tmp_path: Path, intent: Callable[..., Intent], outcome: Callable[..., Outcome]) -> dict[str, Any]:
    """What is said where the fallback's machines were fixed from the first request to the last."""
    other = Book(tmp_path / "fixed.sqlite", intent, outcome)
    serve(other, declared("fixed", batch=16), 1, 2000)
    return told(other)


def test_another_capacity_says_nothing_of_the_time_before_it(book: Book, fixed: dict[str, Any]) -> None:
    """A hundred requests on fixed machines made all of the two thousand before them a matter of paper."""
    serve(book, declared("api"), 1, 2000)
    before = told(book)
    serve(book, declared("fixed", batch=16), 3, 100)
    changed, earlier = told(book), told(book, until_us=3 * HOUR_US)
    assert (earlier["standing"], earlier["held_back"]) == (before["standing"], before["held_back"])
    for name in (*SHARES, "cost_usd", "energy_j", "spent", "counterfactual"):
        assert earlier[name] == before[name]
    for unit in ("cost", "energy", "co2"):
        assert fixed["share"][unit] < changed["share"][unit] < before["share"][unit], unit
        beyond = before["share"][unit] - changed["share"][unit]
        assert beyond < 0.1 * (before["share"][unit] - fixed["share"][unit]), f"{unit}: it held for one in twenty"
    assert (changed["standing"], changed["requests"], changed["outside"]["requests"]) == ("provisional", 2100, 0)
    assert changed["share"] == changed["whole"]["share"]
    serve(book, declared("api"), 5, 1000)
    back = told(book)
    for unit in ("cost", "energy", "co2"):
        assert changed["share"][unit] < back["share"][unit] < before["share"][unit], f"{unit}: one in thirty"
    one = back["by_fallback"]["big"]
    assert (one["capacity"], one["requests"]) == ("api", 3100)
    assert [(each["capacity"], each["requests"]) for each in one["by_capacity"]] == [("api", 3000), ("fixed", 100)]


def test_what_was_declared_while_nobody_was_drawn_is_told_of_all_who_came(book: Book) -> None:
    for hour, capacity, many in ((1, "api", 20), (3, "fixed", 30)):
        body = declared(capacity)
        what: dict[str, Any] = {"fallback": "big", "body": body, "version": hash_of(body)}
        for number in range(many):
            made = [big(expert="big")] if number % 5 == 1 else [small()]
            book.add(made, arm=Arm.OFF, ts_us=hour * HOUR_US + number, **what)
    book.write()
    one = told(book)["by_fallback"]["big"]
    assert (one["share"], one["capacity"]) == (None, "fixed")
    assert [(each["capacity"], each["requests"]) for each in one["by_capacity"]] == [("api", 20), ("fixed", 30)]


def test_batches_are_of_the_time_when_the_machines_were_fixed(book: Book) -> None:
    serve(book, declared("api"), 1, 600)
    serve(book, declared("fixed", batch=16), 3, 600)
    changed, of_machines = told(book), told(book, 3 * HOUR_US)
    api = told(book, until_us=3 * HOUR_US)
    assert (api["standing"], of_machines["standing"]) == ("estimate, unverified", "estimate, unverified"), "each alone"
    assert changed["standing"] == "provisional", "the fallback's answers are the same, whatever they cost"
    one = changed["by_fallback"]["big"]
    assert [each["fixed_capacity"] is None for each in one["by_capacity"]] == [True, False]
    run = one["by_capacity"][1]["fixed_capacity"]
    assert run == one["fixed_capacity"]
    assert {type(each) for each in run.values()} <= {int, float}, "none of numpy's, which no answer can be written with"
    # Three in ten were really answered by it, whatever it answered before: alone a batch of 16 / 0.28 at most.
    assert 16 / 0.32 < run["batch_alone"] < 16 / 0.26
    differs = changed["differs_by"]["energy"]
    assert differs["batches"] > 0
    assert changed["same_tokens"]["energy"] - changed["share"]["energy"] == pytest.approx(
        differs["length"] + differs["batches"] + differs["uncharged"]
    )
    with closing(read_ledger(book.path)) as connection:
        text = printed(report(connection, None, None))
    assert "While the machines of big were fixed: alone it would have run batches of" in text


def test_another_size_is_another_fallback(book: Book) -> None:
    """One id for a model of 200B and then one of 8B: what is known of one says nothing of the other."""
    serve(book, declared("api", 200), 1, 3000)
    before = told(book)
    serve(book, declared("api", 8), 3, 40, uj=100_000)
    few = told(book)
    for name in SHARES:
        assert few[name] == before[name]
    assert few["outside"]["why"] == {"too_few": 40}
    serve(book, declared("api", 8), 5, 2000, uj=100_000)
    both, small_one = told(book), told(book, 3 * HOUR_US)
    counted = [each["counterfactual"]["energy_j"] for each in (before, small_one, both)]
    assert counted[2] == pytest.approx(counted[0] + counted[1], rel=1e-9), "each is estimated by itself, and added"
    one = both["by_fallback"]["big"]
    sizes = [(each["params_b"], each["requests"]) for each in one["by_capacity"]]
    assert (sizes, one["requests"], one["standing"]) == ([(200, 3000), (8, 2040)], 5040, "published")
    assert one["share"] == both["share"]
    with closing(read_ledger(book.path)) as connection:
        (last,) = read_up_to(connection, None, [None])
    (own,) = [each for each in last.by_fallback["big"].segments if each.model is not None and each.model[0] == 8]
    alone = own.traffic.alone
    error = alone.variance[0] ** 0.5 / alone.total[0] * own.traffic.held.effective**0.5
    assert seen(last, "big", 1e4).error == pytest.approx(error), "planned for who serves now"


@pytest.mark.parametrize("of", ["key", "domain", "day"])
def test_sums_groups_and_the_audit_say_the_same_where_terms_changed(book: Book, of: str) -> None:
    for hour, body in enumerate((declared("api"), declared("fixed", batch=16), declared("api"), declared("api", 8))):
        for key in ("a", "b"):
            serve(book, body, 1 + 2 * hour, 500, every=4, key_id=key, label=key)
    raw = told(book)
    book.roll_up()
    with closing(read_ledger(book.path)) as connection:
        assert savings(connection) == raw == savings(connection, divide=rows_first)
        groups = savings_by(connection, of)
        assert groups == savings_by(connection, of, divide=rows_first)
        assert [each for each in audit(connection).findings if "savings" in each.where] == []
    together = sum(each["counterfactual"]["energy_j"] for each in groups.values())
    assert together == pytest.approx(raw["counterfactual"]["energy_j"], rel=0.02)
    batches = raw["by_fallback"]["big"]["by_capacity"][1]["fixed_capacity"]
    for each in groups.values():
        run = next(one["fixed_capacity"] for one in each["by_fallback"]["big"]["by_capacity"] if one["fixed_capacity"])
        assert run == pytest.approx(batches, rel=0.02)
