"""The promise of a threshold, checked on worlds whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from router.learn.certify import LITTLE, choose_threshold, stricter


def world(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Losses in {-1, 0, 1} and scores: the surer the score, the rarer a loss."""
    scores = rng.random(n)
    losses = (rng.random(n) < 0.3 * (1 - scores)).astype(float)
    return losses, scores


def test_the_bound_is_broken_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(7)
    broken = kept = 0.0
    for _ in range(200):
        losses, scores = world(1000, rng)
        found = choose_threshold(losses, scores, 0.02, 0.9)
        if found is None:
            continue
        # Mean loss over all requests when those above t are kept: the integral of 0.3 (1 - s) from t to 1.
        broken += 0.15 * (1 - found.at) ** 2 > 0.02
        kept += found.kept
    assert broken / 200 <= 0.15
    assert kept / 200 > 0.2


def test_no_promise_keeps_a_request_where_much_is_expected_to_be_lost() -> None:
    scores = np.linspace(-1, 0.5, 1501)
    found = choose_threshold(np.zeros(1501), scores, 0.02, 0.9)
    assert found is not None
    assert found.at == pytest.approx(-LITTLE)
    assert found.kept == pytest.approx((scores >= found.at).mean())


def test_too_few_requests_certify_nothing() -> None:
    losses, scores = world(20, np.random.default_rng(1))
    losses[:] = 1
    assert choose_threshold(losses, scores, 0.02, 0.9) is None


def test_a_confidence_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        choose_threshold(np.zeros(5), np.zeros(5), 0.02, 1.0)


def test_what_is_promised_of_a_finite_number_holds_for_what_is_seen_of_them() -> None:
    """Calibrated on half, tried on the other half, as `shoal eval outcomes` does: an observed breach counts."""
    assert stricter(0.9, 1000, 10**9) == pytest.approx(0.9)
    assert stricter(0.9, 500, 500) > stricter(0.9, 500, 5000) > 0.9
    rng = np.random.default_rng(11)
    broken = 0.0
    for _ in range(300):
        losses, scores = world(1200, rng)
        found = choose_threshold(losses[:600], scores[:600], 0.02, stricter(0.9, 600, 600))
        kept = scores[600:] >= found.at if found else np.zeros(600, bool)
        broken += float((losses[600:] * kept).mean()) > 0.02
    # 10 % and three standard errors of 300 trials.
    assert broken / 300 <= 0.1 + 3 * (0.09 / 300) ** 0.5
