"""The pure parts: percentiles, bins, break-even, reasons, the plane."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from experts.hardware import Hardware
from experts.spec import AnySpec, LlamaCppSpec, OpenAISpec, Power
from router.board.breakeven import RAM_W_PER_GB, Holding, break_even, holding
from router.board.calibration import bins
from router.board.latency import percentiles
from router.board.plane import Plane, Seen
from router.meter.compared import Compared, Sum
from router.meter.cost import avoidable_ppm
from router.meter.ppm import PPM


def test_percentiles_are_waits_that_happened() -> None:
    assert percentiles(range(1_000_000, 101_000_000, 1_000_000)) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert percentiles([7_000_000]) == {"p50": 7.0, "p95": 7.0, "p99": 7.0}
    assert percentiles([]) == {"p50": None, "p95": None, "p99": None}


def test_bins_of_a_perfect_and_of_a_boastful_judge() -> None:
    honest = [(0.75, 1.0)] * 75 + [(0.75, 0.0)] * 25
    assert bins(honest)["ece"] == pytest.approx(0)
    boastful = bins([(1.0, 0.0), (0.95, 1.0)])
    assert (boastful["n"], len(boastful["bins"])) == (2, 1)
    assert boastful["bins"][0]["stated"] == pytest.approx(0.975)
    assert boastful["bins"][0]["turned_out"] == 0.5
    assert boastful["ece"] == pytest.approx(0.475)
    assert boastful["turned_out"] == 0.5
    assert bins([]) == {"n": 0, "ece": None, "turned_out": None, "bins": []}


DAY = date(2026, 11, 1)
POWER = Power(dynamic_w_per_core=2, pue=1.25, source="test", as_of=DAY)
SHARED: dict[str, Any] = {"description": "x", "params_b": 1, "context": 4096}
REMOTE: dict[str, Any] = {**SHARED, "kind": "openai", "url": "http://127.0.0.1:9/v1", "model": "m"}
WEIGHTS = {"source": "file:a.gguf", "sha256": "0" * 64, "licence": "MIT", "size_bytes": 1}
OWNED = Hardware(
    capex_usd=8766, life_years=1, power_w=300, usd_per_kwh=0.2, tokens_per_s=1000, source="quote", as_of=DAY
)
LOCAL = LlamaCppSpec.model_validate(
    {**SHARED, "id": "local", "kind": "llama_cpp", "memory_mb": 600, "weights": WEIGHTS}
)


def even(
    spec: AnySpec, requests: int, spent: Sum, alone: Sum, days: float = 2, priced: set[str] | None = None
) -> dict[str, Any]:
    """Beside a fallback at an API."""
    part = avoidable_ppm(getattr(spec, "capacity", "router"), spec.hardware, POWER.pue)
    taken = Compared(requests, spent, alone, 0, spent.cost_nusd * part, alone.cost_nusd * PPM)
    taken.without_price |= {"local"} if spent.unpriced else set()
    return break_even(holding(spec, POWER, {"gpu:0": 30.0}), taken, days, priced or ())


def test_break_even_is_where_saving_equals_holding() -> None:
    found = even(LOCAL, 50, Sum(0, 1_000_000), Sum(10_000, 50 * 300_000_000 + 1_000_000))
    watts = 600 * 1_048_576 / 1e9 * RAM_W_PER_GB * POWER.pue
    assert found["idle_w"] == pytest.approx(watts)
    energy = found["energy"]
    assert energy["saved_j_per_request"] == 300.0
    assert energy["needed_per_day"] * 300 == pytest.approx(watts * 86_400)
    assert (found["requests_per_day"], energy["pays"]) == (25.0, False)
    assert even(LOCAL, 500, Sum(), Sum(0, 500 * 300_000_000))["energy"]["pays"] is True


def held(saved_j: float, low_j: float, high_j: float, count: int = 1200, on: int = 50) -> dict[str, Any]:
    """What an answer saved by so many held back, of `on` answers of fifty; a thousandth as many dollars."""
    told = {
        name: {"energy_j": on * joules, "avoidable_usd": on * joules / 1000}
        for name, joules in (("value", saved_j), ("low", low_j), ("high", high_j))
    }
    standing = "published" if count >= 300 else "provisional"
    ends = {end: told[end] for end in ("low", "high")}
    return {"requests": on, "of": 50, "held_back": count, "standing": standing, **told["value"], **ends}


def test_what_an_answer_saves_goes_by_those_held_back_or_says_that_it_does_not() -> None:
    taken = Compared(50, Sum(0, 1_000_000), Sum(10_000, 50 * 300_000_000 + 1_000_000))
    found = break_even(holding(LOCAL, POWER, {}), taken, 2, measured=held(200, 180, 220))
    assert (found["saved_by"], found["held_back"]) == ("by 1,200 held back", 1200)
    assert (found["energy"]["saved_j_per_request"], found["money"]["saved_usd_per_request"]) == (200.0, 0.2)
    assert found["energy"]["needed_per_day"] * 200 == pytest.approx(found["idle_w"] * 86_400)
    guess = break_even(holding(LOCAL, POWER, {}), taken, 2)
    assert (guess["saved_by"], guess["held_back"]) == ("by the same tokens, not verified", 0)
    assert guess["energy"]["saved_j_per_request"] == 300.0
    assert break_even(holding(LOCAL, POWER, {}), Compared(), 2)["saved_by"] is None


def test_it_is_said_how_far_those_held_back_go_and_of_which_answers() -> None:
    taken, held_for = Compared(50, Sum(), Sum(0, 50)), holding(LOCAL, POWER, {})
    told = {
        (count, on): break_even(held_for, taken, 2, measured=held(200, 180, 220, count, on))
        for count, on in ((300, 50), (299, 50), (299, 20), (300, 49))
    }
    assert [row["saved_by"] for row in told.values()] == [
        "by 300 held back",
        "by 299 held back, provisional",
        "by 299 held back, provisional, on 20 of 50 answers",
        "by 300 held back, on 49 of 50 answers",
    ]
    assert [row["standing"] for row in told.values()] == ["published", "provisional", "provisional", "published"]
    assert told[299, 20]["measured_on"] == {"requests": 20, "of": 50}
    guess = break_even(held_for, taken, 2)
    assert (guess["standing"], guess["measured_on"]) == ("estimate, unverified", None)


def side(saved_j: float, low_j: float, high_j: float, per_day: float, holds: Holding | None = None) -> dict[str, Any]:
    """Of an expert that holds a joule a day, where nothing else is said."""
    taken, holds = Compared(50, Sum(), Sum(0, 50)), holds or Holding(1 / 86_400, None, "a little")
    found = break_even(holds, taken, 50 / per_day, measured=held(saved_j, low_j, high_j))
    energy: dict[str, Any] = found["energy"]
    return energy


def test_it_pays_only_where_all_of_the_interval_says_so() -> None:
    """Ten requests a day are needed, by the interval eight to twenty."""
    told = {per_day: side(0.1, 0.05, 0.125, per_day) for per_day in (7.9, 8.1, 10.1, 19.9, 20.1)}
    for each in told.values():
        ends = (each["needed_low"], each["needed_per_day"], each["needed_high"])
        assert ends == pytest.approx((8, 10, 20))
        assert (each["saved_j_low"], each["saved_j_high"], each["unknown"]) == (0.05, 0.125, None)
    assert [each["pays"] for each in told.values()] == [False, None, None, None, True]
    assert [each["undecided"] for each in told.values()] == [False, True, True, True, False]


def test_where_an_answer_may_save_nothing_no_number_of_requests_is_surely_enough() -> None:
    for low_j in (0.0, -0.05):
        told = {per_day: side(0.1, low_j, 0.125, per_day) for per_day in (7.9, 8.1, 1e6)}
        for each in told.values():
            assert each["needed_high"] is None
            assert (each["needed_low"], each["needed_per_day"]) == pytest.approx((8, 10))
        assert [(each["pays"], each["undecided"]) for each in told.values()] == [
            (False, False), (None, True), (None, True)
        ]  # fmt: skip
    doubtful = side(-0.1, -0.3, 0.125, 8.1)
    assert (doubtful["needed_per_day"], doubtful["needed_high"], doubtful["undecided"]) == (None, None, True)
    assert doubtful["needed_low"] == pytest.approx(8)
    never = side(-0.1, -0.3, 0.0, 1e6)
    assert (never["needed_per_day"], never["needed_low"], never["needed_high"]) == (None, None, None)
    assert (never["pays"], never["undecided"]) == (False, False)
    nothing = Holding(0.0, 0.0, "nothing")
    assert [side(0.1, low_j, 0.2, 1, nothing)["pays"] for low_j in (0.05, -0.05)] == [True, None]


def test_a_guess_has_no_interval_and_decides_as_before() -> None:
    found = even(LOCAL, 500, Sum(), Sum(0, 500 * 300_000_000))["energy"]
    assert (found["pays"], found["undecided"], found["needed_low"], found["needed_high"]) == (True, False, None, None)
    assert (found["saved_j_low"], found["saved_j_high"]) == (None, None)


def test_a_machine_of_one_s_own_pays_for_itself_in_money_too() -> None:
    idle = OWNED.model_copy(update={"idle_w": 80.0})
    own = OpenAISpec.model_validate({**REMOTE, "id": "own", "hardware": idle, "capacity": "fixed"})
    found = even(own, 1000, Sum(4_000_000_000, 10**9), Sum(50_000_000_000, 10**12))
    money = found["money"]
    assert found["idle_w"] == 100.0
    assert money["held_usd_per_day"] == pytest.approx(24 + 0.1 * 24 * 0.2)
    electricity, serving = (0.3 + 0.08) / 2 * 1.25 * 0.2, (0.3 - 0.08) / 2 * 1.25 * 0.2
    spent_usd = 4 * serving / (1 + electricity)
    assert money["saved_usd_per_request"] == pytest.approx((50 - spent_usd) / 1000, rel=1e-5)
    assert money["needed_per_day"] == pytest.approx(money["held_usd_per_day"] / money["saved_usd_per_request"])
    assert money["needed_per_day"] < found["requests_per_day"]
    assert money["pays"] is True


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    some = (Sum(5, 5), Sum(9_000, 9_000_000))
    owned = OpenAISpec.model_validate({**REMOTE, "id": "own", "hardware": OWNED, "capacity": "fixed"})
    silent = OpenAISpec.model_validate({**REMOTE, "id": "own", "capacity": "fixed"})
    card = LOCAL.model_copy(update={"device": "gpu:1"})
    for spec in (owned, silent, card):
        found = even(spec, 10, *some)
        assert (found["idle_w"], found["energy"]["needed_per_day"], found["energy"]["pays"]) == (None, None, None)
        assert "idle" in found["holds"]
    assert even(LOCAL.model_copy(update={"device": "gpu:0"}), 10, *some)["idle_w"] > 30
    assert even(LOCAL, 10, Sum(0, 5, unpriced=True), some[1])["money"] == {
        "needed_per_day": None, "needed_low": None, "needed_high": None, "pays": None, "undecided": False,
        "unknown": "no price of local", "held_usd_per_day": None, "saved_usd_per_request": None,
        "saved_usd_low": None, "saved_usd_high": None,
    }  # fmt: skip
    since = even(LOCAL, 10, Sum(0, 5, unpriced=True), some[1], priced={"local"})["money"]
    assert since["unknown"] == "local had no price at some time of this period, but has one now"
    remedy = "what it holds is not known: give 'idle_w' under its 'hardware' in registry.yaml"
    assert even(owned, 10, *some)["energy"]["unknown"] == remedy
    assert "idle_w" not in even(owned, 10, *some)["holds"], "said once on a card"
    nobody = even(LOCAL, 0, Sum(), Sum())
    assert (nobody["energy"]["saved_j_per_request"], nobody["energy"]["pays"]) == (None, None)
    assert nobody["energy"]["unknown"] == "nobody asked it in this period"
    at_work = break_even(holding(LOCAL, POWER, {}), Compared(), 2, asked=True)
    told = "none of its answers is compared with the fallback (those by name, for embeddings and to grade never are)"
    assert (at_work["energy"]["unknown"], at_work["money"]["unknown"]) == (told, told)
    assert even(silent, 10, *some)["energy"]["unknown"] == "what it holds is not known"
    unknown = Sum(9_000, 9_000_000, unpriced=True)
    told = even(owned, 10, some[0], unknown)["money"]
    assert (told["saved_usd_per_request"], told["unknown"]) == (None, "the fallback had no price")


def test_what_costs_more_than_the_fallback_never_pays() -> None:
    worse = even(LOCAL, 10, Sum(0, 9), Sum(0, 4))["energy"]
    assert (worse["needed_per_day"], worse["pays"]) == (None, False)
    assert worse["saved_j_per_request"] == pytest.approx(-5e-7)
    remote = OpenAISpec.model_validate({**REMOTE, "id": "api"})
    held = holding(remote, POWER, {})
    assert (held.watts, held.usd_per_day) == (0.0, 0.0)
    assert even(remote, 4, Sum(), Sum(0, 8_000_000))["energy"]["needed_per_day"] == 0.0


def test_what_saves_nothing_never_pays_though_nobody_knows_what_it_holds() -> None:
    silent = Holding(None, None, "a server")
    for value, low, high in ((-0.1, -0.3, -0.01), (-0.1, -0.3, 0.0)):
        found = side(value, low, high, 8.1, silent)
        assert (found["needed_per_day"], found["pays"]) == (None, False)
        assert (found["undecided"], found["unknown"]) == (False, None)
    guess = break_even(silent, Compared(10, Sum(0, 9), Sum(0, 4)), 2)["energy"]
    assert (guess["pays"], guess["unknown"]) == (False, None)
    perhaps = side(-0.1, -0.3, 0.01, 8.1, silent)
    assert (perhaps["pays"], perhaps["unknown"]) == (None, "what it holds is not known")


def test_the_plane_separates_what_differs_and_never_flips() -> None:
    rng = np.random.default_rng(0)
    index = np.repeat([0, 1, 2], [50, 10, 10])
    labels = np.array(["a", "b", "c"])[index]
    vectors = (np.eye(3, 16)[index] + rng.normal(0, 0.02, (70, 16))).astype(np.float32)
    plane, again = Plane.of(vectors, labels), Plane.of(vectors[::-1], labels[::-1])
    assert plane is not None
    assert again is not None
    found = plane.to_json([Seen(vectors[0], "x", False), Seen(vectors[60], "y", True)])
    places = {domain["label"]: np.array([domain["x"], domain["y"]]) for domain in found["domains"]}
    assert list(places) == ["a", "b", "c"]
    apart = min(np.linalg.norm(places[a] - places[b]) for a, b in ("ab", "ac", "bc"))
    first, second = found["requests"]
    assert np.linalg.norm(places["a"] - [first["x"], first["y"]]) < apart / 4
    assert np.linalg.norm(places["c"] - [second["x"], second["y"]]) < apart / 4
    assert (first["expert"], first["escalated"], second["escalated"]) == ("x", False, True)
    assert np.allclose(again.place(vectors[0]), plane.place(vectors[0]), atol=1e-3)


def test_too_few_examples_span_no_plane() -> None:
    assert Plane.of(np.eye(2, dtype=np.float32), np.array(["a", "b"])) is None
