from __future__ import annotations

import numpy as np

from router.promises.drift import LEVEL, WINDOW, Drift, Reference


def draw(n: int, rng: np.random.Generator, shares: tuple[float, ...] = (0.5, 0.3, 0.2)) -> np.ndarray:
    """Unit vectors around as many corners as there are shares."""
    corner = np.eye(64, dtype=np.float32)[rng.choice(len(shares), n, p=shares)]
    vectors = corner + rng.normal(0, 0.15, (n, 64))
    found: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def look(drift: Drift, vectors: np.ndarray) -> list[bool]:
    return [drift.saw(vector) for vector in vectors]


def test_the_same_traffic_is_hardly_ever_taken_for_changed_however_often_one_looks() -> None:
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(5):
        reference = Reference().fit(draw(1500, rng))
        for _ in range(300):
            refused += reference.statistic(draw(WINDOW, rng)) > reference.limit_
    # 1,500 looks at the level, and three standard deviations of so many.
    assert refused <= 1500 * LEVEL + 3 * (1500 * LEVEL) ** 0.5


def test_strange_traffic_is_seen_in_one_window_and_forgiven_in_the_next() -> None:
    rng = np.random.default_rng(6)
    drift = Drift(Reference().fit(draw(1000, rng)))
    assert look(drift, draw(WINDOW, rng)) == [False] * (WINDOW - 1) + [True]
    assert not drift.drifted
    strange = draw(WINDOW, rng, (0.0, 0.0, 0.0, 1.0))
    assert look(drift, strange) == [False] * (WINDOW - 1) + [True]
    assert drift.drifted
    assert drift.statistic is not None
    assert drift.statistic > drift.reference.limit_
    assert look(drift, draw(WINDOW, rng))[-1]
    assert not drift.drifted
    assert drift.looks == 3


def test_another_mix_of_known_requests_is_another_traffic() -> None:
    rng = np.random.default_rng(7)
    drift = Drift(Reference().fit(draw(1000, rng)))
    look(drift, draw(WINDOW, rng, (0.0, 0.0, 1.0)))
    assert drift.drifted


def test_one_prompt_over_and_over_is_not_like_the_examples() -> None:
    rng = np.random.default_rng(8)
    drift = Drift(Reference().fit(draw(1000, rng)))
    look(drift, np.repeat(draw(1, rng), WINDOW, axis=0))
    assert drift.drifted


def test_what_has_drifted_is_not_forgiven_by_other_evidence_unless_it_is_like_it() -> None:
    rng = np.random.default_rng(11)
    drift = Drift(Reference().fit(draw(1000, rng)))
    strange = draw(WINDOW, rng, (0.0, 0.0, 0.0, 1.0))
    look(drift, strange)
    look(drift, strange[:40])
    more = drift.against(Reference().fit(draw(1100, rng)))
    assert (more.drifted, more.looks, more.waiting) == (True, 1, 40)
    assert more.statistic is not None
    assert more.statistic > more.reference.limit_
    assert not drift.against(Reference().fit(draw(1000, rng, (0.0, 0.0, 0.0, 1.0)))).drifted
    look(more, draw(WINDOW, rng))
    assert (drift.looks, drift.waiting) == (1, 40), "the one that served until now is left as it is"


def test_what_has_not_drifted_is_not_refused_before_its_window_is_full() -> None:
    rng = np.random.default_rng(12)
    drift = Drift(Reference().fit(draw(1000, rng)))
    look(drift, draw(WINDOW + 40, rng))
    other = drift.against(Reference().fit(draw(1000, rng, (0.0, 0.0, 0.0, 1.0))))
    assert (other.drifted, other.waiting) == (False, 40)
    assert look(other, draw(WINDOW - 40, rng))[-1]
    assert other.drifted


def test_it_keeps_one_window_and_no_more() -> None:
    rng = np.random.default_rng(9)
    drift = Drift(Reference().fit(draw(200, rng)))
    look(drift, draw(3 * WINDOW + 5, rng))
    assert (drift.looks, drift.waiting) == (3, 5)
    assert drift._ring is not None
    assert drift._ring.shape == (WINDOW, 64)


def test_the_same_vectors_give_the_same_limit() -> None:
    vectors = draw(300, np.random.default_rng(10))
    assert Reference().fit(vectors).limit_ == Reference().fit(vectors).limit_ > 0
