from __future__ import annotations

import numpy as np

from router.judge import Judge
from router.learn.evidence import ALIKE, Floats, Outcomes
from router.learn.repeats import FOLDS, praised_once, repeated, too_few
from router.learn.surface import NAMES


def unit(count: int, seed: int) -> Floats:
    found = np.random.default_rng(seed).normal(size=(count, 32))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_what_is_known_twice_is_apart_from_itself() -> None:
    examples, others = unit(100, 0), unit(60, 1)
    outcomes = np.concatenate([others, examples[:30]])
    folds = list(repeated(examples, outcomes))
    assert len(folds) == FOLDS
    assert sorted(np.concatenate([both for both, _ in folds])) == list(range(30))
    for both, apart in folds:
        assert (examples[both] @ outcomes[apart].T).max() < ALIKE
        assert len(apart) == len(outcomes) - len(both)


def test_nothing_known_twice_needs_nothing() -> None:
    assert not list(repeated(unit(50, 0), unit(50, 1)))
    assert not list(repeated(unit(0, 0), unit(50, 1)))


def test_an_example_is_judged_by_outcomes_that_do_not_hold_it() -> None:
    labels, vectors = ["small", "medium"] * 60, unit(120, 3)
    scores = (vectors[:90, :1] > 0).astype(np.float32)
    told = Outcomes(("small",), vectors[:90], np.zeros((90, len(NAMES)), np.float32), scores)

    def unseen(outcomes: Outcomes) -> Floats:
        judge = Judge({"small": "small", "medium": "medium"}).fit(["x"] * 120, vectors, labels, outcomes)
        return judge.left_out()[0].probability

    found = unseen(told)
    for both, apart in repeated(vectors, told.vectors):
        assert np.allclose(found[both], unseen(told.take(apart))[both], atol=1e-6)
        assert not np.allclose(found[both], unseen(told.take(apart[:20]))[both], atol=1e-3)


def test_few_examples_are_told_of_and_those_of_one_template_count_once() -> None:
    few = np.eye(6, dtype=np.float32)
    assert too_few(few[:5]) is None
    assert (too_few(few[:4]) or "").startswith("4 examples are too few")
    assert (too_few(few[:1]) or "").startswith("1 example is too few")
    template = np.repeat(few[:1], 40, axis=0)
    assert (too_few(np.concatenate([few[:2], template])) or "").startswith("42 examples, 2 of which differ, are")


def test_praise_of_one_template_is_heard_once_and_blame_every_time() -> None:
    apart = np.eye(6, dtype=np.float32)
    vectors = np.concatenate([np.repeat(apart[:1], 50, axis=0), np.repeat(apart[1:2], 50, axis=0), apart[2:4]])
    scores = np.full((102, 2), np.nan, np.float32)
    scores[:, 0] = [*([1.0] * 50), *([0.2, 0.9] * 25), 1.0, 1.0]
    found = praised_once(vectors, scores, apart[4:], np.zeros((2, 2), np.float32))
    assert found[:50].tolist() == [True] + [False] * 49
    assert found[50:100].tolist() == [True, True] + [True, False] * 24
    assert found[100:].all()


def test_praise_that_an_example_gives_already_says_nothing_new() -> None:
    vectors = np.eye(6, dtype=np.float32)[:3]
    said = np.array([[1, 0, np.nan], [0, 1, np.nan]], np.float32)
    scores = np.array([[1, np.nan, np.nan], [1, np.nan, np.nan], [1, np.nan, np.nan]], np.float32)
    assert praised_once(vectors, scores, vectors[:2], said).tolist() == [False, True, True]
    scores[:, 2] = 1  # nobody knew how well the third would do
    assert praised_once(vectors, scores, vectors[:2], said).all()
    assert not len(praised_once(vectors[:0], scores[:0], vectors[:0], said[:0]))
