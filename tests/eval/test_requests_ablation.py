"""Our own requests, judged by the default registry's judge without one of its parts."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from eval.drawn import Drawn
from eval.requests import evaluate_requests, read_requests
from eval.requests_ablation import PARTS, without_part
from experts.registry import load_registry
from router.encode import Encoder
from router.learn.fit import fit_judge
from tests.conftest import ROOT
from tests.service.server import CACHE


@pytest.fixture(scope="module")
def found() -> Mapping[str, Mapping[str, Drawn]]:
    """The figures on validation rows, by the part that is left out."""
    registry = load_registry(ROOT / "registry.yaml", {}).registry
    encoder, vectors = Encoder.of(registry.encoder), CACHE / "vectors"
    rows = [row for row in read_requests() if row.split == "validation"]
    whole = evaluate_requests(rows, registry, encoder, fit_judge(registry, encoder, vectors))[1]
    return {"": whole} | {part: without_part(rows, registry, encoder, vectors, part) for part in PARTS}


def test_every_part_of_a_registrys_judge_is_left_out(found: Mapping[str, Mapping[str, Drawn]]) -> None:
    shares = ("handled", "accuracy", "wrong_expert", "null_recall")
    # Draws, since two parts may change as many rows, but not the same ones.
    told = {part: tuple(figures[name].draws.tobytes() for name in shares) for part, figures in found.items()}
    assert len(set(told.values())) == len(told), "each changes something, and none what another does"
    assert all(figures["handled"].draws.shape == found[""]["handled"].draws.shape for figures in found.values())


def test_examples_of_what_nobody_should_answer_earn_their_place(found: Mapping[str, Mapping[str, Drawn]]) -> None:
    assert found[""]["null_recall"].less(found["outside"]["null_recall"]).low > 0.1
    assert found[""]["handled"].less(found["outside"]["handled"]).low > 0


def test_nearest_examples_of_two_likely_domains_earn_their_place(found: Mapping[str, Mapping[str, Drawn]]) -> None:
    assert found[""]["handled"].less(found["rivals"]["handled"]).low > 0
