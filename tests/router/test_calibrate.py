from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from experts.head import LinearHead
from router.calibrate import LANDMARKS, Familiarity, near

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]


def blobs(count: int, spread: float | list[float], seed: int, classes: int = 4) -> tuple[Floats, Indices]:
    rng = np.random.default_rng(seed)
    index = rng.integers(0, classes, count)
    noise = rng.normal(size=(count, 32)) * np.resize(spread, classes)[index][:, None]
    return unit(np.eye(32)[index] + noise), index


def unit(vectors: NDArray[np.float64]) -> Floats:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def fitted(vectors: Floats, index: Indices) -> tuple[LinearHead, Familiarity]:
    head = LinearHead().fit(vectors, [f"{at:04}" for at in index])
    return head, Familiarity().fit(vectors, index, head.left_out_scores_)


def score(head: LinearHead, familiarity: Familiarity, vector: Floats) -> float:
    scores = head.decision_function(vector[None, :])[0]
    return familiar(familiarity, vector, int(scores.argmax()), float(scores.max()))


def familiar(familiarity: Familiarity, vector: Floats, best: int, score: float) -> float:
    return sum(familiarity.looks(best, score, *near(familiarity.seen(vector, best))))


def test_known_requests_get_uniform_p_values_and_strange_ones_small() -> None:
    head, familiarity = fitted(*blobs(400, 0.1, 1))
    fresh, _ = blobs(400, 0.1, 2)
    p = np.array([familiarity.p_value(score(head, familiarity, vector)) for vector in fresh])
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.04)
    assert p.mean() == pytest.approx(0.5, abs=0.08)
    strange = np.eye(32, dtype=np.float32)[20]
    assert familiarity.p_value(score(head, familiarity, strange)) == pytest.approx(1 / 401)


def test_a_request_must_fit_its_own_class_not_just_any() -> None:
    tight, broad = 0.02, 0.25
    vectors, index = blobs(600, [tight, broad], 1, classes=2)
    head, familiarity = fitted(vectors, index)
    aside = np.random.default_rng(5).normal(size=32) * 0.12
    near_tight, near_broad = (unit(np.eye(32)[at] + aside) for at in (0, 1))
    p_tight, p_broad = (familiarity.p_value(score(head, familiarity, each)) for each in (near_tight, near_broad))
    assert p_tight < 0.05 < p_broad, "as far from the class as its broad sister's own examples, but not as its own"


@pytest.mark.parametrize("counts", [[1], [1, 1], [2, 1], [5, 1], [2, 2, 2], [40, 3]])
def test_few_examples_are_enough_to_answer(counts: list[int]) -> None:
    index = np.repeat(np.arange(len(counts)), counts)
    vectors = unit(np.eye(32)[index] + np.random.default_rng(0).normal(size=(len(index), 32)) * 0.05)
    head, familiarity = fitted(vectors, index)
    for vector in vectors:
        assert np.isfinite(score(head, familiarity, vector))
        assert 0 < familiarity.p_value(score(head, familiarity, vector)) <= 1


def test_examples_that_are_all_the_same_are_no_trouble() -> None:
    head, familiarity = fitted(np.repeat(np.eye(32, dtype=np.float32)[:2], 6, axis=0), np.repeat([0, 1], 6))
    known, strange = np.eye(32, dtype=np.float32)[[0, 9]]
    assert score(head, familiarity, known) > score(head, familiarity, strange)


def test_the_order_of_the_examples_does_not_matter() -> None:
    vectors, index = blobs(200, 0.2, 1)
    turned = np.random.default_rng(3).permutation(200)
    scores = np.eye(4, dtype=np.float32)[index]
    one = Familiarity().fit(vectors, index, scores)
    two = Familiarity().fit(vectors[turned], index[turned], scores[turned])
    probe = blobs(1, 0.2, 9)[0][0]
    assert familiar(one, probe, 2, 0.7) == pytest.approx(familiar(two, probe, 2, 0.7), abs=1e-3)


def test_a_large_class_is_thinned_and_every_example_still_counts() -> None:
    vectors, index = blobs(2 * LANDMARKS + 500, 0.1, 3, classes=2)
    familiarity = Familiarity().fit(vectors, index, np.eye(2, dtype=np.float32)[index])
    assert familiarity.p_value(-1e9) == pytest.approx(1 / (len(vectors) + 1))
    assert familiarity.p_value(1e9) == 1.0
