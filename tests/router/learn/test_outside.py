"""Requests that no expert should answer take probability from every expert, and nothing is promised on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experts.fitted import load_fitted, save_fitted
from router.judge import Judge
from router.learn.evidence import Floats
from router.learn.outside import OUTSIDE, SHARE, Outside
from tests.router.test_judge import ALL_BUT_SUMS, DOMAINS, SIZE, flat, outcomes, requests

EXPERTS = {"lawyer": "law", "reckoner": "sums", "poet": "verse"}


def strangers(count: int, seed: int) -> Floats:
    """Vectors half in the corner of a domain and half in one of two corners of their own."""
    rng = np.random.default_rng(seed)
    vectors = np.eye(SIZE)[rng.integers(0, 3, count)] * 0.6 + np.eye(SIZE)[rng.integers(10, 12, count)]
    vectors += rng.normal(0, 0.12, vectors.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def examples(known: int = 90, outside: int = 40) -> tuple[list[str], Floats, list[str]]:
    """Known requests, and strangers in between."""
    vectors, labels = requests(known, 0)
    at = known // 2
    labels[at:at] = [OUTSIDE] * outside
    vectors = np.concatenate([vectors[:at], strangers(outside, 1), vectors[at:]])
    return [str(each) for each in range(len(labels))], vectors, labels


def judge(outside: int = 40) -> Judge:
    return Judge(EXPERTS).fit(*examples(outside=outside))


def test_strangers_are_nobodys_and_the_known_stay_where_they_belong() -> None:
    before, after = judge(0), judge()
    odd, (vectors, domains) = strangers(60, 2), requests(100, 3)
    assert (before.predict_proba(odd, flat(60)).max(axis=1) > 0.7).mean() > 0.5, "else there is nothing to mend"
    assert (after.predict_proba(odd, flat(60)).max(axis=1) < 0.3).mean() > 0.85
    found = after.predict_proba(vectors, flat(100))
    assert [DOMAINS[at] for at in found.argmax(axis=1)] == domains
    assert (found.max(axis=1) > 0.7).mean() > 0.9


def test_a_stranger_has_no_label_and_is_near_to_none() -> None:
    fitted = judge()
    odd, known = strangers(1, 2)[0], requests(1, 3)
    found = fitted.judge(odd, flat(1)[0])
    assert (found.label, found.outside > 0.9) == (None, True)
    assert fitted.nearest(odd, 1)[0].label is None
    found = fitted.judge(known[0][0], flat(1)[0])
    assert (found.label, found.outside < 0.1) == (known[1][0], True)


def test_one_and_many_at_once_are_judged_the_same() -> None:
    fitted = judge()
    vectors = np.concatenate([strangers(20, 4), requests(20, 5)[0]])
    many = fitted.predict_proba(vectors, flat(40))
    one = [list(fitted.judge(vector, flat(1)[0]).probability.values()) for vector in vectors]
    assert np.allclose(many, one, atol=1e-5)


def test_letting_an_expert_answer_a_stranger_loses_everything() -> None:
    fitted = judge()
    told, labels = fitted.left_out()[0], fitted.known()[1]
    own = labels[told.rows]
    assert (own == OUTSIDE).sum() == 40
    assert (told.scores[own == OUTSIDE] == 0).all()
    assert (told.scores[own != OUTSIDE].sum(axis=1) == 1).all()
    columns = [list(EXPERTS.values()).index(label) for label in own[own != OUTSIDE]]
    assert (told.scores[own != OUTSIDE][range(90), columns] == 1).all()
    assert told.probability[own == OUTSIDE].max(axis=1).mean() < 0.3
    assert told.probability[own != OUTSIDE].max(axis=1).mean() > 0.7


def test_familiarity_is_with_domains_only() -> None:
    with_them, without = judge(), judge(0)
    for vector in (*strangers(5, 6), *requests(5, 7)[0]):
        assert with_them.judge(vector, flat(1)[0]).known == without.judge(vector, flat(1)[0]).known


def test_a_kept_judge_knows_strangers(tmp_path: Path) -> None:
    texts, vectors, labels = examples()
    fitted = Judge(EXPERTS).fit(texts, vectors, labels, outcomes(100, 8, {"poet": ALL_BUT_SUMS}))
    save_fitted(tmp_path / "judge", "judge", fitted.state(), encoder="e", data="d")
    state = load_fitted(tmp_path / "judge", "judge", encoder="e", data="d")
    again = Judge(EXPERTS).restore(texts, vectors, labels, state)
    for vector in strangers(5, 9):
        assert again.judge(vector, flat(1)[0]) == fitted.judge(vector, flat(1)[0])


@pytest.mark.parametrize("count", [1, 2, 400])
def test_how_many_are_listed_says_nothing_of_traffic(count: int) -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate([requests(100, 0)[0], strangers(count, 1)])
    outside = np.arange(100 + count) >= 100
    noise = rng.normal(size=len(vectors)).astype(np.float32)
    fitted = Outside().fit(vectors, np.zeros(100, np.intp), noise)
    stated = fitted.left_out_[~outside].sum() + fitted.left_out_[outside].mean() * min(count, SHARE * 100)
    assert stated == pytest.approx(min(count, SHARE * 100), rel=0.05, abs=0.1)


def test_a_domain_of_few_examples_is_heard() -> None:
    rng = np.random.default_rng(0)
    known, odd = requests(200, 0)[0], strangers(60, 1)
    near = np.concatenate([np.full(180, 0.9), np.full(20, 0.5), np.full(60, 0.4)]) + rng.normal(0, 0.1, 260)
    vectors, few = np.concatenate([known, odd]), np.repeat([0, 1], [180, 20])
    alone, heard = (Outside().fit(vectors, index, near.astype(np.float32)).left_out_ for index in (few * 0, few))
    assert heard[180:200].mean() < 0.8 * alone[180:200].mean(), "few, and farther from their own than those of many"
    assert heard[200:].mean() > 0.8, "strangers stay strange"
