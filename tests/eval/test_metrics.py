from __future__ import annotations

import math

import numpy as np
import pytest

from eval.metrics import abstain_at, auroc, best_threshold, ece, fpr_at


def test_auroc_by_hand() -> None:
    assert auroc([0.9, 0.8, 0.7, 0.1], [1, 1, 0, 0]) == 1
    assert auroc([0.1, 0.2, 0.3, 0.4], [1, 1, 0, 0]) == 0
    assert auroc([1, 1, 1, 1], [1, 0, 1, 0]) == 0.5
    assert auroc([3, 2, 1], [1, 0, 1]) == 0.5
    assert math.isnan(auroc([1, 2], [1, 1]))


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 5, 60).astype(float), rng.integers(0, 2, 60).astype(bool)
    pairs = [(a > b) + (a == b) / 2 for a in scores[truth] for b in scores[~truth]]
    assert auroc(scores, truth) == pytest.approx(np.mean(pairs))


def test_fpr_keeps_the_promised_share() -> None:
    scores = np.concatenate([np.arange(100, 200), np.arange(0, 110)])
    truth = np.arange(210) < 100
    assert fpr_at(scores, truth) == pytest.approx(5 / 110)  # 95 of 100 score 105 or more; so do 5 negatives


def test_ece_by_hand() -> None:
    assert ece([0.95] * 20, [1] * 19 + [0]) == pytest.approx(0, abs=1e-9)
    assert ece([1.0] * 4, [1, 0, 0, 0]) == pytest.approx(0.75)
    assert ece([0.1] * 5 + [0.9] * 5, [0] * 5 + [1] * 5) == pytest.approx(0.1)


def test_best_threshold_is_the_best_of_all() -> None:
    rng = np.random.default_rng(4)
    scores, inside = rng.normal(size=80), rng.random(80) < 0.8
    right = rng.random(80) < 0.9

    def handled(threshold: float) -> int:
        kept = scores >= threshold
        return int((kept & right & inside).sum() + (~kept & ~inside).sum())

    found = best_threshold(scores, right, inside)
    tried = [handled(t) for t in [*scores, scores.max() + 1]]
    assert handled(found) == max(tried)
    balanced = abstain_at(best_threshold(scores, right, inside, balanced=True), scores, right, inside)
    plain = abstain_at(found, scores, right, inside)
    assert balanced.in_scope_accuracy + balanced.recall >= plain.in_scope_accuracy + plain.recall - 1e-9
