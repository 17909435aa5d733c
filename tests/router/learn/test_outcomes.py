from __future__ import annotations

import numpy as np

from router.learn.outcomes import OutcomeModel


def world(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two tasks in two corners of the space; model 0 is right on one, model 1 on the other."""
    rng = np.random.default_rng(seed)
    task = rng.integers(0, 2, n)
    vectors = np.eye(24, dtype=np.float32)[task] + rng.normal(0, 0.15, (n, 24)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    right = np.where(rng.random(n) < 0.9, task, 1 - task)
    scores = np.stack([right == 0, right == 1], axis=1).astype(np.float32)
    return vectors.astype(np.float32), scores, np.array(["a", "b"])[task]


def test_it_knows_who_is_right_where_and_needs_no_task_to_say_so() -> None:
    vectors, scores, tasks = world(400, 0)
    features = np.zeros((400, 4), np.float32)
    model = OutcomeModel().fit(vectors, features, scores, tasks)
    fresh, truth, _ = world(300, 1)
    expected = model.predict_proba(fresh, np.zeros((300, 4), np.float32))
    assert expected.shape == (300, 2)
    assert truth[np.arange(300), expected.argmax(axis=1)].mean() > 0.85
    assert abs(expected.max(axis=1).mean() - 0.9) < 0.08


def test_the_same_data_gives_the_same_model() -> None:
    vectors, scores, tasks = world(200, 2)
    features = np.zeros((200, 4), np.float32)
    once, again = (OutcomeModel().fit(vectors, features, scores, tasks).predict_proba(vectors, features) for _ in "ab")
    assert (once == again).all()
