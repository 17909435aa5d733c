"""The head learns, is honest about how sure it is, and refuses to be used where it was not fitted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from experts.head import LinearHead
from experts.regression import softmax

Floats = NDArray[np.float32]


def clouds(counts: list[int], spread: float, seed: int = 0, dimensions: int = 48) -> tuple[Floats, NDArray[np.str_]]:
    """Unit vectors around one fixed centre per class, `counts[i]` of class i; the larger the spread, the harder."""
    centres = np.random.default_rng(7).normal(size=(len(counts), dimensions))
    index = np.repeat(np.arange(len(counts)), counts)
    noise = np.random.default_rng(seed).normal(size=(len(index), dimensions))
    vectors = (centres[index] + spread * noise).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, np.array([f"label-{at}" for at in index])


def ece(probabilities: Floats, right: NDArray[np.bool_], bins: int = 15) -> float:
    sure = probabilities.max(axis=1)
    which = np.minimum((sure * bins).astype(int), bins - 1)
    return sum(abs(right[which == at].mean() - sure[which == at].mean()) * (which == at).mean() for at in set(which))


def test_it_keeps_scikit_learns_contract() -> None:
    vectors, labels = clouds([20, 30, 10], 0.5)
    head = LinearHead()
    assert head.fit(vectors, labels) is head
    assert head.classes_.tolist() == ["label-0", "label-1", "label-2"]
    for probabilities in (head.predict_proba(vectors), softmax(head.left_out_scores_)):
        assert probabilities.shape == (60, 3) and probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (head.classes_[head.predict_proba(vectors).argmax(axis=1)] == labels).mean() > 0.98
    assert head.predict_proba(vectors[:1])[0] == pytest.approx(head.predict_proba(vectors)[0], abs=1e-5)


@pytest.mark.parametrize("shots", [5, 10, 100])
def test_its_probabilities_mean_what_they_say(shots: int) -> None:
    vectors, labels = clouds([shots] * 12, 1.6)
    unseen, truth = clouds([150] * 12, 1.6, seed=1)
    head = LinearHead().fit(vectors, labels)
    probabilities = head.predict_proba(unseen)
    right = head.classes_[probabilities.argmax(axis=1)] == truth
    assert 0.5 < right.mean() < 0.97, "the task must be neither trivial nor hopeless for this to tell anything"
    assert ece(probabilities, right) < 0.08


def test_left_out_scores_know_less_than_the_fit() -> None:
    vectors, _ = clouds([40], 1)
    labels = np.random.default_rng(3).choice(["a", "b"], len(vectors))
    head = LinearHead().fit(vectors, labels)
    left_out = (head.classes_[head.left_out_scores_.argmax(axis=1)] == labels).mean()
    assert left_out < 0.75, "labels drawn at random cannot be foretold"
    assert head.predict_proba(vectors).max() < 0.9, "nor may the head be sure of them"


def test_a_large_class_does_not_drown_a_small_one() -> None:
    vectors, labels = clouds([500, 10], 2.0)
    unseen, truth = clouds([200, 200], 2.0, seed=1)
    head = LinearHead().fit(vectors, labels)
    found = head.classes_[head.predict_proba(unseen).argmax(axis=1)]
    recalls = [(found[truth == label] == label).mean() for label in head.classes_]
    assert abs(recalls[0] - recalls[1]) < 0.25 and min(recalls) > 0.6


def test_the_same_examples_give_the_same_bits() -> None:
    vectors, labels = clouds([30, 30, 30], 1)
    one, two = LinearHead().fit(vectors, labels), LinearHead().fit(vectors.copy(), labels.tolist())
    assert one.weights_.tobytes() == two.weights_.tobytes() and one.bias_.tobytes() == two.bias_.tobytes()


@pytest.mark.parametrize("counts", [[1], [4], [1, 1], [1, 1, 1], [2, 1], [1, 50], [2, 2], [6000, 2]])
def test_few_examples_are_no_trouble(counts: list[int]) -> None:
    vectors, labels = clouds(counts, 0.5)
    head = LinearHead().fit(vectors, labels)
    for probabilities in (head.predict_proba(vectors), softmax(head.left_out_scores_)):
        assert np.isfinite(probabilities).all() and probabilities.shape == (sum(counts), len(counts))
    assert (head.classes_[head.predict_proba(vectors).argmax(axis=1)] == labels).all()


def test_identical_vectors_with_different_labels_are_even_odds() -> None:
    vectors, _ = clouds([1], 1)
    head = LinearHead().fit(np.repeat(vectors, 20, axis=0), ["a", "b"] * 10)
    assert head.predict_proba(vectors)[0] == pytest.approx([0.5, 0.5], abs=0.02)


def test_examples_and_labels_must_match() -> None:
    vectors, labels = clouds([3, 3], 1)
    for bad in ((vectors[:0], labels[:0]), (vectors, labels[:-1])):
        with pytest.raises(ValueError, match="one label each"):
            LinearHead().fit(*bad)


def test_a_head_with_a_kept_state_answers_with_the_same_bits() -> None:
    vectors, labels = clouds([9, 9], 1)
    head = LinearHead().fit(vectors, np.where(labels == "label-0", "größe 🐟", "b,\"'\n"))
    again = LinearHead.of(head.state())
    assert again.classes_.tolist() == head.classes_.tolist()
    assert again.predict_proba(vectors).tobytes() == head.predict_proba(vectors).tobytes()


def test_a_hint_is_learnt_from_and_never_scored() -> None:
    vectors, labels = clouds([1, 1, 40], 1.5)
    fresh, truth = clouds([60, 60, 60], 1.5, seed=3)
    centres, names = clouds([1, 1, 1], 0)
    plain = LinearHead().fit(vectors, labels)
    hinted = LinearHead().fit(vectors, labels, {**dict(zip(names, centres, strict=True)), "nobody": centres[0]})
    right = [(head.classes_[head.predict_proba(fresh).argmax(axis=1)] == truth).mean() for head in (plain, hinted)]
    assert right[1] > right[0]
    assert hinted.classes_.tolist() == plain.classes_.tolist()
    assert hinted.left_out_scores_.shape == plain.left_out_scores_.shape
    assert LinearHead().fit(vectors, labels, {}).weights_.tobytes() == plain.weights_.tobytes()


def test_rows_without_a_label_teach_a_head_and_leave_it_as_sure_as_it_is_right() -> None:
    vectors, labels = clouds([5] * 12, 1.5)
    asked, _ = clouds([150] * 12, 1.5, seed=5)
    unseen, truth = clouds([150] * 12, 1.5, seed=1)
    heads = LinearHead().fit(vectors, labels), LinearHead().fit(vectors, labels, unlabelled=asked)
    alone, taught = (head.predict_proba(unseen) for head in heads)
    right = [head.classes_[said.argmax(axis=1)] == truth for head, said in zip(heads, (alone, taught), strict=True)]
    assert right[1].mean() > right[0].mean() + 0.02
    assert ece(taught, right[1]) < 0.08
    assert heads[1].left_out_scores_.shape == heads[0].left_out_scores_.shape, "they are never scored themselves"


def test_rows_that_no_head_is_sure_of_teach_nothing() -> None:
    vectors, labels = clouds([5] * 12, 1.5)
    nowhere = np.zeros((40, vectors.shape[1]), np.float32)
    plain, same = LinearHead().fit(vectors, labels), LinearHead().fit(vectors, labels, unlabelled=nowhere)
    np.testing.assert_allclose(same.weights_, plain.weights_, rtol=0.1, atol=0.05)
    none = LinearHead().fit(vectors, labels, unlabelled=nowhere[:0])
    assert none.weights_.tobytes() == plain.weights_.tobytes()


def test_a_class_that_a_fold_of_examples_lacks_is_learnt_beside_requests_without_a_label() -> None:
    """A domain of one example that is left out: no class is divided by how often it does not occur."""
    vectors, labels = clouds([1, 2, 5], 0.3)
    head = LinearHead().fit(vectors, labels, None, clouds([30, 30, 30], 0.3, seed=1)[0])
    assert head.classes_.tolist() == ["label-0", "label-1", "label-2"]
    assert np.isfinite(head.left_out_scores_).all() and np.isfinite(head.predict_proba(vectors)).all()
