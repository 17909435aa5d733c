from __future__ import annotations

import numpy as np

from eval.splits import by_folds, by_task
from experts.alike import near_duplicates


def test_near_duplicates_never_stand_on_both_sides() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(size=(60, 16)).astype(np.float32)
    vectors = np.concatenate([base, base + rng.normal(0, 0.01, base.shape).astype(np.float32)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    group = near_duplicates(vectors)
    assert (group[:60] == group[60:]).all()
    folds = by_folds(group, 5, seed=0)
    assert sum(int(fold.test.sum()) for fold in folds) == 120
    for fold in folds:
        assert not set(group[fold.test]) & set(group[fold.train])


def test_a_search_that_takes_the_square_of_the_rows_says_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    near_duplicates(np.eye(3000, 8, dtype=np.float32), lambda done, of: told.append((done, of)))
    assert told == [(0, 9_000_000), (1024**2, 9_000_000), (2048**2, 9_000_000), (9_000_000, 9_000_000)]


def test_unseen_tasks_are_unseen() -> None:
    tasks = [f"t{n % 10}" for n in range(100)]
    group = np.arange(100)
    named = np.array(tasks)
    for fold in by_task(tasks, group, 5, seed=0):
        assert not set(named[fold.test]) & set(named[fold.train])
