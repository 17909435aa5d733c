"""Domains that lie close together are told apart by their nearest examples, as far as that is known to help."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from experts.fitted import load_fitted, save_fitted
from experts.head import LinearHead
from experts.regression import softmax
from router.learn.domains import Domains
from router.learn.rivals import GIVEN_BACK, Floats, Indices, Rivals

SIZE = 24


def unit(vectors: NDArray[np.float64]) -> Floats:
    found: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def patchy(each: int, seed: int) -> tuple[Floats, list[str]]:
    """Four domains, every one of six small patches strewn over the same space: no plane parts them, neighbours do."""
    places = np.random.default_rng(0).normal(0, 1, (4, 6, SIZE))
    rng = np.random.default_rng(seed)
    index = np.repeat(np.arange(4), each)
    vectors = places[index, rng.integers(0, 6, len(index))] + rng.normal(0, 0.35, (len(index), SIZE))
    return unit(vectors), [f"domain {at}" for at in index]


def mislabelled(each: int, seed: int) -> tuple[Floats, list[str]]:
    """Four round domains with every fourth label drawn by chance: the nearest example may well be a wrong one."""
    rng = np.random.default_rng(seed)
    index = np.repeat(np.arange(4), each)
    vectors = unit(np.eye(SIZE)[index] + rng.normal(0, 0.25, (len(index), SIZE)))
    index[::4] = rng.integers(0, 4, len(index[::4]))
    return vectors, [f"domain {at}" for at in index]


def right(domains: Domains, scores: Floats, labels: list[str]) -> float:
    return float(np.mean(domains.classes_[scores.argmax(axis=1)] == labels))


def likelihood(domains: Domains, scores: Floats, labels: list[str]) -> float:
    """Mean logarithm of what the right domains were given."""
    own = np.arange(len(labels)), np.searchsorted(domains.classes_, labels)
    return float(np.log(softmax(scores)[own]).mean())


def test_where_neighbours_tell_more_than_a_plane_they_are_heard() -> None:
    domains = Domains.of_examples(*patchy(18, 1))
    vectors, labels = patchy(300, 2)
    assert domains.rivals.weight_ > 0
    alone, settled = domains.head.decision_function(vectors), domains.scores(vectors)
    assert right(domains, settled, labels) > right(domains, alone, labels) + 0.02
    assert likelihood(domains, settled, labels) > likelihood(domains, alone, labels)


def test_where_the_nearest_may_well_be_wrong_nothing_is_lost() -> None:
    domains = Domains.of_examples(*mislabelled(60, 1))
    vectors, labels = mislabelled(300, 2)
    alone, settled = domains.head.decision_function(vectors), domains.scores(vectors)
    assert right(domains, settled, labels) > right(domains, alone, labels) - 0.005
    assert likelihood(domains, settled, labels) > likelihood(domains, alone, labels) - 0.005


def test_the_rest_keep_their_probabilities_but_for_the_temperature() -> None:
    domains = Domains.of_examples(*patchy(18, 1))
    vectors = patchy(20, 2)[0]
    before = domains.head.decision_function(vectors)
    after = softmax(domains.rivals.settled(vectors, before.copy()) / np.float32(domains.rivals.temperature_))
    least = before.argmin(axis=1)[:, None]
    np.testing.assert_allclose(
        np.take_along_axis(after, least, 1), np.take_along_axis(softmax(before), least, 1), rtol=1e-4
    )
    assert np.abs(after - softmax(before)).max() > 0.1


def test_one_and_many_are_settled_the_same() -> None:
    domains = Domains.of_examples(*patchy(18, 1))
    vectors = patchy(20, 2)[0]
    scores = domains.head.decision_function(vectors)
    alone = scores.copy()
    found = [domains.settle(vector, own) for vector, own in zip(vectors, alone, strict=True)]
    np.testing.assert_allclose(domains.scores(vectors), alone, atol=1e-4)
    assert [best for best, _ in found] == alone.argmax(axis=1).tolist()
    assert [best for best, _ in found] != scores.argmax(axis=1).tolist(), "else no rival ever won"
    for (best, seen), vector in zip(found, vectors, strict=True):
        assert seen.tobytes() == domains.familiarity.seen(vector, best).tobytes()


@pytest.mark.parametrize("rivals", [True, False])
def test_an_encoder_that_has_seen_the_examples_makes_all_scores_less_sure_and_no_choice_another(rivals: bool) -> None:
    plain, calm = (Domains.of_examples(*patchy(18, 1), None, times, rivals=rivals) for times in (1.0, 0.7))
    assert bool(plain.rivals.weight_) == rivals and calm.rivals.weight_ == plain.rivals.weight_
    vectors = patchy(20, 2)[0]
    np.testing.assert_allclose(calm.scores(vectors), plain.scores(vectors) * 0.7, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(calm.left_out_scores_, plain.left_out_scores_ * 0.7, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(calm.left_out_known_, plain.left_out_known_, atol=0.03)
    for vector, scores in zip(vectors, calm.head.decision_function(vectors), strict=True):
        calm.settle(vector, scores)
        np.testing.assert_allclose(scores, calm.scores(vector[None])[0], atol=1e-4)
    again = Domains.of(calm.state())
    assert again.scores(vectors).tobytes() == calm.scores(vectors).tobytes()


@pytest.mark.parametrize("ahead", [1e4, -1e4])
def test_however_far_ahead_one_is_the_scores_are_numbers(ahead: float) -> None:
    rivals = Rivals.of({"weight": 2.0, "temperature": 1.0, "by_size": np.zeros(3)})
    scores = np.array([ahead, 0, -1e5], np.float32)
    assert rivals.settle(scores, 0, 1, 0.5) == (ahead > 0)
    np.testing.assert_allclose(scores, [ahead, 0, -1e5], atol=2)


def test_an_example_is_not_its_own_neighbour() -> None:
    vectors, labels = patchy(18, 1)
    head = LinearHead().fit(vectors, labels)
    index = np.searchsorted(head.classes_, labels)
    rivals = Rivals.fit(vectors, index, head.left_out_scores_)
    found = np.mean(rivals.left_out_.argmax(axis=1) == index)
    new, theirs = patchy(300, 2)
    rivals.landmarks = [vectors[index == at] for at in range(4)]
    assert (
        abs(found - np.mean(head.classes_[rivals.settled(new, head.decision_function(new)).argmax(axis=1)] == theirs))
        < 0.1
    )


def uneven(few: int, seed: int) -> tuple[Floats, list[str]]:
    """Patchy domains of sixty examples each, but for the last, which has `few`."""
    vectors, labels = patchy(60, seed)
    return vectors[: 180 + few], labels[: 180 + few]


def test_a_domain_is_not_the_farther_one_for_having_few_examples() -> None:
    domains = Domains.of_examples(*uneven(4, 1))
    vectors, labels = patchy(300, 2)
    own = np.flatnonzero(np.array(labels) == "domain 3")
    mine = [labels[at] for at in own]
    by_size = domains.rivals.by_size_
    found = right(domains, domains.scores(vectors[own]), mine), likelihood(domains, domains.scores(vectors[own]), mine)
    domains.rivals.by_size_ = np.zeros(4)
    counted = (
        right(domains, domains.scores(vectors[own]), mine),
        likelihood(domains, domains.scores(vectors[own]), mine),
    )
    assert domains.rivals.weight_ > 0
    assert by_size[:3].tolist() == [by_size[0]] * 3
    assert by_size[0] > by_size[3]
    assert found[0] > counted[0] + 0.01
    assert found[1] > counted[1] + 0.03


def test_what_many_examples_bring_nearer_is_what_thinning_takes_away() -> None:
    vectors, labels = patchy(64, 1)
    domains = Domains.of_examples(vectors, labels)
    index = np.repeat(np.arange(4), 64)
    rest = domains.head.left_out_scores_.copy()
    rest[np.arange(256), index] = -np.inf
    other, rng = rest.argmax(axis=1), np.random.default_rng(0)
    fallen = []
    for _ in range(200):
        there = rng.random(256) < 0.5
        for at in range(4):
            cosines = vectors[other == at] @ vectors[index == at].T
            fallen.append((cosines.max(axis=1) - cosines[:, there[index == at]].max(axis=1), (other == at).sum()))
    measured = sum(float(each.sum()) for each, _ in fallen) / sum(count for _, count in fallen)
    assert domains.rivals.by_size_ == pytest.approx(GIVEN_BACK * measured * np.log2(64), rel=0.06)


@pytest.mark.parametrize("index", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one domain", "one example each"])
def test_nothing_is_learnt_where_there_is_nothing_to_tell(index: Indices) -> None:
    vectors = patchy(1, 1)[0]
    scores = np.zeros((4, max(index) + 1), np.float32)
    rivals = Rivals.fit(vectors, np.array(index), scores)
    assert (rivals.weight_, rivals.settled(vectors, scores) is scores) == (0.0, True)


def test_what_was_learnt_is_kept(tmp_path: Path) -> None:
    domains = Domains.of_examples(*patchy(18, 1))
    save_fitted(tmp_path / "kept.safetensors", "test", {"domains": domains.state()}, encoder="e", data="d")
    kept = Domains.of(load_fitted(tmp_path / "kept.safetensors", "test", encoder="e", data="d")["domains"])
    vectors = patchy(20, 2)[0]
    assert domains.rivals.weight_ and domains.scores(vectors).tobytes() == kept.scores(vectors).tobytes()
