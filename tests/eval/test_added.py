"""Twenty examples as an owner would choose them are one of each kind; a newcomer's figures are of its own requests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from eval.added import Added
from eval.newcomers import ADDED, Newcomer, covering
from experts.registry import load_registry
from experts.rows import read_rows
from experts.spec import LabelsSpec
from router.encode import Encoder
from tests.conftest import ROOT
from tests.service.server import CACHE


@pytest.fixture(scope="module")
def tickets() -> Iterator[tuple[Newcomer, dict[str, str], Encoder]]:
    """The ticket expert as a newcomer, and the queue of each of its examples."""
    registry = load_registry(ROOT / "registry.yaml", {}).registry
    spec = registry.expert("triage")
    assert isinstance(spec, LabelsSpec)
    queues = {row["input"]: row["label"] for row in read_rows(spec.labels, {"input": str, "label": str})}
    yield Newcomer("triage", spec.label, list(queues), {}), queues, Encoder.of(registry.encoder)


def test_chosen_examples_cover_more_kinds_than_drawn_ones(
    tickets: tuple[Newcomer, dict[str, str], Encoder],
) -> None:
    newcomer, queues, encoder = tickets
    draw = covering(encoder, CACHE / "vectors")
    chosen = [draw(newcomer, seed) for seed in range(5)]
    assert all(15 <= len(set(each)) == len(each) <= ADDED for each in chosen)
    assert draw(newcomer, 0) == chosen[0]
    covered, drawn = (
        np.mean([len({queues[text] for text in each}) for each in several])
        for several in (chosen, [newcomer.few(seed) for seed in range(5)])
    )
    assert covered > drawn


def test_what_is_taken_is_of_its_own_requests_and_what_it_costs_of_the_others() -> None:
    own, theirs = np.array([[True, True, False, False]]), np.array([[False, False, True, True]])
    before = np.array([[[0, 0, 1, 1], [0, 0, 1, 1]]], float)
    at_once = np.array([[[1, 0, 1, 0.5], [1, 1, 1, 1]]])
    found = Added(own, theirs, before, at_once, before + 0).figures()
    values = {name: each["value"] for name, each in found.items()}
    assert (values["taken"], values["cost"], values["cost_later"]) == (0.5, 0.25, 0)
    assert (values["likeliest_taken"], values["likeliest_cost"]) == (1, 0)
