"""A domain added with twenty examples takes over its traffic at once, and costs the others next to nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from eval.requests import read_requests
from experts.registry import load_registry
from experts.spec import Registry
from router.decide import decide
from router.encode import Encoder
from router.judge import Judge
from router.ladder import Ladder
from router.learn.evidence import Floats
from router.learn.fit import Lessons, examples_of, outside_of
from router.learn.surface import surfaces
from router.learn.vectors import vectors_of
from router.prompt import request_text
from router.request import ChatRequest, Needs
from router.rule import Rule
from tests.conftest import ROOT
from tests.service.server import CACHE

ADDED = 20


@pytest.fixture(scope="module")
def domains() -> dict[str, tuple[list[str], np.ndarray]]:
    """Texts and vectors of every domain of the registry that is shipped, those of the support queues apart."""
    registry = load_registry(ROOT / "registry.yaml", {}).registry
    encoder = Encoder.open(registry.encoder.path, registry.encoder.sha256)
    texts = {spec.label: examples_of(spec) for spec in registry.experts}
    found = {}
    for label, own in texts.items():
        order = np.random.default_rng(0).permutation(len(own))
        found[label] = [own[at] for at in order], vectors_of(own, encoder, CACHE / "vectors")[order]
    return found


def accuracy(domains: dict[str, tuple[list[str], np.ndarray]], taught: dict[str, int]) -> dict[str, float]:
    """Share of each domain's last rows that a judge gets right, taught so many of each domain's first."""
    parts = {label: own[:count] for label, (_, own) in domains.items() if (count := taught.get(label, 0))}
    labels = [label for label, own in parts.items() for _ in own]
    judge = Judge({label: label for label in domains}).fit(labels, np.concatenate(list(parts.values())), labels)
    right = {}
    for label, (texts, vectors) in domains.items():
        kept = len(vectors) * 3 // 4
        found = judge.predict_proba(vectors[kept:], surfaces(texts[kept:]))
        right[label] = float((judge.classes_[found.argmax(axis=1)] == label).mean())
    return right


def test_a_domain_added_takes_over_and_the_others_keep_theirs(domains: dict[str, tuple[list[str], np.ndarray]]) -> None:
    costs, taken = [], []
    for new in domains:
        others = {label: len(vectors) * 3 // 4 for label, (_, vectors) in domains.items() if label != new}
        before, after = accuracy(domains, others), accuracy(domains, others | {new: ADDED})
        costs += [before[label] - after[label] for label in others]
        taken.append(after[new])
    assert np.mean(costs) <= 0.003
    assert min(taken) > 0.5


@dataclass(frozen=True)
class Asked:
    """Requests as apps send them: what is embedded, what is needed, and the label of who should answer."""

    vectors: Floats
    features: Floats
    needs: list[Needs]
    labels: np.ndarray


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(ROOT / "registry.yaml", {}).registry


@pytest.fixture(scope="module")
def encoder(registry: Registry) -> Encoder:
    return Encoder.of(registry.encoder)


@pytest.fixture(scope="module")
def asked(encoder: Encoder) -> Asked:
    """Those of our own set that some expert should answer and the fallback can: no pictures."""
    needed = [
        (row, Needs.of(ChatRequest(row.id, {"model": "auto", "messages": row.messages})))
        for row in read_requests()
        if row.label is not None
    ]
    rows, needs = zip(*((row, each) for row, each in needed if "vision" not in each.capabilities), strict=True)
    texts = [request_text(row.messages) for row in rows]
    vectors = vectors_of(texts, encoder, CACHE / "vectors")
    return Asked(vectors, surfaces(texts), list(needs), np.array([row.label for row in rows]))


def answered(judge: Judge, registry: Registry, asked: Asked) -> np.ndarray:
    """Which of the requests the right expert answers under the registry's default policy."""
    rule = Rule.of(registry.default_policy, registry.policies[registry.default_policy])
    right = []
    for vector, features, needs, label in zip(asked.vectors, asked.features, asked.needs, asked.labels, strict=True):
        decision = decide(judge.judge(vector, features), Ladder.of(registry), rule, needs, lambda _: None)
        right.append(decision.escalated_from is None and registry.expert(decision.expert).label == label)
    return np.array(right)


def test_an_expert_added_to_the_registry_leaves_the_others_as_sure_as_they_were(
    registry: Registry, encoder: Encoder, asked: Asked
) -> None:
    outside, costs, taken = outside_of(registry), [], []
    every = {spec.id: (spec.label, examples_of(spec)) for spec in registry.experts}
    for new, (label, examples) in every.items():
        others = {expert: told for expert, told in every.items() if expert != new}
        few = [examples[at] for at in np.random.default_rng(0).permutation(len(examples))[:ADDED]]
        before, after = (
            answered(Lessons.of(told, outside, encoder, CACHE / "vectors").fit([]), registry, asked)
            for told in (others, {**others, new: (label, few)})
        )
        costs.append(before[asked.labels != label].mean() - after[asked.labels != label].mean())
        taken.append(after[asked.labels == label].mean())
    assert np.mean(costs) <= 0.003
    assert np.mean(taken) > 0.4
