"""What an expert's own examples say of how many of its requests it would be given."""

from __future__ import annotations

import numpy as np
import pytest

from experts.registry import load_registry
from experts.spec import Registry
from router.encode import Encoder
from router.judge import Judge
from router.learn.coverage import NAMED, NOBODY, SHOWN, Coverage, coverage
from router.learn.fit import Lessons, examples_of, outside_of
from router.rule import Rule
from tests.conftest import ROOT
from tests.service.server import CACHE

EXPERT, ADDED = "triage", 20
RULE = Rule("balanced", 0.7, 0.05)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(ROOT / "registry.yaml", {}).registry


@pytest.fixture(scope="module")
def twenty(registry: Registry) -> list[str]:
    own = examples_of(registry.expert(EXPERT))
    return [own[at] for at in np.random.default_rng(0).permutation(len(own))[:ADDED]]


@pytest.fixture(scope="module")
def judge(registry: Registry, twenty: list[str]) -> Judge:
    told = {spec.id: (spec.label, twenty if spec.id == EXPERT else examples_of(spec)) for spec in registry.experts}
    return Lessons.of(told, outside_of(registry), Encoder.of(registry.encoder), CACHE / "vectors").fit([])


def test_each_example_is_counted_where_it_would_go(registry: Registry, twenty: list[str], judge: Judge) -> None:
    found = coverage(EXPERT, judge, registry, RULE)
    told = judge.left_out()[0]
    own = judge.known()[1][told.rows] == registry.expert(EXPERT).label
    sure = told.probability[own, judge.classes_.tolist().index(EXPERT)] >= 0.7
    assert found.examples == ADDED
    assert found.answered == (sure & (told.known[own] >= 0.05)).sum()
    assert 0 < found.answered < ADDED
    assert sum(found.elsewhere.values()) == ADDED - found.answered
    assert EXPERT not in found.elsewhere
    assert len(set(found.alone)) == NAMED
    assert set(found.alone) <= set(twenty)


def test_those_that_are_named_are_the_least_its_own(registry: Registry, judge: Judge) -> None:
    found = coverage(EXPERT, judge, registry, RULE)
    told, (vectors, _) = judge.left_out()[0], judge.known()
    column = judge.classes_.tolist().index(EXPERT)
    chance = {
        judge.nearest(vectors[row], 1)[0].text: said[column]
        for row, said in zip(told.rows, told.probability, strict=True)
    }
    named = [chance[text] for text in found.alone]
    assert named == sorted(named)
    own = judge.known()[1][told.rows] == registry.expert(EXPERT).label
    assert named[0] == told.probability[own, column].min()


def test_a_stricter_rule_gives_it_less_and_one_that_promises_nothing_nothing(registry: Registry, judge: Judge) -> None:
    lax, strict = (coverage(EXPERT, judge, registry, Rule("p", least, 0.05)) for least in (0.5, 0.9))
    assert strict.answered < lax.answered
    nothing = coverage(EXPERT, judge, registry, Rule("p", None, 0.05, refused="too few requests"))
    assert (nothing.answered, nothing.elsewhere) == (0, {registry.fallback: ADDED})


def test_an_expert_without_examples_has_none_that_could_tell(registry: Registry) -> None:
    told = {spec.id: (spec.label, [] if spec.id == EXPERT else examples_of(spec)) for spec in registry.experts}
    judge = Lessons.of(told, (), Encoder.of(registry.encoder), CACHE / "vectors").fit([])
    assert coverage(EXPERT, judge, registry, RULE) == Coverage(0, 0, {}, (), {})


def test_it_says_whether_another_is_likelier_or_it_is_only_not_sure(registry: Registry, judge: Judge) -> None:
    found = coverage(EXPERT, judge, registry, RULE)
    told = judge.left_out()[0]
    own = judge.known()[1][told.rows] == registry.expert(EXPERT).label
    column = judge.classes_.tolist().index(EXPERT)
    said = told.probability[own]
    unsure = (said.argmax(axis=1) == column) & (said.sum(axis=1) > 0.5) & (said[:, column] < 0.7)
    nobody = said.sum(axis=1) <= 0.5
    assert 0 < found.likeliest[EXPERT] == unsure.sum() < ADDED - found.answered
    assert found.likeliest.get(NOBODY, 0) == nobody.sum()
    assert sum(found.likeliest.values()) == ADDED - found.answered == sum(found.elsewhere.values())
    assert found.to_json()["likeliest"] == dict(found.likeliest)


def test_of_two_that_share_a_domain_the_one_that_answers_is_the_likeliest(
    registry: Registry, twenty: list[str]
) -> None:
    known = registry.expert(EXPERT)
    twin = known.model_copy(update={"id": "able-triage", "params_b": 3.0})
    both = registry.model_copy(update={"experts": (twin, *registry.experts)})
    told = {spec.id: (spec.label, twenty if spec.label == known.label else examples_of(spec)) for spec in both.experts}
    judge = Lessons.of(told, (), Encoder.of(registry.encoder), CACHE / "vectors").fit([])
    found = coverage(twin.id, judge, both, RULE)
    assert found.answered == 0
    assert found.likeliest[EXPERT] >= found.elsewhere[EXPERT] > 0, "it is sure, but the smaller one answers"


def test_it_is_told_in_a_line() -> None:
    said = "of 7 examples, each judged without itself, "
    assert Coverage(7, 7, {}, (), {}).told("sql") == f"{said}7 would be sent to it"
    long = "x" * (SHOWN + 1)
    found = Coverage(7, 1, {"chat": 6}, ("why", long), {"chat": 3, "sql": 2, NOBODY: 1}).told("sql")
    named = f"(such as 'why', '{'x' * (SHOWN - 1)}…')"
    assert found == (
        f"{said}1 would be sent to it, 6 to chat {named}; expect about the same shares of its requests. "
        "Of the others it is the likeliest expert for 2, but not sure enough; chat is the likeliest for 3; "
        "most likely nobody should answer 1. Remedy: more examples, as varied as the requests to come"
    )
