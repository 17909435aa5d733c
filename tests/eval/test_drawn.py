from __future__ import annotations

import json

import numpy as np
import pytest

from eval.bootstrap import Way, calibration_error, drawn, gain, redraws
from eval.drawn import SHARE, Drawn, interval, read_drawn, stored
from eval.few import FEW
from eval.judged import Judged
from eval.metrics import ece, reliability
from eval.outcomes_report import drawn_figures, report


def test_the_interval_of_a_mean_is_what_statistics_say() -> None:
    values = np.random.default_rng(1).normal(size=400)
    found = drawn(lambda weights: float(weights @ values), 400, seed=0)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)


def test_the_same_seed_draws_the_same_requests() -> None:
    first, again, other = (list(redraws(50, seed)) for seed in (3, 3, 4))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not all((a == b).all() for a, b in zip(first, other, strict=True))


def test_a_difference_is_taken_draw_by_draw() -> None:
    """Two figures that move together differ for sure, however wide each one's interval is."""
    wide = np.random.default_rng(0).normal(0, 1, 500)
    better, worse = Drawn(1.0, wide + 1.0), Drawn(0.9, wide + 0.9)
    assert worse.high > better.low
    gained = better.less(worse)
    assert gained.low == pytest.approx(0.1)
    assert gained.high == pytest.approx(0.1)


def test_seeds_are_pooled_about_their_mean() -> None:
    pooled = Drawn.pooled([Drawn(1.0, np.array([0.9, 1.1])), Drawn(3.0, np.array([2.9, 3.1]))])
    assert pooled.value == 2.0
    assert (pooled.low, pooled.high) == pytest.approx((0.9, 3.1), abs=0.02)


def test_a_figure_that_one_seed_never_reaches_is_not_reached() -> None:
    nan = float("nan")
    pooled = Drawn.pooled([Drawn(20.0, np.array([19.0, nan])), Drawn(nan, np.array([nan, nan]))])
    assert pooled.to_json()["value"] is None
    assert Drawn(nan, np.array([nan])).to_json() == {"value": None, "low": None, "high": None}


def test_a_biased_figure_is_centred() -> None:
    """Calibration error grows when rows repeat, so its draws lie above it; the interval is about the value."""
    rng = np.random.default_rng(0)
    claims = rng.random(300)
    truth = (rng.random(300) < claims).astype(float)
    raw = calibration_error(claims, truth, 0)
    assert raw.value == pytest.approx(ece(claims, truth))
    assert raw.draws.mean() > raw.value
    assert raw.centred().draws.mean() == pytest.approx(raw.value)
    assert interval(raw) == {"low": raw.centred().low, "high": raw.centred().high}


def test_an_interval_of_a_share_ends_where_shares_do() -> None:
    raw = np.array([0.95, 0.96, 0.97, 0.98])
    told, bare = interval(Drawn(0.99, raw, SHARE))["high"], interval(Drawn(0.99, raw))["high"]
    assert bare is not None and bare > 1
    assert told == 1
    assert interval(Drawn(float("nan"), np.array([np.nan]), SHARE)) == {"low": None, "high": None}


def judged(size: int) -> Judged:
    """Two models, of which the dearer is better at four requests alone, and a judge that sends them to it last."""
    at = np.arange(size)
    scores = np.stack([at < size - 4, np.ones(size)], axis=1).astype(float)
    claims = np.stack([np.full(size, 0.2), 0.9 - 0.5 * at / size], axis=1)
    costs, single = np.tile([0.0, 1.0], (size, 1)), np.ones(size, np.intp)
    tasks = np.full(size, "")
    return Judged(claims, claims.astype(np.float32), at * 0.5, claims, single, costs, scores, costs, tasks)


def test_no_interval_of_outcomes_leaves_what_is_possible() -> None:
    """CPT80 was told as up to 103.1 % of the calls, and a cost as more than all that can be paid."""
    sure = drawn_figures(judged(12), 0)
    found = {name: interval(each) for name, each in sure.items()}
    assert (sure["cpt80"].value, found["cpt80"]["high"]) == (100, 100)
    assert np.nanpercentile(sure["cpt80"].draws - np.nanmean(sure["cpt80"].draws) + 100, 97.5) > 103
    assert sure["cost_at_best_single"].value == pytest.approx(1)
    assert found["cost_at_best_single"] == {"low": None, "high": None}, "1.018 to 1.018 does not hold its value"


def test_a_gain_has_one_interval() -> None:
    """The report had another one for it than its own `intervals`, and than the record."""
    found, sure = report(judged(30), ("small", "big"), 1, 0)
    for name in ("shuffled", "task_mean"):
        told = {end: found["gain"][name][end] for end in ("low", "high")}
        assert told == found["intervals"][f"gain_{name}"] == interval(sure[f"gain_{name}"])


@pytest.mark.parametrize("size", [FEW - 1, FEW])
def test_few_requests_are_not_drawn_again(size: int) -> None:
    """Nor do seeds make an interval of them: they divide the same few."""
    values = np.arange(size) / size
    found = [drawn(lambda weights: float(weights @ values), size, seed) for seed in range(3)]
    assert found[0].value == pytest.approx(values.mean())
    told = Drawn.pooled([each.centred() for each in found]).to_json()
    assert (told["low"] is None) is (told["high"] is None) is (size < FEW)
    both = {name: each for name, each in drawn_figures(judged(size), 0).items() if np.isfinite(each.low)}
    assert ({"gain_shuffled", "ece"} <= set(both)) is (size >= FEW)


def test_a_figure_that_some_draws_do_not_have_has_no_interval() -> None:
    """A cost that is often never reached has no upper end: what the other draws say is another figure."""
    draws = np.concatenate([np.linspace(9, 11, 97), np.full(3, np.nan)])
    assert interval(Drawn(10.0, draws)) == {"low": None, "high": None}
    assert interval(Drawn(10.0, draws[:99]))["high"] == pytest.approx(11, abs=0.1)


def test_an_interval_that_does_not_hold_its_value_is_not_told() -> None:
    """Draws that are most often alike and seldom far off have their mean, and so their value, beyond the others."""
    draws = np.concatenate([np.linspace(0, 0.01, 980), np.full(20, 50.0)])
    raw = Drawn(1.0, draws)
    assert np.percentile(draws - draws.mean() + 1, 97.5) < 1
    assert interval(raw) == {"low": None, "high": None}


def test_a_difference_of_shares_may_be_below_nought() -> None:
    less, more = (Drawn(at, np.linspace(at - 0.05, at + 0.05, 99), SHARE) for at in (0.1, 0.9))
    found = less.less(more)
    assert found.possible == (-1, 1)
    assert found.low <= -0.8 <= found.high


def test_what_is_stored_is_read_back() -> None:
    kept = Drawn(float("nan"), np.array([1.0, float("nan")]))
    back = read_drawn(json.loads(json.dumps(stored(kept))))
    assert back.possible == kept.possible
    share = Drawn(0.5, np.array([0.4, 0.6]), SHARE)
    assert read_drawn(json.loads(json.dumps(stored(share)))).possible == SHARE
    assert np.isnan(back.value)
    np.testing.assert_array_equal(back.draws, kept.draws)


def test_the_bins_of_a_calibration_plot_are_those_of_its_error() -> None:
    rng = np.random.default_rng(2)
    claims, truth = rng.random(500), rng.integers(0, 2, 500)
    bins = reliability(claims, truth)
    assert sum(each["claims"] for each in bins) == 500
    gap = sum(abs(each["confidence"] - each["right"]) * each["claims"] / 500 for each in bins)
    assert gap == pytest.approx(ece(claims, truth))


def test_ways_that_bring_the_same_are_told_as_even() -> None:
    """Sums in another order differ after the sixteenth digit, which was told as worse, beyond doubt."""
    brings = np.array([[0.1, 0.2, 0.3, 0.7] * 30, [1.0, 0.9, 0.8, 0.6] * 30])
    takes = np.array([[0.1, 0.3, 0.1, 0.7] * 30, [0.7, 0.9, 0.2, 1.1] * 30])
    between = 0.5 * brings[:1] + 0.5 * brings[1:], 0.5 * takes[:1] + 0.5 * takes[1:]
    same = Way(np.vstack([brings[0], between[0][0], brings[1]]), np.vstack([takes[0], between[1][0], takes[1]]))
    found = gain(Way(brings, takes), same, seed=0)
    assert (found.value, found.low, found.high) == (0, 0, 0)
