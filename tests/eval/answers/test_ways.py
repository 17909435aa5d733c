from __future__ import annotations

import numpy as np
import pytest

from eval.answers.ways import COSTS, Answers, baselines, gained, in_turn, one_each, shown

SCORES = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
FAILED = np.array([[False, False], [True, False], [False, True], [False, False]])
PRICES = {name: np.tile([1.0, 10.0], (4, 1)) for name in COSTS}
ANSWERS = Answers(("small", "big"), SCORES, FAILED, PRICES, np.array(["a", "a", "b", "b"]))
NOTHING = {name: np.zeros(4) for name in COSTS}


def test_everyone_who_was_asked_is_paid() -> None:
    router = {name: np.full(4, 0.5) for name in COSTS}
    way, answered = in_turn(ANSWERS, [[0, 1], [0, 1], [1, 0], [0]], router)
    assert answered.tolist() == [0, 1, 0, 0]
    assert way.costs["energy_j"].tolist() == [1.5, 11.5, 11.5, 1.5]
    assert way.scores.tolist() == [1, 1, 0, 1]


def test_where_all_fail_the_last_one_stands_for_them() -> None:
    failing = Answers(("small", "big"), SCORES * 0, FAILED | True, PRICES, ANSWERS.tasks)
    way, answered = in_turn(failing, [[0, 1]] * 4, NOTHING)
    assert answered.tolist() == [1] * 4
    assert way.costs["cost_usd"].tolist() == [11.0] * 4


def test_baselines_are_what_their_names_say() -> None:
    found = baselines(ANSWERS, fallback=1, answered=np.array([0, 0, 0, 1]))
    quality = {name: way.scores.mean() for name, way in found.items()}
    assert quality["always_fallback"] == quality["only big"] == 0.5
    assert quality["oracle"] == 0.75
    assert found["oracle"].costs["energy_j"].tolist() == [1, 10, 1, 1]  # of equals the one that takes least
    assert quality["random"] == 0.5
    assert found["shuffled"].share == {"small": 0.75, "big": 0.25}
    assert found["shuffled"].costs["energy_j"].tolist() == [3.25] * 4
    assert quality["task_mean"] == pytest.approx(0.5)  # each question is left out of what is known of its task


def test_a_gain_is_of_the_same_questions() -> None:
    more = ANSWERS.of(np.tile(np.arange(4), 4))
    small, big = (one_each(more, np.full(16, at)) for at in (0, 1))
    assert gained(small, small) == {"value": 0.0, "low": 0.0, "high": 0.0, "beats": False}
    assert gained(big, small)["value"] == 0.0
    assert gained(big, small)["low"] < 0 < gained(big, small)["high"]
    said = shown(big)
    assert (said["quality"], said["energy_j"], said["share"]) == (0.5, 10.0, {"big": 1.0})
