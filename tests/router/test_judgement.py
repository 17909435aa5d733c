from __future__ import annotations

import numpy as np
import pytest

from router.judgement import Beliefs, Judgement

VALUES = np.array([0.1, 0.75, 0.3], np.float32)
BELIEFS = Beliefs({"b": 0, "a": 1, "c": 2}, VALUES)


def test_beliefs_are_a_mapping_like_any_other() -> None:
    plain = dict(zip("bac", VALUES.tolist(), strict=True))
    assert plain == BELIEFS
    assert list(BELIEFS) == ["b", "a", "c"]
    assert list(BELIEFS.items()) == list(plain.items())
    assert list(BELIEFS.values()) == list(plain.values())
    assert (len(BELIEFS), len(BELIEFS.items())) == (3, 3)
    assert "a" in BELIEFS and "d" not in BELIEFS and ("a", 0.75) in BELIEFS.items()


def test_what_is_told_is_a_number_of_python_s_own() -> None:
    assert [type(BELIEFS["a"]), *map(type, BELIEFS.values())] == [float] * 4
    assert BELIEFS["b"] == float(np.float32(0.1))


def test_who_is_not_known_is_nobody() -> None:
    assert BELIEFS.get("d", 1.0) == 1.0
    with pytest.raises(KeyError):
        BELIEFS["d"]


@pytest.mark.parametrize(
    ("probability", "known", "speaks"),
    [({"a": 0.95, "b": 0.1}, 0.6, True), ({"a": 0.85}, 0.6, False), ({"a": 0.95}, 0.4, False), ({}, 1.0, False)],
)
def test_a_few_words_speak_for_themselves_when_they_are_likely_and_well_known(
    probability: dict[str, float], known: float, speaks: bool
) -> None:
    assert Judgement("a", probability, known, 0.0).speaks_for_itself is speaks
