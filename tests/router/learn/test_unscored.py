"""Requests that nobody scored: which of them are learnt from, and what a judge learns from them."""

from __future__ import annotations

import numpy as np

from router.judge import Judge
from router.learn.evidence import Floats, Outcomes, joined, unscored
from router.learn.harvest import LOOKED_AT, MOST_UNSCORED, Traffic, apart

DIMENSIONS = 48


def unit(vectors: Floats) -> Floats:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def drawn(count: int, seed: int) -> Floats:
    return unit(np.random.default_rng(seed).normal(size=(count, DIMENSIONS)))


def traffic(vectors: Floats) -> Traffic:
    return Traffic(vectors, np.zeros((len(vectors), 2), np.float32), ("balanced",) * len(vectors))


def requests(count: int, domain: int, seed: int, spread: float = 2) -> Floats:
    centre = np.random.default_rng(7 + domain).normal(size=DIMENSIONS)
    return unit(centre + spread * np.random.default_rng(seed).normal(size=(count, DIMENSIONS)))


def test_what_is_asked_again_and_again_is_heard_once_and_what_was_scored_not_at_all() -> None:
    vectors = drawn(5, 0)
    asked = np.concatenate([vectors[:3], vectors[:1], vectors[:1], vectors[3:]])
    found, days = apart(traffic(asked), np.arange(7, dtype=np.int32), vectors[3:4])
    assert found.vectors.tobytes() == vectors[[0, 1, 2, 4]].tobytes()
    assert days.tolist() == [0, 1, 2, 6]
    assert found.experts == () and found.scores.shape == (4, 0)


def test_no_more_than_the_newest_are_taken() -> None:
    asked = drawn(LOOKED_AT + 5, 1)
    found, days = apart(traffic(asked), np.arange(len(asked), dtype=np.int32), asked[:0])
    assert len(found) == len(days) == MOST_UNSCORED
    assert found.vectors.tobytes() == asked[:MOST_UNSCORED].tobytes()
    nothing, never = apart(traffic(asked[:0]), np.empty(0, np.int32), asked[:1])
    assert len(nothing) == len(never) == 0


def test_outcomes_know_which_of_their_requests_nobody_scored() -> None:
    vectors, features = drawn(3, 2), np.zeros((3, 2), np.float32)
    scored = Outcomes(
        ("cook", "gone"), vectors, features, np.array([[1, np.nan], [np.nan, 0], [np.nan] * 2], np.float32)
    )
    assert scored.rest({"cook"}).vectors.tobytes() == vectors[1:].tobytes(), "of no expert that is still there"
    assert len(scored.of({"cook"})) == 1
    whole = joined([scored, unscored(drawn(2, 3), features[:2])])
    assert whole is not None and len(whole) == 5 and len(whole.rest({"cook", "gone"})) == 3


def test_a_judge_of_few_examples_learns_from_requests_that_nobody_scored() -> None:
    """A domain of four examples beside two of two hundred: it is told apart far better, and no other is hurt."""
    sizes = (200, 200, 4)
    vectors = np.concatenate([requests(size, at, at) for at, size in enumerate(sizes)])
    labels = [f"domain {at}" for at, size in enumerate(sizes) for _ in range(size)]
    asked = np.concatenate([requests(200, at, 20 + at) for at in range(3)])
    unseen = np.concatenate([requests(200, at, 40 + at) for at in range(3)])
    truth = np.repeat(np.arange(3), 200)
    features = np.zeros((len(asked), 2), np.float32)
    texts = [str(at) for at in range(len(labels))]
    experts = {f"e{at}": f"domain {at}" for at in range(3)}
    alone = Judge(experts).fit(texts, vectors, labels)
    taught = Judge(experts).fit(texts, vectors, labels, unscored(asked, features))
    right = [judge.predict_proba(unseen, features).argmax(axis=1) == truth for judge in (alone, taught)]
    assert right[1][truth == 2].mean() > right[0][truth == 2].mean() + 0.2
    assert right[1][truth < 2].mean() > right[0][truth < 2].mean() - 0.01
    assert len(taught.left_out()[0].rows) == len(labels), "a promise rests on examples and outcomes alone"
    assert len(taught.left_out()[1].rows) == 0
    stranger = np.concatenate([asked, drawn(200, 60)])
    same = Judge(experts).fit(texts, vectors, labels, unscored(stranger, np.zeros((len(stranger), 2), np.float32)))
    moved = np.abs(same.predict_proba(unseen, features) - taught.predict_proba(unseen, features)).mean()
    assert moved < 0.02, "what is like no domain teaches next to nothing"
