"""From five examples a domain to more outcomes than are looked at one by one, and two hundred experts."""

from __future__ import annotations

import numpy as np

from router.judge import Judge
from router.learn.evidence import Floats, Outcomes
from router.learn.outcomes import SAMPLE

SIZE = 48


def vectors_around(centres: Floats, index: np.ndarray, seed: int) -> Floats:
    noise = np.random.default_rng(seed).normal(0, 0.08, (len(index), SIZE))
    found = centres[index] + noise
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def centres_of(count: int) -> Floats:
    found = np.random.default_rng(9).normal(size=(count, SIZE))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_two_hundred_experts_with_five_examples_each_and_outcomes_of_some() -> None:
    centres, index = centres_of(200), np.repeat(np.arange(200), 5)
    labels = [f"domain {at}" for at in index]
    told = np.arange(60) % 6
    scores = np.full((60, 3), np.nan, np.float32)
    scores[:, 0], scores[::2, 1], scores[:3, 2] = told == 0, 1, 0
    outcomes = Outcomes(("e0", "e1", "e2"), vectors_around(centres, told, 2), np.zeros((60, 4), np.float32), scores)
    judge = Judge({f"e{at}": f"domain {at}" for at in range(200)})
    judge.fit(labels, vectors_around(centres, index, 1), labels, outcomes)
    fresh = vectors_around(centres, np.arange(200), 3)
    found = judge.predict_proba(fresh, np.zeros((200, 4), np.float32))
    assert found.shape == (200, 200)
    assert (found[3:, 3:].argmax(axis=1) == np.arange(197)).mean() > 0.9
    assert judge.judge(fresh[50], np.zeros(4, np.float32)).label == "domain 50"


def test_more_outcomes_than_calibration_looks_at() -> None:
    rng, count = np.random.default_rng(4), 2 * SAMPLE
    task = rng.integers(0, 8, count)
    vectors = vectors_around(centres_of(8), task, 5)
    chance = np.stack([np.linspace(0.1, 0.9, 8)[task], np.full(count, 0.7)], axis=1)
    scores = (rng.random((count, 2)) < chance).astype(np.float32)
    told = Outcomes(("small", "big"), vectors, np.zeros((count, 4), np.float32), scores, task.astype(str))
    judge = Judge({"small": "", "big": ""}).fit((), vectors[:0], (), told)
    found = judge.predict_proba(vectors[:2000], np.zeros((2000, 4), np.float32))
    assert np.abs(found - chance[:2000]).mean() < 0.04
    left = judge.left_out()[1]
    assert len(left.rows) == SAMPLE
    assert np.abs(left.probability.mean(axis=0) - left.scores.mean(axis=0)).max() < 0.02
