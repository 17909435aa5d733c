"""A domain added with twenty examples takes over its traffic at once, and costs the others next to nothing."""

from __future__ import annotations

import numpy as np
import pytest

from eval.added import add, judges
from eval.answered import asked_of_registry
from eval.newcomers import experts_added, there
from experts.registry import load_registry
from router.encode import Encoder
from router.judge import Judge
from router.learn.fit import examples_of, outside_of
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
    newcomers, fit = experts_added(registry), judges(outside_of(registry), encoder, CACHE / "vectors")
    found = add(
        [(each,) for each in newcomers], fit, *asked_of_registry(registry, encoder, CACHE / "vectors"), [0]
    ).figures()
    assert found["cost"]["value"] <= 0.003
    assert found["taken"]["value"] > 0.42
    assert found["taken_later"]["value"] > 0.8


MUSIC = """
play something calm by Nils Frahm
put the new Rosalía album on
next song please
turn this track up a little
start my workout playlist
I want to hear some bebop
play the live version of Hurt
skip this one, it's too loud
shuffle all songs from the eighties
pause the music
add this song to my Sunday playlist
play Clair de lune on the kitchen speaker
who sings the song that is on now?
go back to the last track
find me a playlist for a long drive
repeat this album until I say stop
play the top hits in Brazil
is there a jazz station I can listen to?
queue three songs by Fela Kuti
remove the last song from my party playlist
""".strip().splitlines()
"""Twenty examples of a domain that nobody in the default registry knows."""

HEARD = """
play Paranoid Android by Radiohead
put on some soft piano music
skip to the next track
add this one to my running playlist
play the second album of The xx
stop the song and play rain sounds
can you play old school hip hop
turn the volume of the music down
start the playlist called Dinner
I'd like to listen to some salsa
""".strip().splitlines()


def test_a_domain_that_is_new_to_the_registry_takes_over_at_once_and_costs_the_others_little() -> None:
    registry = load_registry(ROOT / "registry.yaml", {}).registry
    encoder, cache = Encoder.of(registry.encoder), CACHE / "vectors"
    fit, others = judges(outside_of(registry), encoder, cache), there(registry)
    answered = asked_of_registry(registry, encoder, cache)[1]
    joined = fit({**others, "music": ("music", MUSIC)})
    assert len(MUSIC) == ADDED
    before, after = answered(fit(others))[0], answered(joined)[0]
    assert before.mean() - after.mean() <= 0.003, "it takes what is its own, and moves nobody else"
    heard = [joined.judge(*each) for each in zip(vectors_of(HEARD, encoder, cache), surfaces(HEARD), strict=True)]
    rule = registry.policies[registry.default_policy]
    assert all(each.probability["music"] > 0.7 and each.known >= rule.out_of_domain for each in heard)
