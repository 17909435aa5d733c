"""The promise of a threshold, checked on worlds whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from experts.policy import LEAST_CONFIDENCE, LEAST_RISK, MOST_CONFIDENCE
from router.learn.certify import GRID, LITTLE, Tally, first_failing, least_n


def world(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Losses of 0 and 1, and scores that say nothing of them: the sum of the losses walks evenly over every bound."""
    return (rng.random(n) < 0.3).astype(float), rng.random(n)


def tallies(losses: np.ndarray, scores: np.ndarray) -> Iterator[Tally]:
    order = np.argsort(-scores)
    harms = np.concatenate([[0], np.cumsum(losses[order])])
    for at, kept in zip(GRID, np.searchsorted(-scores[order], -GRID, side="right"), strict=True):
        yield Tally(float(at), int(kept), int(harms[kept]), 0, float(harms[kept]))


def test_a_promise_holds_for_what_is_seen_of_as_many_requests_to_come() -> None:
    """With the error allowed for the mean of all, one in seven was broken here."""
    rng = np.random.default_rng(1)
    broken = kept = 0.0
    for _ in range(300):
        found = first_failing(tallies(*world(1000, rng)), 1000, 0.02, 0.9)
        losses, scores = world(1000, rng)
        if found is not None:
            broken += float(losses[scores >= found.at].sum()) / 1000 > 0.02
            kept += found.kept
    assert broken / 300 <= 0.1
    assert kept / 300 > 0.02


def test_where_scores_tell_what_is_lost_much_is_kept_and_the_mean_holds() -> None:
    rng = np.random.default_rng(7)
    broken = kept = 0.0
    for _ in range(200):
        scores = rng.random(1000)
        losses = (rng.random(1000) < 0.3 * (1 - scores)).astype(float)
        found = first_failing(tallies(losses, scores), 1000, 0.02, 0.9)
        if found is None:
            continue
        # Mean loss over all requests when those above t are kept: the integral of 0.3 (1 - s) from t to 1.
        broken += 0.15 * (1 - found.at) ** 2 > 0.02
        kept += found.kept
    assert broken / 200 <= 0.1
    assert kept / 200 > 0.2


def test_no_promise_keeps_a_request_where_much_is_expected_to_be_lost() -> None:
    scores = np.linspace(-1, 0.5, 1501)
    found = first_failing(tallies(np.zeros(1501), scores), 1501, 0.02, 0.9)
    assert found is not None
    assert found.at == pytest.approx(-LITTLE)
    assert found.kept == pytest.approx((scores >= found.at).mean())


def test_losses_alone_certify_nothing() -> None:
    _, scores = world(20, np.random.default_rng(1))
    assert first_failing(tallies(np.ones(20), scores), 20, 0.02, 0.9) is None


def test_a_confidence_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        first_failing(tallies(np.zeros(5), np.zeros(5)), 5, 0.02, 1.0)


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.99])
def test_fewer_requests_than_it_takes_certify_nothing_without_a_single_loss(confidence: float) -> None:
    least = least_n(0.02, confidence)
    assert first_failing(tallies(np.zeros(2 * least), np.ones(2 * least)), 2 * least, 0.02, confidence)
    assert not first_failing(tallies(np.zeros(least - 1), np.ones(least - 1)), least - 1, 0.02, confidence)


def test_whatever_a_policy_may_promise_takes_a_number_of_requests() -> None:
    for confidence in (LEAST_CONFIDENCE, MOST_CONFIDENCE):
        assert 1e5 < least_n(LEAST_RISK, confidence) < 1e8
