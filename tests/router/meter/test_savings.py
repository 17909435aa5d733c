from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from router.meter.clustered import moves
from router.meter.doubt import coefficient_interval
from router.meter.savings import (
    ENOUGH,
    LEAST,
    Alone,
    Estimate,
    Held,
    Standing,
    Traffic,
    added,
    estimate,
    paired_gap,
    standing,
)


def held(size: int, *, seed: int = 0, rate: float = 0.02, turns: int = 1, domains: int = 1) -> Held:
    rng = np.random.default_rng(seed)
    points = rng.gamma(2.0, 100.0, (size, 2))
    fallback = points @ [[0.2], [0.9]] + rng.normal(0, 20, (size, 1))
    return Held(
        rng.integers(0, domains, size), points, fallback, np.full(size, rate), np.repeat(np.arange(size), turns)[:size]
    )


def traffic(of: Held, rows: float = 10_000, spent: float = 1e6) -> Traffic:
    sums = np.outer([rows], of.points.mean(axis=0))
    return Traffic(np.array([spent]), of.fallback.sum(axis=0), np.array([rows]), sums, of)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, Standing.UNVERIFIED),
        (LEAST - 1, Standing.UNVERIFIED),
        (LEAST, Standing.PROVISIONAL),
        (ENOUGH - 1, Standing.PROVISIONAL),
        (ENOUGH, Standing.PUBLISHED),
    ],
)
def test_standing_counts_what_was_held_back(count: int, said: Standing) -> None:
    assert standing(held(count)) is said


def test_standing_counts_conversations_not_requests() -> None:
    assert standing(held(ENOUGH, turns=4)) is Standing.UNVERIFIED


def test_few_long_conversations_among_short_ones_count_as_few() -> None:
    of = held(720)
    uneven = replace(of, conversation=np.concatenate([np.zeros(361, int), np.arange(1, 360)]))
    assert uneven.conversations == 360
    assert uneven.effective == round(720**2 / (361**2 + 359)) == 4
    assert standing(uneven) is Standing.UNVERIFIED
    with pytest.raises(ValueError, match="4 conversations held back, 100 are needed"):
        estimate(traffic(uneven))


def test_those_drawn_at_a_low_rate_among_others_count_for_more() -> None:
    of = held(400)
    assert replace(of, rate=np.repeat([0.5, 0.005], [200, 200])).effective == 202


def test_what_a_conversation_moves_is_what_the_total_is_without_it() -> None:
    rng = np.random.default_rng(4)
    talk, stratum = rng.integers(0, 60, 400), rng.integers(0, 2, 400)
    values, weight, rows = rng.gamma(2, 50, (400, 2)), rng.uniform(1, 40, 400), np.array([9_000.0, 2_000.0])
    mean = np.array([np.average(values[stratum == each], axis=0, weights=weight[stratum == each]) for each in (0, 1)])
    found = moves(values - mean[stratum], weight, talk, stratum, rows)
    for at, left in enumerate(np.unique(talk)):
        wanted = np.zeros(2)
        for each in (0, 1):
            others, many = (stratum == each) & (talk != left), len(np.unique(talk[stratum == each]))
            without = np.average(values[others], axis=0, weights=weight[others])
            wanted += rows[each] * (mean[each] - without) * ((many - 1) / many) ** 0.5
        assert found[at] == pytest.approx(wanted)


def test_conversations_of_one_size_are_as_far_off_as_their_deviations_say() -> None:
    values = np.random.default_rng(5).gamma(2, 50, 300)
    apart, talk = values - values.mean(), np.repeat(np.arange(100), 3)
    found = moves(apart[:, None], np.full(300, 19.0), talk, np.zeros(300, int), np.ones(1))
    by_talk = apart.reshape(100, 3).sum(axis=1)
    assert (found**2).sum() == pytest.approx(100 / 99 * (by_talk**2).sum() / 300**2)


def test_a_domain_of_one_long_conversation_is_told_with_the_others() -> None:
    """By itself its own mean would be certain: there is nobody in it to differ from."""
    of = held(430, domains=1)
    long = np.repeat([True, False], [30, 400])
    shared = replace(
        of, domain=np.where(long, 1, 0), conversation=np.where(long, 0, np.arange(430)),
        fallback=of.fallback + 400.0 * long[:, None],
    )  # fmt: skip
    rows = np.array([1_000.0, 9_000.0])
    found = estimate(Traffic(np.array([1e6]), np.zeros(1), rows, np.outer(rows, of.points.mean(axis=0)), shared))[0]
    alone = estimate(traffic(of))[0]
    assert found.error > 3 * alone.error


def test_one_conversation_in_two_domains_errs_in_both() -> None:
    of = held(800)
    lifted = np.repeat(np.random.default_rng(6).normal(0, 100, 400), 2)[:, None]
    two = replace(of, domain=np.tile([0, 1], 400), fallback=of.fallback + lifted)
    rows = np.array([5_000.0, 5_000.0])
    of_two = Traffic(np.array([1e6]), np.zeros(1), rows, np.outer(rows, of.points.mean(axis=0)), two)
    together = replace(of_two, held=replace(two, conversation=np.repeat(np.arange(400), 2)))
    assert estimate(together)[0].error > 1.3 * estimate(of_two)[0].error


def test_nothing_is_said_from_too_few() -> None:
    with pytest.raises(ValueError, match="99 conversations held back, 100 are needed"):
        estimate(traffic(held(LEAST - 1)))


def test_pairs_that_were_lost_bend_nothing() -> None:
    """What the fallback took for them is known all the same; the others tell of the rest."""
    whole = held(400, domains=2)
    rng, found = np.random.default_rng(1), []
    kept_by = replace(traffic(whole), rows=np.array([6_000.0, 4_000.0]), sums=np.full((2, 2), 1e6))
    for _ in range(300):
        kept = rng.random(400) < 0.7
        left = Held(*(getattr(whole, each.name)[kept] for each in fields(Held)))
        found.append(estimate(replace(kept_by, held=left))[0].counterfactual)
    of_all = estimate(kept_by)[0].counterfactual
    assert np.mean(found) == pytest.approx(of_all, abs=3 * np.std(found) / len(found) ** 0.5)


def test_what_follows_from_the_numbers_is_known_exactly() -> None:
    of = held(400)
    exact = Held(of.domain, of.points, of.points @ [[0.2], [0.9]], of.rate, of.conversation)
    found = estimate(traffic(exact))[0]
    truth = exact.fallback.sum() + 10_000 * exact.points.mean(axis=0) @ [0.2, 0.9]
    assert found.counterfactual == pytest.approx(truth, rel=1e-4)  # what shrinkage leaves
    assert found.high - found.low < 1e-3


def test_units_are_estimated_apart() -> None:
    of = held(400)
    both = Held(of.domain, of.points, np.hstack([of.fallback, 3 * of.fallback]), of.rate, of.conversation)
    two = Traffic(np.array([1e6, 3e6]), both.fallback.sum(axis=0), np.array([1e4]), np.array([[2e6, 2e6]]), both)
    one, three = estimate(two)
    assert three.counterfactual == pytest.approx(3 * one.counterfactual)
    assert three.share == pytest.approx(one.share)


def test_more_held_back_is_more_exact() -> None:
    few, many = (estimate(traffic(held(size)))[0] for size in (150, 2400))
    assert many.high - many.low < 0.6 * (few.high - few.low)


def test_a_conversation_counts_once() -> None:
    alone = held(800)
    rng = np.random.default_rng(1)
    shared = np.repeat(rng.normal(0, 60, 200), 4)[:, None]
    apart = Held(alone.domain, alone.points, alone.fallback + shared, alone.rate, np.arange(800))
    together = Held(apart.domain, apart.points, apart.fallback, apart.rate, np.repeat(np.arange(200), 4))
    assert estimate(traffic(together))[0].error > 1.4 * estimate(traffic(apart))[0].error


def test_those_held_back_at_a_high_rate_stand_for_fewer() -> None:
    of = held(1000)
    cheap = of.points @ [[0.2], [0.9]]
    rate = np.repeat([0.05, 0.005], 500)
    dearer = cheap + np.repeat([0.0, 100.0], 500)[:, None]
    found = estimate(traffic(Held(of.domain, of.points, dearer, rate, of.conversation)))[0]
    weights = (1 - rate) / rate
    expected = 10_000 * (cheap.mean() + 100 * weights[500:].sum() / weights.sum())
    assert found.counterfactual - dearer.sum() == pytest.approx(expected, rel=0.02)


def test_a_domain_of_its_own_level_is_seen() -> None:
    of = held(1200, domains=3)
    lifted = Held(of.domain, of.points, of.fallback + 500.0 * of.domain[:, None], of.rate, of.conversation)
    means = of.points.mean(axis=0)
    rows = np.array([100.0, 100.0, 10_000.0])
    found = estimate(Traffic(np.array([1e6]), np.zeros(1), rows, np.outer(rows, means), lifted))[0]
    assert found.counterfactual == pytest.approx(rows @ (means @ [0.2, 0.9] + 500 * np.arange(3)), rel=0.01)


def test_domains_nobody_was_held_back_from_are_not_forgotten() -> None:
    of = held(300, domains=1)
    rows = np.array([5_000.0, 5_000.0])
    found = estimate(Traffic(np.array([1e6]), np.zeros(1), rows, np.outer(rows, of.points.mean(axis=0)), of))[0]
    assert found.counterfactual == pytest.approx(10_000 * of.fallback.mean(), rel=0.02)


def test_a_router_that_costs_more_than_it_saves_says_so() -> None:
    found = estimate(traffic(held(400), spent=1e9))[0]
    assert isinstance(found, Estimate)
    assert found.high < 0


def test_estimates_of_several_fallbacks_are_added_up_with_their_variances() -> None:
    first, second = traffic(held(400, seed=1)), traffic(held(150, seed=2), rows=4_000, spent=5e5)
    apart = [estimate(first)[0], estimate(second)[0]]
    together = estimate(first, second)[0]
    assert together.counterfactual == pytest.approx(sum(each.counterfactual for each in apart))
    assert together.error == pytest.approx(np.hypot(*(each.error for each in apart)))
    assert together.share == pytest.approx(1 - 1.5e6 / together.counterfactual)
    assert together.low < together.share < together.high


def test_a_segment_with_too_few_is_refused_among_others_too() -> None:
    with pytest.raises(ValueError, match="5 conversations held back, 100 are needed"):
        estimate(traffic(held(400)), traffic(held(5)))


class TestCoefficients:
    def test_what_was_measured_leaves_no_doubt(self) -> None:
        assert coefficient_interval({"small": 10.0, "big": 40.0}, {"big": 100.0}, {}) == (0.5, 0.5)

    def test_the_fallback_errs_alike_on_both_sides(self) -> None:
        low, high = coefficient_interval({"big": 40.0}, {"big": 100.0}, {"big": 0.35})
        assert low == pytest.approx(0.6)
        assert high == pytest.approx(0.6)

    def test_doubt_of_a_table_is_a_factor_of_two(self) -> None:
        low, high = coefficient_interval({"small": 50.0}, {"big": 100.0}, {"small": 0.35})
        assert low == pytest.approx(1 - 0.5 * np.exp(1.96 * 0.35), abs=0.05)
        assert high == pytest.approx(1 - 0.5 * np.exp(-1.96 * 0.35), abs=0.05)

    def test_watts_err_alike_in_the_router_and_in_a_fallback_on_the_same_cores(self) -> None:
        low, high = coefficient_interval({"watts": 40.0}, {"watts": 100.0}, {"watts": 0.17})
        assert (low, high) == (pytest.approx(0.6), pytest.approx(0.6))

    def test_it_holds_the_estimate_however_skewed(self) -> None:
        spread = {"a": 3.0, "b": 3.0, "c": 3.0}
        low, high = coefficient_interval({"a": 30.0, "b": 30.0, "c": 30.0}, {"big": 100.0}, spread)
        assert low <= 1 - 90 / 100 <= high


def test_the_gap_in_quality_is_paired() -> None:
    rng = np.random.default_rng(3)
    hard = rng.random(500)
    small, fallback = hard, np.minimum(hard + 0.05, 1.0)
    mean, low, high = paired_gap(small, fallback, np.full(500, 0.02), np.arange(500))
    assert low < mean < high
    assert mean == pytest.approx((fallback - small).mean())
    assert high - low < 0.01


def of_money(total: float, error: float, part: float = 1.0) -> Alone:
    """Of which a part is avoidable, whatever the total is."""
    return Alone(np.array([total]), np.array([part * total]), np.outer([1, part], [1, part]) * error**2, 10**6)


def test_where_all_is_avoidable_the_interval_is_that_of_the_counterfactual() -> None:
    (found,) = added([np.array([30.0])], [of_money(100.0, 5.0)])
    reach = 1.959964 * 5
    assert found.share == pytest.approx(0.7)
    assert (found.low, found.high) == pytest.approx((1 - 30 / (100 - reach), 1 - 30 / (100 + reach)), rel=1e-5)


def test_where_nothing_is_avoidable_nothing_is_saved_and_that_is_certain() -> None:
    (found,) = added([np.array([0.0])], [of_money(100.0, 5.0, 0.0)])
    assert (found.share, found.low, found.high) == (0.0, 0.0, 0.0)
    (found,) = added([np.array([20.0])], [of_money(100.0, 5.0, 0.0)])
    assert found.low < found.share == -0.2 < found.high < 0, "what small experts really add"


def test_the_interval_covers_where_fallbacks_differ_in_what_is_avoidable() -> None:
    """One is an API, one a machine of which a tenth is electricity; both counterfactuals are in doubt."""
    rng = np.random.default_rng(5)
    parts, truths, errors = np.array([1.0, 0.1]), np.array([60.0, 40.0]), np.array([6.0, 5.0])
    truth, covered = (parts @ truths - 25) / truths.sum(), 0
    for totals in rng.normal(truths, errors, (2000, 2)):
        each = [of_money(*map(float, told)) for told in zip(totals, errors, parts, strict=True)]
        (found,) = added([np.array([20.0]), np.array([5.0])], each)
        covered += found.low <= truth <= found.high
    assert 0.935 < covered / 2000 < 0.965
