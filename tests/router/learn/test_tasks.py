from __future__ import annotations

import numpy as np

from router.judge import Judge
from router.learn.evidence import Outcomes
from router.learn.surface import NAMES
from router.learn.tasks import MOST, grouped


def test_a_task_that_one_row_names_is_none_of_its_own() -> None:
    tasks = np.array(["sums", "sums", "row 3", "verse", "verse", "row 6"])
    found = grouped(tasks)
    assert found is not None and found.tolist() == ["sums", "sums", "", "verse", "verse", ""]
    assert grouped(None) is None


def test_of_very_many_tasks_the_largest_are_told_apart() -> None:
    tasks = np.array([f"task {at}" for at in range(MOST + 9) for _ in range(2 + (at < MOST))])
    found = grouped(tasks)
    assert found is not None
    assert (found != "").sum() == 3 * MOST


def test_outcomes_that_number_their_rows_as_tasks_are_learnt_from_as_those_without() -> None:
    """A class for every row of 960 took a minute to fit on a busy machine, and takes memory as the square of rows."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(120, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    features = np.zeros((120, len(NAMES)), np.float32)
    scores = (vectors[:, :2] > 0).astype(np.float32)

    def fitted(tasks: np.ndarray | None) -> Judge:
        told = Outcomes(("small", "big"), vectors, features, scores, tasks)
        return Judge({"small": "", "big": ""}).fit((), vectors[:0], (), told)

    numbered, plain = fitted(np.array([f"HumanEval/{at}" for at in range(120)])), fitted(None)
    assert (numbered.predict_proba(vectors, features) == plain.predict_proba(vectors, features)).all()
