"""A domain added with twenty examples takes over its traffic at once, and costs the others next to nothing."""

from __future__ import annotations

import numpy as np
import pytest

from eval.added import add, asked_of_registry, experts_added
from experts.registry import load_registry
from router.encode import Encoder
from router.judge import Judge
from router.learn.fit import examples_of
from router.learn.surface import surfaces
from router.learn.vectors import vectors_of
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


def test_an_expert_added_to_the_registry_leaves_the_others_as_sure_as_they_were() -> None:
    registry = load_registry(ROOT / "registry.yaml", {}).registry
    encoder = Encoder.of(registry.encoder)
    newcomers, fit = experts_added(registry, encoder, CACHE / "vectors")
    found = add(newcomers, fit, *asked_of_registry(registry, encoder, CACHE / "vectors"), [0]).figures()
    assert found["cost"]["value"] <= 0.003
    assert found["taken"]["value"] > 0.42
    assert found["taken_later"]["value"] > 0.8
