"""A domain of few examples takes what is its own; nothing else changes for the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experts.fitted import load_fitted, save_fitted
from router.judge import Judge
from router.learn.domains import Domains
from router.learn.evidence import unscored
from router.learn.joined import Joined, domains_of, domains_of_examples, of_few
from router.learn.outside import OUTSIDE

WIDTH = 24
FEATURES = np.zeros(11, np.float32)


def clouds(seed: int, **counts: int) -> tuple[np.ndarray, np.ndarray]:
    """So many unit vectors of each named domain, about middles of their own, and their labels."""
    random, middles = np.random.default_rng(seed), np.random.default_rng(0)
    labels = np.array([name for name, count in counts.items() for _ in range(count)])
    middle = {name: middles.normal(size=WIDTH) for name in ("a", "b", "c", "new", "newer", OUTSIDE)}
    vectors = np.stack([middle[name.replace("nobody", OUTSIDE)] for name in labels])
    vectors = vectors + random.normal(size=vectors.shape) * 1.1
    labels[labels == "nobody"] = OUTSIDE
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def judged(vectors: np.ndarray, labels: np.ndarray, **rest: object) -> Judge:
    experts = {name: name for name in np.unique(labels) if name != OUTSIDE}
    return Judge(experts).fit([str(at) for at in range(len(labels))], vectors, labels, **rest)  # type: ignore[arg-type]


def seen(judge: Judge, vectors: np.ndarray) -> np.ndarray:
    return judge.predict_proba(vectors, np.tile(FEATURES, (len(vectors), 1)))


TAUGHT = {"a": 160, "b": 120, "c": 140, "nobody": 60}


def test_few_are_those_that_have_less_than_a_quarter_of_what_the_middle_one_has() -> None:
    counts = {"a": 80, "b": 100, "c": 120, "new": 22, "newer": 9}
    labels = clouds(0, **counts)[1]
    assert of_few(labels).tolist() == ["newer"], "the middle one has 80, a quarter of that is 20"
    assert of_few(clouds(0, a=20, b=20, c=19)[1]).tolist() == []
    assert of_few(clouds(0, a=5000, b=100, c=100)[1]).tolist() == [], "one large one makes nobody small"


@pytest.mark.parametrize("joining", [{"new": 20}, {"new": 20, "newer": 12}])
def test_the_others_share_what_is_left_as_they_did_and_are_as_familiar(joining: dict[str, int]) -> None:
    vectors, labels = clouds(1, **TAUGHT, **joining)
    here = ~np.isin(labels, list(joining))
    before, after = judged(vectors[here], labels[here]), judged(vectors, labels)
    asked = clouds(2, a=40, b=40, c=40, nobody=20, **dict.fromkeys(joining, 40))[0]
    kept = [after.classes_.tolist().index(name) for name in before.classes_]
    joined = [at for at in range(len(after.classes_)) if at not in kept]
    once, now = seen(before, asked), seen(after, asked)
    theirs = now[:, kept].max(axis=1) > now[:, joined].max(axis=1)
    assert 100 < theirs.sum() < len(asked) - 20
    shared = once[theirs] / once[theirs].sum(axis=1, keepdims=True)
    assert np.allclose(now[theirs][:, kept] / now[theirs][:, kept].sum(axis=1, keepdims=True), shared, atol=1e-5)
    assert (now[theirs][:, kept] <= once[theirs] + 1e-5).all(), "a domain that joins can only take"
    for vector, stays in zip(asked, theirs, strict=True):
        old, new = before.judge(vector, FEATURES), after.judge(vector, FEATURES)
        if stays:
            assert (new.known, new.outside) == pytest.approx((old.known, old.outside), abs=1e-6)


def test_what_joined_takes_its_own() -> None:
    judge = judged(*clouds(1, **TAUGHT, new=20))
    own = seen(judge, clouds(3, new=100)[0])
    assert (own.argmax(axis=1) == judge.classes_.tolist().index("new")).mean() > 0.85


def test_one_request_is_judged_as_many_are() -> None:
    judge = judged(*clouds(1, **TAUGHT, new=20, newer=15))
    asked = clouds(4, a=30, new=30, newer=30, nobody=30)[0]
    for vector, row in zip(asked, seen(judge, asked), strict=True):
        found = judge.judge(vector, FEATURES)
        assert list(found.probability.values()) == pytest.approx(row.tolist(), abs=1e-5)
        parts = judge.reasons(vector, FEATURES)
        assert sum(parts.looks) == pytest.approx(found.familiarity, abs=1e-4)


def test_what_is_kept_judges_the_same(tmp_path: Path) -> None:
    vectors, labels = clouds(1, **TAUGHT, new=20)
    domains = domains_of_examples(vectors, labels)
    assert isinstance(domains, Joined)
    save_fitted(tmp_path / "kept.safetensors", "test", {"domains": domains.state()}, encoder="e", data="d")
    again = domains_of(load_fitted(tmp_path / "kept.safetensors", "test", encoder="e", data="d")["domains"])
    asked = clouds(5, a=30, new=30, nobody=30)[0]
    scores = domains.scores(asked)
    assert (again.scores(asked) == scores).all()
    assert (again.outside(asked, scores) == domains.outside(asked, scores)).all()
    assert (again.p_values(asked, scores) == domains.p_values(asked, scores)).all()


def test_examples_are_left_out_as_each_was_before_it_joined() -> None:
    vectors, labels = clouds(1, **TAUGHT, new=20)
    here = labels != "new"
    joined, before = domains_of_examples(vectors, labels), Domains.of_examples(vectors[here], labels[here])
    assert sorted(joined.rows_.tolist()) == list(range(len(labels)))
    stays = here[joined.rows_] & (joined.left_out_scores_.argmax(axis=1) != joined.classes_.tolist().index("new"))
    once = stays[here[joined.rows_]]
    assert stays.sum() > 400
    assert (joined.left_out_known_[stays] == before.left_out_known_[once]).all()
    assert (joined.left_out_outside_[stays] == before.left_out_outside_[once]).all()
    assert np.allclose(joined.left_out_scores_[stays][:, :3], before.left_out_scores_[once])
    assert np.isfinite(joined.left_out_scores_).all()


def test_beside_one_domain_or_many_of_few_all_are_fitted_together() -> None:
    assert not isinstance(domains_of_examples(*clouds(1, a=200, new=20)), Joined)
    assert not isinstance(domains_of_examples(*clouds(1, a=20, b=20, new=20)), Joined)
    assert not isinstance(domains_of_examples(*clouds(1, a=160, b=120, c=140, new=40)), Joined)


def test_what_nobody_scored_teaches_those_that_were_there_as_it_did_before() -> None:
    vectors, labels = clouds(1, **TAUGHT, new=20)
    heard = unscored(clouds(6, a=60, b=60, new=60)[0], np.tile(FEATURES, (180, 1)))
    here, asked = labels != "new", clouds(4, a=50)[0]
    taught, untaught = judged(vectors[here], labels[here], outcomes=heard), judged(vectors[here], labels[here])
    found = seen(judged(vectors, labels, outcomes=heard), asked)[:, :3]
    once = seen(taught, asked)
    assert np.allclose(found / found.sum(axis=1, keepdims=True), once / once.sum(axis=1, keepdims=True), atol=1e-5)
    assert not np.allclose(once, seen(untaught, asked), atol=1e-3)
