"""The judge on examples alone, and moved by outcomes."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experts.fitted import load_fitted, save_fitted
from router.judge import ALL, Judge
from router.judgement import NOTHING_KNOWN
from router.learn.estimator import NotFittedError
from router.learn.evidence import Floats, Outcomes
from router.learn.outcomes import Parts
from router.learn.surface import NAMES, surfaces

SIZE = 24
DOMAINS = ("law", "sums", "verse")


def requests(count: int, seed: int) -> tuple[Floats, list[str]]:
    """Vectors in three corners of the space, and the corner's name."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, len(DOMAINS), count)
    vectors = np.eye(SIZE)[index] + rng.normal(0, 0.15, (count, SIZE))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), [DOMAINS[at] for at in index]


def flat(count: int) -> Floats:
    return np.zeros((count, len(NAMES)), np.float32)


def outcomes(count: int, seed: int, right: dict[str, dict[str, float]]) -> Outcomes:
    """Every expert asked of every request; `right` says how often it is right in each domain."""
    vectors, domains = requests(count, seed)
    rng = np.random.default_rng(seed + 1)
    chance = np.array([[right[expert][domain] for expert in right] for domain in domains])
    scores = (rng.random(chance.shape) < chance).astype(np.float32)
    return Outcomes(tuple(right), vectors, flat(count), scores)


def judge(told: Outcomes | None = None, parts: Parts = ALL) -> Judge:
    vectors, labels = requests(90, 0)
    experts = {"lawyer": "law", "reckoner": "sums", "poet": "verse", "big": ""}
    return Judge(experts, parts=parts).fit([str(at) for at in range(90)], vectors, labels, told)


ONLY_VERSE = {"law": 0.02, "sums": 0.02, "verse": 0.98}
HALF_OF_VERSE = {"law": 0.02, "sums": 0.02, "verse": 0.5}
ALL_BUT_SUMS = {"law": 0.95, "sums": 0.1, "verse": 0.95}


def test_examples_alone_give_the_probability_of_the_domain() -> None:
    fitted = judge()
    vectors, domains = requests(60, 5)
    found = fitted.predict_proba(vectors, flat(60))
    assert fitted.classes_.tolist() == ["lawyer", "reckoner", "poet"]
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    assert [DOMAINS[at] for at in found.argmax(axis=1)] == domains
    one = fitted.judge(vectors[0], flat(60)[0])
    assert one.label == domains[0]
    assert list(one.probability.values()) == pytest.approx(found[0].tolist(), abs=1e-6)


def test_without_any_evidence_nothing_is_known() -> None:
    empty = Judge({"a": "a"}).fit([], np.empty((0, SIZE), np.float32), [])
    assert empty.judge(requests(1, 0)[0][0], flat(1)[0]) == NOTHING_KNOWN
    assert [len(left.rows) for left in empty.left_out()] == [0, 0]


def test_outcomes_move_who_was_asked_and_nobody_else() -> None:
    told = outcomes(600, 10, {"poet": HALF_OF_VERSE, "big": ALL_BUT_SUMS, "gone": ONLY_VERSE})
    before, after = judge(), judge(told)
    assert after.classes_.tolist() == ["lawyer", "reckoner", "poet", "big"], "an expert no longer there is ignored"
    vectors, domains = requests(200, 20)
    first, then = before.predict_proba(vectors, flat(200)), after.predict_proba(vectors, flat(200))
    assert (first[:, :2] == then[:, :2]).all(), "nobody was asked of these"
    verse = np.array([domain == "verse" for domain in domains])
    assert then[verse, 2].mean() == pytest.approx(0.5, abs=0.08)
    assert then[~verse, 2].mean() < 0.1
    sums = np.array([domain == "sums" for domain in domains])
    assert then[sums, 3].mean() == pytest.approx(0.1, abs=0.08)
    assert then[~sums, 3].mean() == pytest.approx(0.95, abs=0.05)


def test_the_fewer_outcomes_the_less_they_move() -> None:
    vectors, domains = requests(200, 20)
    verse = np.array([domain == "verse" for domain in domains])
    start = judge().predict_proba(vectors, flat(200))[verse, 2].mean()
    always_wrong = {"poet": dict.fromkeys(DOMAINS, 0.0)}
    fits = [judge(outcomes(count, 30, always_wrong)) for count in (3, 30, 300)]
    moved = [start, *(fit.predict_proba(vectors, flat(200))[verse, 2].mean() for fit in fits)]
    assert moved == sorted(moved, reverse=True)
    assert moved[1] > start - 0.15
    assert moved[3] < 0.25


@pytest.mark.parametrize("count", [1, 2, 20])
def test_a_few_good_scores_are_no_proof_where_there_are_no_examples(count: int) -> None:
    """Of two, it was 97 % sure of every request there is."""
    vectors, _ = requests(count, 30)
    praise = Outcomes(("big",), vectors, flat(count), np.ones((count, 1), np.float32))
    fitted = judge(praise)
    said = fitted.predict_proba(requests(200, 20)[0], flat(200))[:, fitted.classes_.tolist().index("big")]
    assert said.min() > 0
    assert said.max() <= count / (count + 20)


def test_what_no_expert_should_answer_is_taken_from_one_without_examples_too() -> None:
    vectors, labels = requests(90, 0)
    corner = np.zeros((30, SIZE), np.float32)
    corner[:, 5] = 1
    corner += np.random.default_rng(4).normal(0, 0.1, corner.shape).astype(np.float32)
    corner /= np.linalg.norm(corner, axis=1, keepdims=True)
    told = outcomes(300, 10, {"big": dict.fromkeys(DOMAINS, 1.0)})
    both, texts = np.concatenate([vectors, corner]), [str(at) for at in range(120)]
    fitted = Judge({"lawyer": "law", "big": ""}).fit(texts, both, [*labels, *[""] * 30], told)
    probes = np.concatenate([corner[:5], requests(5, 20)[0]])
    for vector, said in zip(probes, fitted.predict_proba(probes, flat(10)), strict=True):
        one, why = fitted.judge(vector, flat(1)[0]), fitted.reasons(vector, flat(1)[0])
        assert list(one.probability.values()) == pytest.approx(said.tolist(), abs=1e-6)
        assert said[1] <= 1 - one.outside
        assert sum(why.moved["big"].values()) == pytest.approx(said[1], abs=1e-5)
    assert said[1] > 0.8 > 0.2 > fitted.judge(corner[0], flat(1)[0]).probability["big"]


def test_outcomes_alone_are_enough() -> None:
    told = outcomes(500, 40, {"poet": ONLY_VERSE, "big": ALL_BUT_SUMS})
    fitted = Judge({"poet": "", "big": ""}).fit([], told.vectors[:0], [], told)
    vectors, _ = requests(1, 50)
    found = fitted.judge(vectors[0], flat(1)[0])
    assert found.label is None
    assert set(found.probability) == {"poet", "big"}
    assert found.known > 0.05
    strange = -vectors[0]
    assert fitted.judge(strange, flat(1)[0]).known < 0.05


def test_left_out_judgements_are_of_rows_not_seen_and_hold() -> None:
    told = outcomes(800, 60, {"poet": HALF_OF_VERSE, "big": ALL_BUT_SUMS})
    fitted = judge(told)
    of_examples, of_outcomes = fitted.left_out()
    assert of_examples.probability.shape == (90, 4)
    assert of_outcomes.probability.shape == (len(of_outcomes.rows), 4)
    assert len(of_outcomes.rows) == 800
    assert (of_outcomes.known > 0).all()
    assert of_outcomes.known.mean() == pytest.approx(0.5, abs=0.1)
    truth = told.scores[of_outcomes.rows]
    assert of_outcomes.probability[:, 2:].mean(axis=0) == pytest.approx(truth.mean(axis=0), abs=0.03)
    # Noise cannot be learnt: a fit that had seen the row would know it.
    verse = of_outcomes.probability[:, 2] > 0.3
    assert np.corrcoef(of_outcomes.probability[verse, 2], truth[verse, 0])[0, 1] < 0.2


def test_the_same_evidence_gives_the_same_judge() -> None:
    told = outcomes(200, 70, {"poet": ONLY_VERSE, "big": ALL_BUT_SUMS})
    vectors, _ = requests(20, 80)
    once, again = (judge(told).predict_proba(vectors, flat(20)) for _ in "ab")
    assert (once == again).all()


@pytest.mark.parametrize("off", ["tasks", "surface", "neighbours", "shrinkage", "calibration"])
def test_every_part_can_be_turned_off(off: str) -> None:
    told = outcomes(300, 90, {"poet": ONLY_VERSE, "big": ALL_BUT_SUMS})
    found = judge(told, Parts(**{off: False})).predict_proba(*(requests(30, 1)[0], flat(30)))
    assert found.shape == (30, 4)
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_very_few_outcomes_with_gaps_are_enough_to_answer(count: int) -> None:
    told = outcomes(count, 95, {"poet": ONLY_VERSE, "big": ALL_BUT_SUMS})
    told.scores[0, 1] = np.nan
    found = judge(told).predict_proba(requests(5, 1)[0], flat(5))
    assert np.isfinite(found).all()


def test_outcomes_are_narrowed_to_experts_and_requests_that_matter() -> None:
    told = outcomes(4, 96, {"poet": ONLY_VERSE, "big": ALL_BUT_SUMS, "gone": ONLY_VERSE})
    told.scores[:, 0] = np.nan
    told.scores[1, 1] = np.nan
    kept = told.of({"poet", "big"})
    assert kept.experts == ("big",)
    assert len(kept) == 3


@pytest.mark.parametrize("tasks", [False, True])
@pytest.mark.parametrize("examples", [False, True])
def test_a_kept_judge_says_the_same(tmp_path: Path, tasks: bool, examples: bool) -> None:
    told = outcomes(300, 97, {"poet": ONLY_VERSE, "big": ALL_BUT_SUMS})
    if tasks:
        told = replace(told, tasks=np.array([f"task {at % 7}" for at in range(300)]))
    vectors, labels = requests(90 if examples else 0, 0)
    texts = [str(at) for at in range(len(labels))]
    experts = {"lawyer": "law", "reckoner": "sums", "poet": "verse", "big": ""}
    fitted = Judge(experts).fit(texts, vectors, labels, told)
    save_fitted(tmp_path / "judge", "judge", fitted.state(), encoder="e", data="d")
    again = Judge(experts).restore(
        texts, vectors, labels, load_fitted(tmp_path / "judge", "judge", encoder="e", data="d")
    )
    probes, _ = requests(40, 98)
    assert (again.predict_proba(probes, flat(40)) == fitted.predict_proba(probes, flat(40))).all()
    assert again.judge(probes[0], flat(1)[0]) == fitted.judge(probes[0], flat(1)[0])
    for kept, left in zip(again.left_out(), fitted.left_out(), strict=True):
        assert np.array_equal(kept.probability, left.probability)
        assert np.array_equal(kept.scores, left.scores, equal_nan=True)
        assert np.array_equal(kept.vectors, left.vectors)
        assert len(kept.vectors) == len(kept.rows)


def test_it_keeps_scikit_learns_contract() -> None:
    experts = {"a": "a", "b": "b"}
    judge = Judge(experts, seed=3)
    assert judge.get_params() == {"experts": experts, "seed": 3, "parts": Parts(), "sureness": 1.0}
    assert judge.get_params()["experts"] is experts, "as given, so that a clone is made of the very same"
    assert not [name for name in vars(judge) if name.endswith("_")], "nothing is fitted before fit"
    again = Judge(**judge.get_params())
    assert again.get_params() == judge.get_params()
    assert again.set_params(seed=4, parts=Parts(tasks=False)) is again
    assert (again.seed, again.parts.tasks, judge.parts.tasks) == (4, False, True)
    with pytest.raises(ValueError, match=r"Judge has no parameter 'sed'\. Remedy: one of experts, seed, parts"):
        again.set_params(sed=1)


def test_it_is_told_to_scikit_learn_as_a_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names of its 1.6 and later, which is not installed here: it asks for them before anything else."""
    names = ("Tags", "ClassifierTags", "TargetTags")
    utils = SimpleNamespace(**{name: partial(SimpleNamespace, kind=name) for name in names})
    monkeypatch.setitem(sys.modules, "sklearn.utils", utils)  # type: ignore[arg-type]
    tags = Judge({"a": "a"}).__sklearn_tags__()
    assert (tags.estimator_type, tags.classifier_tags.kind) == ("classifier", "ClassifierTags")
    assert tags.target_tags.required


@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn comes with the extra train")
def test_scikit_learn_clones_it_and_tells_whether_it_is_fitted() -> None:
    base, validation = importlib.import_module("sklearn.base"), importlib.import_module("sklearn.utils.validation")
    early, fitted = Judge({"lawyer": "law"}), judge()
    assert base.is_classifier(early)
    assert base.clone(fitted).get_params() == fitted.get_params()
    validation.check_is_fitted(fitted)
    with pytest.raises(ValueError, match="not fitted yet"):
        validation.check_is_fitted(early)


def test_it_predicts_whom_it_finds_likeliest_and_is_fitted_anew_each_time() -> None:
    judge = Judge({"a": "a", "b": "b"})
    vectors = np.eye(2, dtype=np.float32).repeat(8, axis=0)
    labels = ["a"] * 8 + ["b"] * 8
    assert judge.fit([str(at) for at in range(16)], vectors, labels) is judge
    features = surfaces([""] * 16)
    assert judge.predict(vectors, features).tolist() == labels
    judge.fit([str(at) for at in range(16)], vectors, labels[::-1])
    assert judge.predict(vectors, features).tolist() == labels[::-1]
    assert judge.classes_.tolist() == ["a", "b"]


@pytest.mark.parametrize("tasks", [False, True])
def test_parameters_set_after_a_fit_change_nothing_before_the_next(tasks: bool) -> None:
    told = outcomes(300, 97, {"poet": ONLY_VERSE, "big": ALL_BUT_SUMS})
    if tasks:
        told = replace(told, tasks=np.array([f"task {at % 7}" for at in range(300)]))
    probes, _ = requests(20, 98)
    as_it_was, fitted = judge(told), judge(told)
    fitted.set_params(parts=Parts(tasks=False), seed=7, sureness=3.0, experts={"other": "law"})
    assert (fitted.predict_proba(probes, flat(20)) == as_it_was.predict_proba(probes, flat(20))).all()
    assert fitted.judge(probes[0], flat(1)[0]) == as_it_was.judge(probes[0], flat(1)[0])
    assert fitted.reasons(probes[0], flat(1)[0]) == as_it_was.reasons(probes[0], flat(1)[0])
    for left, expected in zip(fitted.left_out(), as_it_was.left_out(), strict=True):
        assert np.array_equal(left.probability, expected.probability)
    fitted.fit([str(at) for at in range(90)], *requests(90, 0), told)
    assert fitted.classes_.tolist() == ["other"], "the next fit goes by them"


ASKED_TOO_EARLY: dict[str, Callable[[Judge], object]] = {
    "predict": lambda judge: judge.predict(np.eye(2, dtype=np.float32), flat(2)),
    "predict_proba": lambda judge: judge.predict_proba(np.eye(2, dtype=np.float32), flat(2)),
    "decision_function": lambda judge: judge.decision_function(np.eye(2, dtype=np.float32), flat(2)),
    "judge": lambda judge: judge.judge(np.eye(2, dtype=np.float32)[0], flat(1)[0]),
    "reasons": lambda judge: judge.reasons(np.eye(2, dtype=np.float32)[0], flat(1)[0]),
    "nearest": lambda judge: judge.nearest(np.eye(2, dtype=np.float32)[0], 1),
    "left_out": lambda judge: judge.left_out(),
    "state": lambda judge: judge.state(),
    "known": lambda judge: judge.known(),
    "outcomes_": lambda judge: judge.outcomes_,
    "classes_": lambda judge: judge.classes_,
}


@pytest.mark.parametrize("asked", ASKED_TOO_EARLY)
def test_what_only_a_fit_can_tell_is_refused_before_one(asked: str) -> None:
    with pytest.raises(NotFittedError, match=r"this Judge is not fitted yet.*Remedy: call fit first") as refused:
        ASKED_TOO_EARLY[asked](Judge({"a": "a"}))
    assert isinstance(refused.value, ValueError), "as scikit-learn's error of this name is"
    assert isinstance(refused.value, AttributeError)


def test_an_unknown_name_is_told_as_such_and_copies_are_made_in_either_state() -> None:
    fitted = judge()
    for each in (fitted, Judge({"a": "a"})):
        with pytest.raises(AttributeError, match="Judge has no 'score'") as refused:
            each.score  # type: ignore[attr-defined]  # noqa: B018
        assert not isinstance(refused.value, NotFittedError)
        assert deepcopy(each).get_params() == each.get_params()
    assert not hasattr(Judge({"a": "a"}), "classes_")
    assert (deepcopy(fitted).classes_ == fitted.classes_).all()
