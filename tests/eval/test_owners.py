"""Domains as owners would add them: twenty examples each, and requests that are none of them in other words."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml

from eval.newcomers import ADDED, OWNERS, Newcomer, owners_added
from eval.samples import read_labelled
from experts.registry import load_registry
from router.encode import Encoder
from router.learn.vectors import vectors_of
from tests.conftest import ROOT
from tests.service.server import CACHE

NEAR = 0.9
"""Cosine from which on two requests are nearly the same."""


@pytest.fixture(scope="module")
def owners() -> tuple[list[Newcomer], list[tuple[str, str]]]:
    return owners_added(load_registry(ROOT / "registry.yaml", {}).registry)


def test_each_is_new_to_the_registry_and_added_with_twenty(
    owners: tuple[list[Newcomer], list[tuple[str, str]]],
) -> None:
    newcomers, asked = owners
    assert len(newcomers) == 8
    for each in newcomers:
        assert len(set(each.examples)) == len(each.examples) == ADDED
        assert each.label not in {label for label, _ in each.others.values()}
        assert sum(label == each.label for _, label in asked) >= 20


def test_no_request_is_nearly_an_example(owners: tuple[list[Newcomer], list[tuple[str, str]]]) -> None:
    newcomers, asked = owners
    encoder = Encoder.of(load_registry(ROOT / "registry.yaml", {}).registry.encoder)
    given = [text for each in newcomers for text in each.examples]
    texts = [text for text, _ in asked]
    assert len({*given, *texts}) == len(given) + len(texts), "nothing is there twice"
    cosines = vectors_of(texts, encoder, CACHE / "vectors") @ vectors_of(given, encoder, CACHE / "vectors").T
    at = cosines.max(axis=1).argmax()
    assert cosines.max() < NEAR, (texts[at], given[cosines[at].argmax()])


def test_the_card_counts_what_is_there() -> None:
    counts = yaml.safe_load(OWNERS.with_name("owners-card.yaml").read_text())["counts"]
    rows = read_labelled(OWNERS)
    assert counts == {"rows": len(rows), "split": dict(Counter(row.split for row in rows))}
    by_split = {split: {row.label for row in rows if row.split == split} for split in ("validation", "test")}
    assert not by_split["validation"] & by_split["test"], "a domain is looked at either early or once"
