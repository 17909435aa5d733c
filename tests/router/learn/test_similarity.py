"""Few landmarks, the centres of requests, say how alike requests are almost as well as all requests would."""

from __future__ import annotations

import numpy as np
import pytest

from router.learn.similarity import Floats, Shape, Similarity

SHAPE = Shape(vector=1.0, surface=0.05)
COUNT = 24


def requests(count: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Unit vectors around forty centres, most of them around a few, and surface numbers."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(40, 16))
    vectors = centres[np.minimum(rng.geometric(0.12, count), 40) - 1] + rng.normal(0, 0.3, (count, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), rng.normal(size=(count, 3)).astype(np.float32)


def missed(fitted: Similarity, vectors: Floats, features: Floats) -> float:
    """The part of what requests have in common with themselves, one, that their points leave out."""
    points = fitted.looks(vectors, features) @ fitted.axes_
    return float(1 - (points**2).sum(axis=1).mean())


@pytest.mark.parametrize("seed", range(5))
def test_landmarks_say_more_than_as_many_requests(seed: int) -> None:
    seen, unseen = requests(2000, seed), requests(500, seed + 100)
    some = np.random.default_rng(seed).permutation(2000)[:COUNT]
    by_requests = Similarity(SHAPE, COUNT).fit(seen[0][some], seen[1][some])
    by_centres = Similarity(SHAPE, COUNT, seed).fit(*seen)
    assert by_centres.looks(*unseen).shape == (500, COUNT)
    assert missed(by_centres, *unseen) < 0.8 * missed(by_requests, *unseen)


def test_few_requests_are_landmarks_themselves() -> None:
    seen = requests(COUNT - 4)
    looks = Similarity(SHAPE, COUNT).fit(*seen).looks(*seen)
    assert looks.shape == (COUNT - 4, COUNT - 4)
    assert np.sort(looks.max(axis=1)) == pytest.approx(1, abs=1e-5)


def test_the_same_requests_and_seed_have_the_same_landmarks() -> None:
    seen, unseen = requests(300), requests(50, 7)
    first, again, other = (Similarity(SHAPE, COUNT, seed).fit(*seen).looks(*unseen) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_request_that_is_asked_over_and_over_takes_no_landmark_from_others() -> None:
    vectors, features = requests(60)
    often = np.concatenate([np.zeros(400, np.intp), np.arange(60)])
    by_vector = Shape(vector=1.0, surface=0.0)
    fitted = Similarity(by_vector, COUNT).fit(vectors[often], features[often])
    once = Similarity(by_vector, COUNT).fit(vectors, features)
    assert fitted.looks(vectors, features).shape == (60, COUNT)
    assert missed(fitted, vectors, features) < 1.5 * missed(once, vectors, features)
