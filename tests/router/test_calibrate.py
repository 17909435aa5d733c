from __future__ import annotations

import numpy as np
import pytest

from router.calibrate import LANDMARKS, Familiarity


def blobs(count: int, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.eye(32, dtype=np.float32)[:4]
    labels = rng.integers(0, 4, count)
    points = centres[labels] + rng.normal(0, spread, (count, 32)).astype(np.float32)
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), labels.astype(str)


def test_known_requests_get_uniform_p_values_and_strange_ones_small() -> None:
    vectors, labels = blobs(400, 0.1, 1)
    best = np.full(400, 0.9, np.float32)
    fitted = Familiarity().fit(vectors, labels, best)
    fresh, _ = blobs(400, 0.1, 2)
    p = np.array([fitted.p_value(fitted.score(v, 0.9)) for v in fresh])
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.04)
    assert p.mean() == pytest.approx(0.5, abs=0.08)
    strange = np.eye(32, dtype=np.float32)[20]
    assert fitted.p_value(fitted.score(strange, 0.3)) == pytest.approx(1 / 401)


def test_one_example_a_class_is_enough_to_answer() -> None:
    vectors = np.eye(8, dtype=np.float32)[:2]
    fitted = Familiarity().fit(vectors, np.array(["a", "b"]), np.array([0.5, 0.5], np.float32))
    assert 0 < fitted.p_value(fitted.score(vectors[0], 0.5)) <= 1


def test_many_examples_are_thinned_for_lookup_only() -> None:
    vectors, labels = blobs(LANDMARKS + 500, 0.1, 3)
    fitted = Familiarity().fit(vectors, labels, np.full(len(vectors), 0.9, np.float32))
    assert fitted._landmarks.shape == (LANDMARKS, 32)
    assert fitted.p_value(-1e9) == pytest.approx(1 / (len(vectors) + 1))
    assert fitted.p_value(1e9) == 1.0
