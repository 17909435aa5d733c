from __future__ import annotations

import json
from base64 import b64encode

import numpy as np
import pytest

from experts.state_file import StateDamaged
from router.promises.drift import LEVEL, STEP, WINDOW, Drift, Reference


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


def again(drift: Drift, reference: Reference | None = None) -> Drift:
    """The same after a restart."""
    return Drift.resumed(reference or drift.reference, json.loads(json.dumps(drift.seen().to_json())))


def test_a_window_that_was_kept_goes_on_where_it_was() -> None:
    rng = np.random.default_rng(13)
    one = Drift(Reference().fit(draw(1000, rng)))
    vectors = draw(2 * WINDOW, rng)
    look(one, vectors[: STEP * 2])
    other = again(again(one))
    assert other.waiting == STEP * 2
    assert look(one, vectors[STEP * 2 :]) == look(other, vectors[STEP * 2 :])
    assert (other.looks, other.drifted) == (one.looks, one.drifted) == (2, False)
    assert other.statistic == pytest.approx(one.statistic, rel=1e-9)


def test_what_is_kept_ends_with_a_step_and_tells_of_no_single_request() -> None:
    rng = np.random.default_rng(14)
    drift = Drift(Reference().fit(draw(300, rng)))
    vectors = draw(WINDOW, rng)
    look(drift, vectors[: STEP - 1])
    assert again(drift).waiting == 0
    assert not again(drift)._before.any()
    look(drift, vectors[STEP - 1 : 2 * STEP + 5])
    assert again(drift).waiting == 2 * STEP


def test_a_refusal_that_was_kept_stands_until_a_window_fits() -> None:
    rng = np.random.default_rng(15)
    drift = Drift(Reference().fit(draw(1000, rng)))
    look(drift, draw(WINDOW + STEP, rng, (0.0, 0.0, 0.0, 1.0)))
    kept = again(drift)
    assert (kept.drifted, kept.statistic, kept.looks, kept.waiting) == (True, drift.statistic, 1, STEP)
    look(kept, draw(20, rng))
    other = kept.against(Reference().fit(draw(1100, rng)))
    assert (other.drifted, other.waiting) == (True, 20), "of sums only nothing is known by another reference"
    look(other, draw(WINDOW - 20, rng))
    assert not other.drifted


@pytest.mark.parametrize(
    "harm",
    [
        {"sums": "!"},
        {"sums": ""},
        {"sums": b64encode(np.full(256, np.nan).tobytes()).decode()},
        {"filled": 5},
        {"filled": WINDOW},
        {"filled": None},
        {"statistic": None},
        {"unknown": 5},
        {"looks": True},
        {"looks": "1"},
        {"drifted": "no"},
        {"statistic": 10**400},
        {"sums": None},
    ],
)
def test_a_damaged_window_is_no_window(harm: dict[str, object]) -> None:
    rng = np.random.default_rng(16)
    drift = Drift(Reference().fit(draw(300, rng)))
    look(drift, draw(WINDOW, rng, (0.0, 0.0, 0.0, 1.0)))
    kept = drift.seen().to_json()
    assert Drift.resumed(drift.reference, kept).drifted
    with pytest.raises(StateDamaged):
        Drift.resumed(drift.reference, kept | harm)
    with pytest.raises(StateDamaged):
        Drift.resumed(drift.reference, {})
